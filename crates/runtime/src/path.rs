//! Names inside a root filesystem, resolved by the kernel within it (openat2), never by joining strings.

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How symbolic links on the way are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Followed, within the root.
    Follow,
    /// None is accepted (`ELOOP`).
    Refuse,
}

/// Opens `path` as seen with `root` as `/`; magic links are refused.
pub(crate) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags, links: Links) -> io::Result<OwnedFd> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let path = if path.as_os_str().is_empty() { Path::new("/") } else { path };
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Something was renamed on the way, so the kernel could not vouch for "..".
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// The place itself, as O_PATH.
pub(crate) fn place(root: BorrowedFd<'_>, path: &Path, links: Links) -> io::Result<OwnedFd> {
    open(root, path, OFlags::PATH, links)
}

/// The directory at `path`, made with its parents (0755) where missing.
pub(crate) fn ensure_dir(root: BorrowedFd<'_>, path: &Path, links: Links) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match open(root, path, flags, links) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let (parent, name) = split(root, path, links)?;
    match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    open(root, path, flags, links)
}

/// The file at `path` (anything that is no directory), made empty with its parents where missing.
pub(crate) fn ensure_file(root: BorrowedFd<'_>, path: &Path, links: Links) -> io::Result<OwnedFd> {
    match place(root, path, links) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let (parent, name) = split(root, path, links)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    match openat(&parent, name, flags, Mode::from_raw_mode(0o755)) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    place(root, path, links)
}

fn split<'p>(root: BorrowedFd<'_>, path: &'p Path, links: Links) -> io::Result<(OwnedFd, &'p std::ffi::OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((ensure_dir(root, parent, links)?, name)),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Whether a descriptor is the device `kind` (`S_IFCHR` or `S_IFBLK`) with that number.
pub(crate) fn is_device(fd: impl AsFd, kind: rustix::fs::FileType, major: u32, minor: u32) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    let same_kind = rustix::fs::FileType::from_raw_mode(stat.st_mode) == kind;
    Ok(same_kind && stat.st_rdev == rustix::fs::makedev(major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = dhow_sys::mount::open_path(dir.path()).unwrap();
        (dir, fd)
    }

    #[test]
    fn directories_and_files_are_made_inside() {
        let (dir, fd) = root();
        ensure_dir(fd.as_fd(), Path::new("/a/b/c"), Links::Follow).unwrap();
        ensure_file(fd.as_fd(), Path::new("/x/y/file"), Links::Follow).unwrap();
        assert!(dir.path().join("a/b/c").is_dir());
        assert!(dir.path().join("x/y/file").is_file());
        ensure_file(fd.as_fd(), Path::new("/x/y/file"), Links::Follow).unwrap();
        assert!(ensure_dir(fd.as_fd(), Path::new("/x/y/file"), Links::Follow).is_err());
    }

    #[test]
    fn class_3_links_never_lead_out() {
        let (dir, fd) = root();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), dir.path().join("abs")).unwrap();
        symlink("../../../../..", dir.path().join("up")).unwrap();
        symlink("/proc/self/root", dir.path().join("magic")).unwrap();
        ensure_dir(fd.as_fd(), Path::new("/up/made"), Links::Follow).unwrap();
        assert!(dir.path().join("made").is_dir(), "`..` stops at the root");
        // The link's target is taken within the root, where it does not exist.
        assert!(ensure_dir(fd.as_fd(), Path::new("/abs/made"), Links::Follow).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(place(fd.as_fd(), Path::new("/magic"), Links::Follow).is_err());
        let refused = place(fd.as_fd(), Path::new("/up"), Links::Refuse).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ELOOP));
        // Magic links themselves, seen from the host's own root.
        let host = dhow_sys::mount::open_path(Path::new("/")).unwrap();
        let magic = place(host.as_fd(), Path::new("/proc/self/root/etc"), Links::Follow).unwrap_err();
        assert_eq!(magic.raw_os_error(), Some(libc::ELOOP));
    }
}
