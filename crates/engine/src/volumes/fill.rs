//! A new volume starts with what the image has at its place.

use crate::error::{Error, Kind, Result};
use dhow_archive::root::Root;
use dhow_sys::overlay::Overlay;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A volume's data, and the place in the container that it gets.
#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) data: PathBuf,
    /// The volume's own directory, which no container sees: who fills it holds its lock.
    pub(crate) own: PathBuf,
    pub(crate) target: PathBuf,
    /// Nobody named the volume: then there must be no file at its place.
    pub(crate) anonymous: bool,
}

/// Copies what the image has there, owner and mode of the directory too, into those that are empty.
pub(crate) fn fill(view: &Overlay, wanted: &[Fill]) -> Result<()> {
    let failed = |e: std::io::Error| Error::internal("mount", "the layers of an image", e);
    let root = Root::new(view.mount_detached().map_err(failed)?).map_err(|e| Error::internal("open", "the root of an image", e))?;
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
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |path: &Path| rustix::fs::open(path, flags, Mode::empty()).map_err(|e| Error::internal("open", path.display(), e));
    // Of two containers that are made at once the second finds it filled.
    let own = open(&one.own)?;
    rustix::fs::flock(&own, FlockOperation::LockExclusive).map_err(|e| Error::internal("lock", one.own.display(), e))?;
    let target = open(&one.data)?;
    if is_empty(&one.data)? { Ok(dhow_storage::copy(source, target)?) } else { Ok(()) }
}

fn is_empty(dir: &Path) -> Result<bool> {
    let mut entries = std::fs::read_dir(dir).map_err(|e| Error::internal("read", dir.display(), e))?;
    Ok(entries.next().is_none())
}
