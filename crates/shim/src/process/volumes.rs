//! Sources of volumes: found by descriptor, before anything else of the container is there.

use crate::config::VolumeConfig;
use dhow_runtime::{Failure, Kind, Step};
use dhow_sys::mount;
use dhow_sys::overlay::{Held, Lower};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The binds, made and detached, by their places in the container.
    pub(super) trees: Vec<(PathBuf, OwnedFd)>,
    /// Volumes that the daemon holds too.
    pub(super) held: Vec<OwnedFd>,
    /// Those by name, for daemons to come.
    pub(super) record: Vec<(String, Held)>,
}

/// Finds all of them. Links within a volume are followed as long as they stay in it.
pub(super) fn find(volumes: &[VolumeConfig]) -> Result<Found, Failure> {
    let mut found = Found::default();
    for volume in volumes {
        let fail = |step: Step, e: &io::Error, message: String| Failure {
            step,
            object: volume.target.display().to_string(),
            kind: Kind::Other,
            errno: e.raw_os_error().unwrap_or(0),
            message,
        };
        let data = volume.data.open().map_err(|e| fail(Step::Volume, &e, e.to_string()))?;
        let part = match volume.part.as_os_str().is_empty() {
            true => None,
            false => Some(mount::open_beneath(&data, &volume.part).map_err(|e| fail(Step::Part, &e, missing(&data, &volume.part)))?),
        };
        let tree = mount::clone_tree(part.as_ref().unwrap_or(&data), Path::new(""), volume.recursive);
        found.trees.push((volume.target.clone(), tree.map_err(|e| fail(Step::Volume, &e, e.to_string()))?));
        if let Lower::Held(held) = &volume.data {
            let recorded = Held::new(&data, held.place.clone()).map_err(|e| fail(Step::Volume, &e, e.to_string()))?;
            found.record.push((volume.name.clone(), recorded));
            found.held.push(data);
        }
    }
    Ok(found)
}

/// As much of a path as it takes to be missing.
fn missing(data: &OwnedFd, part: &Path) -> String {
    let mut so_far = PathBuf::new();
    for name in part {
        so_far.push(name);
        if mount::open_beneath(data, &so_far).is_err() {
            break;
        }
    }
    so_far.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(dir: &Path, part: &str) -> VolumeConfig {
        VolumeConfig { name: "v".into(), target: "/t".into(), data: Lower::Dir(dir.to_owned()), part: part.into(), recursive: true }
    }

    #[test]
    fn parts() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
        let find = |dir: &Path, part: &str| find(&[volume(dir, part)]).map(|found| found.trees.len());
        assert_eq!(find(dir.path(), "").unwrap(), 1);
        assert_eq!(find(dir.path(), "a/b").unwrap(), 1);
        let failure = find(dir.path(), "a/none/x").unwrap_err();
        assert_eq!((failure.step, failure.object.as_str(), failure.message.as_str()), (Step::Part, "/t", "a/none"));
        let failure = find(dir.path(), "out").unwrap_err();
        assert_eq!((failure.step, failure.errno), (Step::Part, rustix::io::Errno::XDEV.raw_os_error()));
        assert_eq!(find(&dir.path().join("gone"), "").unwrap_err().step, Step::Volume);
    }
}
