//! The directories of an engine, and the lock that says whose they are.
//!
//! ```text
//! DATA/            0710
//! DATA/lock        held while an engine runs
//! DATA/state.db    containers
//! DATA/events/     what happened
//! DATA/containers/ one directory for each: log, files of its sandbox
//! DATA/layers/     layers and snapshots
//! DATA/images/     configurations, manifests, names
//! DATA/init/       the program behind --init
//! EXEC/            0711
//! EXEC/c/SHORT/    of one shim: socket, state, exit
//! EXEC/netns/SHORT the network namespace of a running container
//! ```

use crate::error::{Error, Kind, Result};
use crate::options::Options;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes the directories, asserts their modes (class 18), and takes the lock.
pub(crate) fn open(options: &Options) -> Result<File> {
    directory(&options.data_root, 0o710)?;
    let lock = take(&options.data_root)?;
    directory(&options.exec_root, 0o711)?;
    directory(&options.data_root.join("containers"), 0o710)?;
    directory(&options.exec_root.join("c"), 0o700)?;
    directory(&options.exec_root.join("netns"), 0o711)?;
    Ok(lock)
}

/// One directory of ours with exactly this mode.
fn directory(path: &Path, mode: u32) -> Result<()> {
    let fail = |e: std::io::Error| Error::internal("open directory", path.display(), e);
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(fail)?;
    let meta = path.metadata().map_err(fail)?;
    let own = rustix::process::geteuid().as_raw();
    if meta.uid() != own {
        return Err(Error::internal("open directory", path.display(), format!("it belongs to user {}, not to {own}", meta.uid())));
    }
    if meta.permissions().mode() & 0o7777 != mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(fail)?;
    }
    Ok(())
}

fn take(data_root: &Path) -> Result<File> {
    let path = data_root.join("lock");
    let fail = |e: std::io::Error| Error::internal("lock", path.display(), e);
    let lock = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(fail)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => {
            Err(Error::new(Kind::Unavailable, format!("another engine holds {}: only one can use a data root", data_root.display())))
        }
        Err(e) => Err(fail(e.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &Path) -> Options {
        Options {
            cdi_dirs: Vec::new(),
            layers: Default::default(),
            registry: Default::default(),
            max_downloads: 3,
            max_uploads: 5,
            data_root: dir.join("data"),
            exec_root: dir.join("exec"),
            cgroup_parent: "/dhow-test".into(),
            log: Default::default(),
            runtimes: std::collections::BTreeMap::new(),
            userns: None,
            network: crate::model::network::Settings::default(),
        }
    }

    #[test]
    fn class_18_modes_are_asserted_and_the_lock_is_exclusive() {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        std::fs::create_dir(&options.data_root).unwrap();
        std::fs::set_permissions(&options.data_root, std::fs::Permissions::from_mode(0o777)).unwrap();
        let lock = open(&options).unwrap();
        let mode = |p: &Path| p.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&options.data_root), 0o710);
        assert_eq!(mode(&options.exec_root), 0o711);
        assert_eq!(mode(&options.exec_root.join("c")), 0o700);
        let second = open(&options).unwrap_err();
        assert!(second.message.starts_with("another engine holds"), "{second}");
        drop(lock);
        open(&options).unwrap();
    }
}
