//! Snapshots that are full copies of their layers: where no overlay can be mounted. What they changed is found by comparing every name.

use super::Store;
use super::build::new_dir;
use super::staged::Room;
use crate::changes::{self, Changed};
use crate::copied;
use crate::id::ChainId;
use crate::store::{LayerInfo, Result, SnapshotKey};
use crate::tree::{Context, open_dir, usage, whole};
use std::os::fd::OwnedFd;

/// The copy, in a snapshot's directory.
pub(super) const ROOT: &str = "root";

impl Store {
    /// Copies a chain, and what lies below every chain, into the directory of a snapshot.
    pub(super) fn fill_copy(&self, dir: &OwnedFd, parent: Option<&ChainId>) -> Result<()> {
        let root = new_dir(dir, ROOT)?;
        whole::copy(&self.open_stack(parent, true)?, &root)
    }

    fn open_copy(&self, key: &SnapshotKey) -> Result<OwnedFd> {
        let name = key.0.as_bytes();
        open_dir(&self.dirs.snapshots, name).and_then(|dir| open_dir(dir, ROOT.as_bytes())).on("open snapshot", name)
    }

    /// What such a snapshot changed.
    pub(super) fn changed(&self, key: &SnapshotKey, parent: Option<&ChainId>) -> Result<Vec<Changed>> {
        changes::of_copy(&self.open_copy(key)?, &self.open_stack(parent, true)?)
    }

    pub(super) fn build_from_copy(&self, key: &SnapshotKey, parent: Option<&ChainId>) -> Result<LayerInfo> {
        let _pin = self.index.pin(parent)?;
        let changes = self.changed(key, parent)?;
        let room = Room::new(&self.dirs)?;
        let root = new_dir(&room.dir, "fs")?;
        let form = self.manner.unpacked;
        copied::layer(&self.open_copy(key)?, &changes, &root, form.marks())?;
        let size = usage::of(&root)?.bytes;
        self.publish_directory(parent, &root, &room, form, size)
    }
}
