//! News of containers for those that link to them.

use super::command::Command;
use super::machine::is_active;
use crate::error::{Error, Kind, Result};
use crate::model::Container;
use crate::parts::Parts;
use std::sync::Arc;

/// Whether links open anything.
fn matter(parts: &Parts) -> bool {
    parts.networks.settings.no_icc && parts.registry.has_links()
}

/// Opens in the default network what links open there, where its containers are kept apart otherwise. `own`: a container as it is about to
/// be, where that is not published yet.
pub(crate) fn open(parts: &Parts, own: Option<&Container>) -> Result<()> {
    if !matter(parts) {
        return Ok(());
    }
    parts.networks.open_links(crate::links::opened(&parts.registry, own))
}

/// Closes what links open to and from a container, before others may have its address.
pub(crate) fn close(parts: &Parts, container: &Container) {
    if !matter(parts) {
        return;
    }
    let mut gone = container.clone();
    gone.networks.clear();
    if let Err(error) = open(parts, Some(&gone)) {
        tracing::warn!(container = container.id, %error, "links to and from it may be open still");
    }
}

/// Tells those that link to a container that it has come, gone, or has another name.
pub(crate) fn moved(parts: &Arc<Parts>, id: &str) {
    if !parts.registry.has_links() {
        return;
    }
    if let Err(error) = open(parts, None) {
        tracing::warn!(container = id, %error, "links to and from it may open nothing");
    }
    for slot in parts.registry.all() {
        let parent = slot.get();
        let has = parent.request.network.links.iter().any(|link| link.container == id);
        if has && is_active(parent.state.status) {
            // Its queue may be full: nobody waits for it here. One that is gone needs no news.
            drop(parts.background.spawn(async move { slot.send(Command::LinksMoved).await.ok() }));
        }
    }
}

/// Takes a link away: `parent/alias`, as the container that it leads to is called by it.
pub(crate) async fn remove(parts: &Parts, name: &str) -> Result<()> {
    parts.registry.get(name)?;
    let Some((parent, alias)) = name.trim_start_matches('/').rsplit_once('/') else {
        return Err(Error::new(Kind::Internal, "Conflict, cannot remove the default link name of the container"));
    };
    let missing = |_| Error::new(Kind::Internal, format!("Cannot get parent /{parent} for link name /{parent}/{alias}"));
    let slot = parts.registry.get(parent).map_err(missing)?;
    slot.ask(|reply| Command::Unlink { alias: alias.to_owned(), reply }).await
}
