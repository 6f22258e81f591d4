//! Images as mounts: read-only, one filesystem for all containers that have the same one mounted.
//!
//! It is held as the filesystems of volumes are, under a name that no volume can have.

use super::mounted::Mounted;
use crate::error::{self, Error, Kind, Result};
use crate::model::volume::{ImageUse, Volume};
use crate::model::{Container, Mount, Request};
use crate::parts::Parts;
use dhow_sys::mount::{self, Filesystem};
use dhow_sys::overlay::Overlay;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// Before an image's id in the names of what is held.
const PREFIX: &str = "image ";

/// Those of a container.
pub(super) fn uses(container: &Container) -> impl Iterator<Item = (&Mount, &ImageUse)> {
    container.request.host.mounts.iter().filter_map(|mount| Some((mount, mount.image.as_ref()?)))
}

/// Finds out which images are meant, and holds on to these whatever becomes of their names.
pub(crate) fn resolve(parts: &Parts, request: &mut Request) -> Result<()> {
    for mount in &mut request.host.mounts {
        if let Some(image) = mount.image.as_mut().filter(|image| image.id.is_empty()) {
            image.id = crate::images::resolve(parts, &image.reference)?.id.clone();
            mount.source = stand_in(parts, &image.id).mountpoint;
            mount.read_only = true;
        }
    }
    Ok(())
}

/// What stands for it among volumes: a name, and a place on the host for kernels that need one.
pub(super) fn stand_in(parts: &Parts, id: &str) -> Volume {
    Volume {
        name: format!("{PREFIX}{id}"),
        created: 0,
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
        mountpoint: places(parts).join(id.trim_start_matches("sha256:")),
    }
}

fn places(parts: &Parts) -> PathBuf {
    parts.options.exec_root.join("images")
}

/// Its filesystem, mounted where nobody has it.
pub(super) async fn mounted(parts: &Parts, image: &ImageUse) -> Result<Arc<Mounted>> {
    let found = crate::images::resolve(parts, &image.id)?;
    let (layers, chain) = (parts.layers.clone(), found.chain.clone());
    let view = move || chain.map(|chain| layers.bare_view(&chain)).transpose().map_err(io::Error::other);
    let volume = stand_in(parts, &image.id);
    let made = parts.volumes.mounts.get_made(&volume, move || root(view()?)).await?;
    made.map_err(|e| Error::new(Kind::Internal, format!("error while mounting image '{}': {}", image.reference, error::plain(&e))))
}

/// The layers of an image alone, without what is put below those of containers; nothing at all where it has none.
fn root(view: Option<Overlay>) -> io::Result<OwnedFd> {
    match view {
        Some(view) => view.mount_detached(),
        None => Filesystem::open("tmpfs")?.mount(mount::RDONLY),
    }
}

/// Stand-ins for all that an engine before this one may have left mounted on the host.
pub(super) fn left(parts: &Parts) -> Vec<Volume> {
    let Ok(entries) = std::fs::read_dir(places(parts)) else { return Vec::new() };
    entries.flatten().filter_map(|entry| Some(stand_in(parts, &format!("sha256:{}", entry.file_name().to_str()?)))).collect()
}
