//! The store's directories, opened once, and moves between them.

use crate::store::{Error, Result};
use crate::tree::Context;
use rustix::fs::{self, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Descriptors of the store's directories.
#[derive(Debug)]
pub(super) struct Dirs {
    pub(super) root: OwnedFd,
    pub(super) layers: OwnedFd,
    pub(super) snapshots: OwnedFd,
    pub(super) tmp: OwnedFd,
    pub(super) spare: OwnedFd,
}

impl Dirs {
    pub(super) fn open(root: &Path) -> Result<Self> {
        let shown = root.as_os_str().as_encoded_bytes();
        match fs::mkdir(root, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e).on("make", shown),
        }
        let root = fs::open(root, flags(), Mode::empty()).on("open", shown)?;
        close_off(&root, shown)?;
        let dir = |name: &str| -> Result<OwnedFd> {
            match fs::mkdirat(&root, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e).on("make", name.as_bytes()),
            }
            let fd = fs::openat(&root, name, flags(), Mode::empty()).on("open", name.as_bytes())?;
            close_off(&fd, name.as_bytes())?;
            Ok(fd)
        };
        let spare = dir("spare")?;
        // Snapshots of one group of the disk slow each other down, above all where ext4 passes over the inodes that were freed last.
        if let Err(error) = dhow_sys::file::spread(&spare) {
            tracing::debug!(%error, "snapshots are not spread over the disk");
        }
        Ok(Self { layers: dir("layers")?, snapshots: dir("snapshots")?, tmp: dir("tmp")?, spare, root })
    }

    /// A new directory under `tmp/`, mode 0700.
    pub(super) fn make_tmp(&self) -> Result<(String, OwnedFd)> {
        make_in(&self.tmp)
    }

    /// The same under `spare/`.
    pub(super) fn make_spare(&self) -> Result<(String, OwnedFd)> {
        make_in(&self.spare)
    }

    /// Moves an object out of its place, under a new name in `tmp/`: from this moment it does not exist.
    pub(super) fn move_to_tmp(&self, from: &OwnedFd, name: &str) -> Result<String> {
        let moved = random_name()?;
        match fs::renameat(from, name, &self.tmp, &*moved) {
            // Already gone from the disk (a power cut): nothing is left to remove.
            Ok(()) | Err(Errno::NOENT) => Ok(moved),
            Err(e) => Err(e).on("move", name.as_bytes()),
        }
    }

    /// Moves a finished object into its place, which must be free.
    pub(super) fn move_from_tmp(&self, name: &str, to: &OwnedFd, target: &str) -> Result<()> {
        move_into(&self.tmp, name, to, target)
    }

    /// The same from `spare/`.
    pub(super) fn move_from_spare(&self, name: &str, to: &OwnedFd, target: &str) -> Result<()> {
        move_into(&self.spare, name, to, target)
    }
}

fn make_in(parent: &OwnedFd) -> Result<(String, OwnedFd)> {
    let name = random_name()?;
    fs::mkdirat(parent, &*name, Mode::RWXU).on("make", name.as_bytes())?;
    let fd = fs::openat(parent, &*name, flags(), Mode::empty()).on("open", name.as_bytes())?;
    Ok((name, fd))
}

fn move_into(from: &OwnedFd, name: &str, to: &OwnedFd, target: &str) -> Result<()> {
    fs::renameat_with(from, name, to, target, RenameFlags::NOREPLACE).on("move", target.as_bytes())
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Nobody else may look into the store: set-id programs of images lie there (class 18).
fn close_off(dir: &OwnedFd, shown: &[u8]) -> Result<()> {
    let stat = fs::fstat(dir).on("stat", shown)?;
    if stat.st_mode & 0o7777 != 0o700 {
        fs::fchmod(dir, Mode::RWXU).on("chmod", shown)?;
    }
    Ok(())
}

/// A name that nothing has.
pub(super) fn random_name() -> Result<String> {
    let mut bytes = [0u8; 12];
    getrandom::fill(&mut bytes).map_err(|e| Error::Io {
        op: "read",
        object: "random numbers".to_owned(),
        source: std::io::Error::other(e.to_string()),
    })?;
    Ok(hex::encode(bytes))
}
