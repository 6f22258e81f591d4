//! News of containers for those that link to them.

use super::command::Command;
use super::machine::is_active;
use crate::error::{Error, Kind, Result};
use crate::parts::Parts;
use std::sync::Arc;

/// Tells those that link to a container that it has come, gone, or has another name.
pub(crate) fn moved(parts: &Arc<Parts>, id: &str) {
    if !parts.registry.has_links() {
        return;
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
