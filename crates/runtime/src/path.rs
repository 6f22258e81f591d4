//! Names inside a root filesystem, resolved by the kernel within it (openat2), never by joining strings.

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

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
    match open(root, path, OFlags::PATH | OFlags::DIRECTORY, links) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => make(root, path, links, Last::Directory),
        other => other,
    }
}

/// The file at `path` (anything that is no directory), made empty with its parents where missing.
pub(crate) fn ensure_file(root: BorrowedFd<'_>, path: &Path, links: Links) -> io::Result<OwnedFd> {
    match place(root, path, links) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => make(root, path, links, Last::File),
        other => other,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Directory,
    File,
}

/// As many links as the kernel would follow.
const LINKS_MAX: usize = 40;

/// Walks along `path`, makes what is missing, and follows links that lead to something missing (an image whose
/// `/etc/resolv.conf` points into an empty `/run`), always within the root.
///
/// `real` is the way so far, without links and `..`. Each step opens it anew from the root with links refused, so whatever
/// somebody exchanges meanwhile can only make the walk fail.
fn make(root: BorrowedFd<'_>, path: &Path, links: Links, last: Last) -> io::Result<OwnedFd> {
    let mut ahead: VecDeque<OsString> = names(path);
    let mut real = PathBuf::from("/");
    let mut here = open(root, &real, OFlags::PATH | OFlags::DIRECTORY, Links::Refuse)?;
    let mut followed = 0;
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            real.pop();
            here = open(root, &real, OFlags::PATH | OFlags::DIRECTORY, Links::Refuse)?;
            continue;
        }
        let step = real.join(&name);
        let next = match open(root, &step, OFlags::PATH | OFlags::NOFOLLOW, Links::Refuse) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create(&here, &name, if ahead.is_empty() { last } else { Last::Directory })?;
                open(root, &step, OFlags::PATH | OFlags::NOFOLLOW, Links::Refuse)?
            }
            other => other?,
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode) != FileType::Symlink {
            (here, real) = (next, step);
            continue;
        }
        followed += 1;
        let of_kernel = dhow_sys::mount::magic(&next)? == crate::procfs::MAGIC;
        if links == Links::Refuse || followed > LINKS_MAX || of_kernel {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        let target = PathBuf::from(OsString::from_vec(readlinkat(&next, "", Vec::new())?.into_bytes()));
        if target.is_absolute() {
            real = PathBuf::from("/");
            here = open(root, &real, OFlags::PATH | OFlags::DIRECTORY, Links::Refuse)?;
        }
        for name in names(&target).into_iter().rev() {
            ahead.push_front(name);
        }
    }
    Ok(here)
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

fn create(dir: &OwnedFd, name: &OsStr, kind: Last) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o755);
    let made = match kind {
        Last::Directory => mkdirat(dir, name, mode),
        Last::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(dir, name, flags, mode).map(drop)
        }
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Whether a descriptor is the device `kind` (`S_IFCHR` or `S_IFBLK`) with that number.
pub(crate) fn is_device(fd: impl AsFd, kind: FileType, major: u32, minor: u32) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    let same_kind = FileType::from_raw_mode(stat.st_mode) == kind;
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
        // The link's target is taken within the root, and made there.
        ensure_dir(fd.as_fd(), Path::new("/abs/made"), Links::Follow).unwrap();
        assert!(dir.path().join(outside.path().strip_prefix("/").unwrap()).join("made").is_dir());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(ensure_dir(fd.as_fd(), Path::new("/abs/again"), Links::Refuse).is_err());
        assert!(place(fd.as_fd(), Path::new("/magic"), Links::Follow).is_err());
        let refused = place(fd.as_fd(), Path::new("/up"), Links::Refuse).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ELOOP));
        for (name, target) in [("loop1", "loop2"), ("loop2", "loop1"), ("dangling", "../run/a/file")] {
            symlink(target, dir.path().join(name)).unwrap();
        }
        assert!(ensure_file(fd.as_fd(), Path::new("/loop1/x"), Links::Follow).is_err());
        ensure_file(fd.as_fd(), Path::new("/dangling"), Links::Follow).unwrap();
        assert!(dir.path().join("run/a/file").is_file());
        // Magic links themselves, seen from the host's own root.
        let host = dhow_sys::mount::open_path(Path::new("/")).unwrap();
        let magic = place(host.as_fd(), Path::new("/proc/self/root/etc"), Links::Follow).unwrap_err();
        assert_eq!(magic.raw_os_error(), Some(libc::ELOOP));
        let magic = ensure_dir(host.as_fd(), Path::new("/proc/self/root/no/such"), Links::Follow).unwrap_err();
        assert_eq!(magic.raw_os_error(), Some(libc::ELOOP));
    }
}
