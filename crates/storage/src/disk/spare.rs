//! Snapshots without a key, made before anybody asks for one: to move a directory takes a filesystem less than to make three of them and a
//! file. On ext4 each new file passes over those that were removed in the last minutes, and where many containers come and go these are many.

use super::{Store, record};
use crate::store::{Result, SnapshotKey};
use crate::tree::{Context, open_dir, remove};
use rustix::fs::{self, Mode};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many are kept: as many as are used while containers come and go before more are made.
const MOST: usize = 16;

/// Their names in `spare/`, which is emptied when the store is opened again.
#[derive(Debug, Default)]
pub(super) struct Spares {
    names: Mutex<Vec<String>>,
}

impl Spares {
    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Makes as many as are missing.
    pub(super) fn make_spares(&self) -> Result<()> {
        while self.spares.names().len() < MOST {
            let (name, dir) = self.dirs.make_spare()?;
            let made = make_dirs(&dir).and_then(|()| record::empty(&dir, record::SNAPSHOT));
            if let Err(error) = made {
                // The first error is the one to tell; what stays goes with the next sweep.
                remove::tree(&self.dirs.spare, name.as_bytes()).ok();
                return Err(error);
            }
            self.spares.names().push(name);
        }
        Ok(())
    }

    /// Moves one to the place of a snapshot that is not there. `None`: there is none, or it cannot be moved.
    pub(super) fn take_spare(&self, key: &SnapshotKey) -> Option<OwnedFd> {
        let name = self.spares.names().pop()?;
        let dir = open_dir(&self.dirs.spare, name.as_bytes()).ok()?;
        if self.dirs.move_from_spare(&name, &self.dirs.snapshots, &key.0).is_err() {
            // Whoever makes the snapshot finds out why.
            remove::tree(&self.dirs.spare, name.as_bytes()).ok();
            return None;
        }
        Some(dir)
    }
}

/// The directories of a snapshot, nobody's yet.
pub(super) fn make_dirs(dir: &OwnedFd) -> Result<()> {
    fs::mkdirat(dir, "upper", Mode::RWXU).on("make", b"upper")?;
    fs::mkdirat(dir, "work", Mode::RWXU).on("make", b"work")
}
