//! An overlay as data, and the call that makes it a detached mount.

use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The directories of one overlay filesystem. Paths are host paths owned by the engine, never a container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Lower directories, topmost first. Never empty.
    pub lower: Vec<PathBuf>,
    /// Upper directory; `None` makes a read-only view.
    pub upper: Option<PathBuf>,
    /// Work directory, on the filesystem of `upper`.
    pub work: Option<PathBuf>,
    /// Never mounted again: skip all syncs (`volatile`).
    #[serde(default)]
    pub volatile: bool,
}

impl Overlay {
    /// Mounts it detached (fsopen, fsconfig, fsmount; `lowerdir+` where the kernel has it), with
    /// `index=off,metacopy=off,redirect_dir=nofollow,xino=auto`. Nothing appears in any mount table until the
    /// descriptor is moved somewhere. A view with a single lower directory and no upper is a bind clone of it.
    pub fn mount_detached(&self) -> io::Result<OwnedFd> {
        todo!()
    }
}
