//! A layer that was taken in and stands on nothing yet.

use super::state::Dirs;
use crate::form::directory::Files;
use crate::form::index::Places;
use crate::id::DiffId;
use crate::layer::Layer;
use crate::store::Result;
use crate::tree::{Context, remove};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A layer that was taken in and checked, and stands on nothing yet. Dropped, it is removed.
#[derive(Debug)]
pub struct Staged {
    pub(super) diff: DiffId,
    pub(super) layer: Layer,
    pub(super) data: Data,
    pub(super) room: Room,
}

impl Staged {
    /// What it is.
    #[must_use]
    pub fn diff(&self) -> &DiffId {
        &self.diff
    }

    /// Its tar as the very file, where the form keeps it. Who links to that file writes the bytes once only.
    #[must_use]
    pub fn tar(&self) -> Option<&OwnedFd> {
        match &self.data {
            Data::Files(_) => None,
            Data::Tar { tar, .. } => Some(tar),
        }
    }
}

/// Where its files' contents are.
#[derive(Debug)]
pub(super) enum Data {
    /// In numbered files.
    Files(Files),
    /// In its tar, of this length, and beside it.
    Tar { tar: OwnedFd, length: u64, places: Places },
}

/// A directory under `tmp/` that goes when this is dropped, unless it was moved away.
#[derive(Debug)]
pub(super) struct Room {
    dirs: Arc<Dirs>,
    pub(super) name: String,
    pub(super) dir: OwnedFd,
}

impl Room {
    pub(super) fn new(dirs: &Arc<Dirs>) -> Result<Self> {
        let (name, dir) = dirs.make_tmp()?;
        Ok(Self { dirs: dirs.clone(), name, dir })
    }
}

impl Room {
    /// Where contents lie in a tar that is kept in it.
    pub(super) fn places(&self) -> Result<Places> {
        Ok(Places::new(self.dir.try_clone().on("open", self.name.as_bytes())?))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // After a success the name is free: the directory was moved.
        if let Err(error) = remove::tree(&self.dirs.tmp, self.name.as_bytes()) {
            tracing::warn!(%error, "left-over of a layer stays until the next start");
        }
    }
}
