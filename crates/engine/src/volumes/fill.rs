//! A new volume starts with what the image has at its place.

use super::call::Call;
use super::mounted::Mounted;
use super::options::complaint;
use super::ready::no_part;
use crate::error::{self, Error, Kind, Result};
use crate::model::volume::Volume;
use dhow_archive::root::Root;
use dhow_sys::mount;
use dhow_sys::overlay::Overlay;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Before what Docker says of a volume that cannot be filled.
pub(super) const POPULATE: &str = "failed to populate volume: ";

/// Where a volume's data is.
#[derive(Debug)]
pub(crate) enum Data {
    /// A directory: the volume's own, or somebody else's, whose name may be a link.
    Directory { path: PathBuf, own: bool },
    /// A filesystem that is not mounted yet.
    Filesystem(Call),
    /// One that is.
    Mounted(Arc<Mounted>),
}

/// A volume, and the place in the container that it gets.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) volume: Arc<Volume>,
    pub(crate) data: Data,
    /// The part of it that is wanted there; empty for all.
    pub(crate) part: String,
    pub(crate) target: PathBuf,
    /// Nobody named the volume: then there must be no file at its place.
    pub(crate) anonymous: bool,
}

fn mounted(view: &Overlay) -> Result<Root> {
    let failed = |e: io::Error| Error::internal("mount", "the layers of an image", e);
    Root::new(view.mount_detached().map_err(failed)?).map_err(|e| Error::internal("open", "the root of an image", e))
}

/// Those for which the image has something.
pub(crate) fn wanted(view: &Overlay, mut all: Vec<Fill>) -> Result<Vec<Fill>> {
    if all.is_empty() {
        return Ok(all);
    }
    let root = mounted(view)?;
    all.retain(|one| root.open(one.target.as_os_str().as_bytes(), OFlags::PATH).is_ok());
    Ok(all)
}

/// Copies what the image has there, owner and mode of the directory too, into those that are empty.
pub(crate) fn fill(view: &Overlay, wanted: &[Fill]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let root = mounted(view)?;
    wanted.iter().try_for_each(|one| one_of(&root, one))
}

fn one_of(root: &Root, one: &Fill) -> Result<()> {
    let place = one.target.as_os_str().as_bytes();
    let source = match root.open(place, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(source) => source,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR) if one.anonymous => {
            let text = format!("cannot mount volume over existing file, file exists {}", one.target.display());
            return Err(Error::new(Kind::Invalid, text));
        }
        Err(Errno::NOTDIR) => return Ok(()),
        Err(e) => return Err(Error::internal("open", one.target.display(), e)),
    };
    // The volume's own directory, which no container sees: of two containers that are made at once the second finds it filled.
    let own = one.volume.mountpoint.parent().unwrap_or(&one.volume.mountpoint);
    let lock = directory(CWD, own, OFlags::NOFOLLOW).map_err(|e| Error::internal("open", own.display(), e))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|e| Error::internal("lock", own.display(), e))?;
    match one.target()? {
        Some(target) if is_empty(&target).map_err(|e| Error::internal("read volume", &one.volume.name, e))? => {
            Ok(dhow_storage::copy(source, target)?)
        }
        _ => Ok(()),
    }
}

impl Fill {
    /// The directory that is to be filled, if it is one and is there.
    fn target(&self) -> Result<Option<OwnedFd>> {
        let fail = |e: io::Error| Error::new(Kind::Internal, format!("{POPULATE}{}", complaint(&self.volume, &error::plain(&e))));
        let data = match &self.data {
            Data::Directory { path, own } => {
                let follow = if *own { OFlags::NOFOLLOW } else { OFlags::empty() };
                match directory(CWD, path, follow) {
                    // A volume may be a single file of the host's.
                    Err(Errno::NOTDIR) if !own => return Ok(None),
                    opened => opened.map_err(|e| fail(e.into()))?,
                }
            }
            Data::Mounted(mounted) => mounted.lower().and_then(|lower| lower.open()).map_err(fail)?,
            Data::Filesystem(_) => return Ok(None),
        };
        let part = if self.part.is_empty() { Ok(data) } else { mount::open_beneath(&data, Path::new(&self.part)) };
        match part {
            Ok(part) => match directory(&part, Path::new("."), OFlags::empty()) {
                Ok(opened) => Ok(Some(opened)),
                Err(Errno::NOTDIR) => Ok(None),
                Err(e) => Err(Error::internal("open volume", &self.volume.name, e)),
            },
            // The start will say so.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::new(Kind::Internal, format!("{POPULATE}{}", no_part(&self.volume, &self.part, &self.part, &e)))),
        }
    }
}

fn directory(at: impl std::os::fd::AsFd, path: &Path, more: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | more, Mode::empty())
}

fn is_empty(dir: &OwnedFd) -> rustix::io::Result<bool> {
    for entry in rustix::fs::Dir::read_from(dir)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
