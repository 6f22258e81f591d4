//! What a container needs of its volumes to start, or to have its files reached.

use super::image;
use super::mounted::Mounted;
use super::options::{Backing, backing, complaint};
use crate::error::{self, Error, Result};
use crate::model::volume::{Volume, VolumeUse};
use crate::model::{Container, Mount};
use crate::parts::Parts;
use crate::paths::clean;
use dhow_runtime::{Failure, Step};
use dhow_shim::config::VolumeConfig;
use dhow_shim::handle::recorded_volumes;
use dhow_sys::overlay::Lower;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The volumes of a container that are more than directories of the engine's, and its images.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Where they are.
    pub(crate) sources: Vec<VolumeConfig>,
    /// Their filesystems, mounted as long as these are kept.
    pub(crate) mounted: Vec<Arc<Mounted>>,
    /// Places where nobody may write, though the container did not ask for that: the volumes' own options say so.
    pub(crate) read_only: Vec<PathBuf>,
}

fn uses(container: &Container) -> impl Iterator<Item = (&Mount, &VolumeUse)> {
    container.request.host.mounts.iter().filter_map(|mount| Some((mount, mount.volume.as_ref()?)))
}

/// Finds them, and mounts what nobody has mounted yet.
pub(crate) async fn ready(parts: &Parts, container: &Container) -> Result<Ready> {
    let mut ready = Ready::default();
    for (mount, used) in uses(container) {
        // One that is gone is missed when its directory is.
        let Ok(volume) = parts.volumes.get(&used.wish.name) else { continue };
        let (data, recursive) = match backing(&volume.name, &volume.options)? {
            Backing::Own if used.subpath.is_empty() => continue,
            Backing::Own => (Lower::Dir(volume.mountpoint.clone()), true),
            Backing::Directory { path, recursive, read_only } => {
                if read_only {
                    ready.read_only.push(clean(&mount.target));
                }
                (Lower::Dir(path), recursive)
            }
            Backing::Filesystem(call) => {
                let mounted = parts.volumes.mounts.get(&volume, &call).await?;
                let lower = mounted.lower().map_err(|e| Error::internal("look at volume", &volume.name, e))?;
                ready.mounted.push(mounted);
                (lower, true)
            }
        };
        let (name, part) = (volume.name.clone(), used.subpath.clone().into());
        ready.sources.push(VolumeConfig { name, target: clean(&mount.target), data, part, recursive });
    }
    for (mount, used) in image::uses(container) {
        let mounted = image::mounted(parts, used).await?;
        let data = mounted.lower().map_err(|e| Error::internal("look at image", &used.reference, e))?;
        ready.mounted.push(mounted);
        let (name, part) = (image::stand_in(parts, &used.id).name, used.subpath.clone().into());
        ready.sources.push(VolumeConfig { name, target: clean(&mount.target), data, part, recursive: false });
    }
    Ok(ready)
}

/// The filesystems that a container has had since before this engine began.
pub(crate) fn adopt(parts: &Parts, container: &Container) -> Vec<Arc<Mounted>> {
    let mut recorded = None;
    let mut all = Vec::new();
    let volumes = uses(container).filter_map(|(_, used)| parts.volumes.get(&used.wish.name).ok());
    let volumes = volumes.filter(|volume| matches!(backing(&volume.name, &volume.options), Ok(Backing::Filesystem(_))));
    let images = image::uses(container).map(|(_, used)| Arc::new(image::stand_in(parts, &used.id)));
    for volume in volumes.chain(images) {
        let recorded = recorded.get_or_insert_with(|| recorded_volumes(&parts.shim_dir(&container.id)));
        let adopted = match recorded {
            Ok(held) => parts.volumes.mounts.adopt(&volume, held.iter().find(|(name, _)| *name == volume.name).map(|(_, held)| held)),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        match adopted {
            Ok(mounted) => all.extend(mounted),
            Err(error) => tracing::warn!(container = container.id, volume = volume.name, %error, "its filesystem was not taken over"),
        }
    }
    all
}

/// Unmounts what a dead engine has left on the host, now that all is known that runs.
pub(crate) fn settle(parts: &Parts) {
    let volumes = parts.volumes.all().into_iter();
    let volumes = volumes.filter(|volume| matches!(backing(&volume.name, &volume.options), Ok(Backing::Filesystem(_))));
    for volume in volumes.chain(image::left(parts).into_iter().map(Arc::new)) {
        if let Err(error) = parts.volumes.mounts.settle(&volume) {
            tracing::warn!(volume = volume.name, %error, "what is left of its mount was not removed");
        }
    }
}

/// Docker's words for a volume, or a part of one, that a shim could not reach.
pub(crate) fn words(parts: &Parts, container: &Container, failure: &Failure) -> Option<String> {
    let error = io::Error::from_raw_os_error(failure.errno);
    let at = |mount: &Mount| clean(&mount.target) == Path::new(&failure.object);
    if let Some((_, used)) = image::uses(container).find(|(mount, _)| at(mount)) {
        let volume = image::stand_in(parts, &used.id);
        return (failure.step == Step::Part).then(|| no_part(&volume, &used.subpath, &failure.message, &error));
    }
    let (_, used) = uses(container).find(|(mount, _)| at(mount))?;
    let volume = parts.volumes.get(&used.wish.name).ok()?;
    match failure.step {
        Step::Volume => Some(complaint(&volume, &error::plain(&error))),
        Step::Part => Some(no_part(&volume, &used.subpath, &failure.message, &error)),
        _ => None,
    }
}

/// Docker's words for a part of a volume that cannot be reached; `missing` is as much of its path as cannot be followed.
pub(super) fn no_part(volume: &Volume, part: &str, missing: &str, error: &io::Error) -> String {
    let base = volume.mountpoint.display();
    if error.raw_os_error() == Some(rustix::io::Errno::XDEV.raw_os_error()) {
        return format!("path concatenation escapes the base directory, base: {base}, subpath: {part}");
    }
    format!("cannot access path {base}/{part}: lstat {base}/{missing}: {}", error::plain(error))
}
