//! What a container needs of its volumes to start, or to have its files reached.

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
use std::path::Path;
use std::sync::Arc;

/// The volumes of a container that are more than directories of the engine's.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Where they are.
    pub(crate) sources: Vec<VolumeConfig>,
    /// Their filesystems, mounted as long as these are kept.
    pub(crate) mounted: Vec<Arc<Mounted>>,
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
            Backing::Directory { path, recursive, .. } => (Lower::Dir(path), recursive),
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
    Ok(ready)
}

/// The filesystems that a container has had since before this engine began.
pub(crate) fn adopt(parts: &Parts, container: &Container) -> Vec<Arc<Mounted>> {
    let mut recorded = None;
    let mut all = Vec::new();
    for (_, used) in uses(container) {
        let Ok(volume) = parts.volumes.get(&used.wish.name) else { continue };
        if !matches!(backing(&volume.name, &volume.options), Ok(Backing::Filesystem(_))) {
            continue;
        }
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
    for volume in parts.volumes.all() {
        if matches!(backing(&volume.name, &volume.options), Ok(Backing::Filesystem(_)))
            && let Err(error) = parts.volumes.mounts.settle(&volume)
        {
            tracing::warn!(volume = volume.name, %error, "what is left of its mount was not removed");
        }
    }
}

/// Docker's words for a volume, or a part of one, that a shim could not reach.
pub(crate) fn words(parts: &Parts, container: &Container, failure: &Failure) -> Option<String> {
    let (_, used) = uses(container).find(|(mount, _)| clean(&mount.target) == Path::new(&failure.object))?;
    let volume = parts.volumes.get(&used.wish.name).ok()?;
    let error = io::Error::from_raw_os_error(failure.errno);
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
