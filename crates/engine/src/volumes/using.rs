//! A container's volumes: held while it is made, told of while it runs, removed with it.

use super::fill::{Data, Fill, POPULATE, fill, wanted};
use super::options::{Backing, backing};
use super::table::{DRIVER, Hold};
use crate::error::{Error, Kind, Result};
use crate::model::{Container, Mount, Request};
use crate::parts::Parts;
use crate::paths::clean;
use dhow_storage::ChainId;
use dhow_sys::overlay::Overlay;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The volumes of a container that is being made.
#[derive(Debug, Default)]
pub(crate) struct Held {
    holds: Vec<Hold>,
    /// Made for it.
    made: Vec<String>,
    fills: Vec<Fill>,
}

/// Finds or makes every volume of a request, and enters where their data is. On an error nothing that was made stays.
pub(crate) async fn hold(parts: &Parts, request: &mut Request) -> Result<Held> {
    let mut held = Held::default();
    let lasting = !request.auto_remove;
    for mount in &mut request.host.mounts {
        if let Err(error) = one(parts, mount, lasting, &mut held).await {
            held.undo(parts).await;
            return Err(error);
        }
    }
    Ok(held)
}

async fn one(parts: &Parts, mount: &mut Mount, lasting: bool, held: &mut Held) -> Result<()> {
    let Some(used) = &mount.volume else { return Ok(()) };
    let mut wish = used.wish.clone();
    if used.anonymous {
        wish.labels.insert(crate::model::volume::ANONYMOUS.to_owned(), String::new());
    }
    let (volume, hold, fresh) = parts.volumes.ensure(&wish, lasting).await?;
    held.holds.push(hold);
    if fresh {
        held.made.push(volume.name.clone());
        tell(parts, "create", &volume.name, BTreeMap::new());
    }
    let backing = backing(&volume.name, &volume.options)?;
    mount.source = volume.mountpoint.clone();
    if !used.no_copy {
        let (target, part, anonymous) = (clean(&mount.target), used.subpath.clone(), used.anonymous);
        let data = match &backing {
            Backing::Own => Data::Directory { path: volume.mountpoint.clone(), own: true },
            Backing::Directory { path, .. } => Data::Directory { path: path.clone(), own: false },
            // Mounted when it is known that there is something to copy.
            Backing::Filesystem(call) => Data::Filesystem(call.clone()),
        };
        held.fills.push(Fill { volume, data, part, target, anonymous });
    }
    Ok(())
}

impl Held {
    /// Fills the empty ones with what the image has at their places.
    pub(crate) async fn fill(&mut self, parts: &Parts, image: Option<&ChainId>) -> Result<()> {
        let fills = std::mem::take(&mut self.fills);
        let Some(image) = image.filter(|_| !fills.is_empty()) else { return Ok(()) };
        let view = Arc::new(view(parts, image).await?);
        let (mut ready, mut later) = (Vec::new(), Vec::new());
        for one in fills {
            if matches!(one.data, Data::Filesystem(_)) { later.push(one) } else { ready.push(one) }
        }
        for one in blocking(&view, move |view| wanted(view, later)).await? {
            let Data::Filesystem(call) = &one.data else { continue };
            let mounted = parts.volumes.mounts.get(&one.volume, call).await.map_err(|e| e.prefixed(POPULATE))?;
            ready.push(Fill { data: Data::Mounted(mounted), ..one });
        }
        blocking(&view, move |view| fill(view, &ready)).await
    }

    /// The container did not come about: what was made for it goes again.
    pub(crate) async fn undo(self, parts: &Parts) {
        let Self { holds, made, .. } = self;
        drop(holds);
        for name in made {
            remove(parts, &name).await;
        }
    }
}

/// How the image's layers are seen. Where they are copied for it, that takes a while.
async fn view(parts: &Parts, image: &ChainId) -> Result<Overlay> {
    if !parts.layers.copies() {
        return Ok(parts.layers.view(image)?);
    }
    let (layers, image) = (parts.layers.clone(), image.clone());
    let copied = tokio::task::spawn_blocking(move || layers.view(&image));
    Ok(copied.await.map_err(|e| Error::internal("copy", "the layers of an image", e))??)
}

async fn blocking<T: Send + 'static>(view: &Arc<Overlay>, work: impl FnOnce(&Overlay) -> Result<T> + Send + 'static) -> Result<T> {
    let view = view.clone();
    let done = tokio::task::spawn_blocking(move || work(&view)).await;
    done.map_err(|e| Error::internal("fill", "the volumes of a container", e))?
}

/// Which containers use it.
pub(super) fn users(parts: &Parts, name: &str) -> Vec<String> {
    let uses = |container: &Container| volumes(container).any(|(_, used)| used == name);
    parts.registry.all().iter().map(|slot| slot.get()).filter(|container| uses(container)).map(|container| container.id.clone()).collect()
}

fn volumes(container: &Container) -> impl Iterator<Item = (&Mount, &str)> {
    container.request.host.mounts.iter().filter_map(|mount| Some((mount, mount.volume.as_ref()?.wish.name.as_str())))
}

/// Removes the volumes that nobody named, and that were this container's alone.
pub(crate) async fn remove_anonymous(parts: &Parts, container: &Container) {
    for (mount, name) in volumes(container) {
        if mount.volume.as_ref().is_some_and(|used| used.anonymous) {
            remove(parts, name).await;
        }
    }
}

async fn remove(parts: &Parts, name: &str) {
    match parts.volumes.remove(name, || users(parts, name)).await {
        Ok(()) => tell(parts, "destroy", name, BTreeMap::new()),
        // Somebody else uses it, or has removed it.
        Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => {}
        Err(error) => tracing::warn!(volume = name, %error, "it was not removed"),
    }
}

/// Tells an event about a volume.
pub(super) fn tell(parts: &Parts, action: &str, name: &str, more: BTreeMap<String, String>) {
    let mut attributes = more;
    attributes.insert("driver".to_owned(), DRIVER.to_owned());
    parts.events.tell("volume", action, name, attributes);
}

/// Tells that a container uses its volumes now.
pub(crate) fn tell_mounts(parts: &Parts, container: &Container) {
    for (mount, name) in volumes(container) {
        let more = [
            ("container", container.id.clone()),
            ("destination", clean(&mount.target).display().to_string()),
            ("propagation", mount.propagation.clone()),
            ("read/write", (!mount.read_only).to_string()),
        ];
        tell(parts, "mount", name, more.map(|(key, value)| (key.to_owned(), value)).into());
    }
}

/// Tells that a container has left its volumes.
pub(crate) fn tell_unmounts(parts: &Parts, container: &Container) {
    for (_, name) in volumes(container) {
        tell(parts, "unmount", name, BTreeMap::from([("container".to_owned(), container.id.clone())]));
    }
}
