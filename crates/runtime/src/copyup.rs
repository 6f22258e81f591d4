//! `tmpcopyup`: a new tmpfs begins with what the image has in its place.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::fs::{Gid, Uid};
use rustix::fs::{chmodat, chownat, fstat, mkdirat, mknodat, openat, readlinkat, statat, symlinkat, utimensat};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Directories within directories; an image may be hostile.
const DEPTH: usize = 64;

/// Copies everything in one directory into another: names, contents, owners, modes, times. No link is followed.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    directory(from, to, 0)?;
    let stat = fstat(from)?;
    chownat(to, "", Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)), AtFlags::EMPTY_PATH)?;
    Ok(())
}

fn open_dir(at: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
    if depth > DEPTH {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    let readable = open_dir(from, c".")?;
    for entry in Dir::read_from(&readable)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            one(readable.as_fd(), to, name, depth)?;
        }
    }
    Ok(())
}

fn one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> io::Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let private = Mode::from_raw_mode(0o600);
    match kind {
        FileType::Directory => {
            mkdirat(to, name, Mode::from_raw_mode(0o700))?;
            directory(open_dir(from, name)?.as_fd(), open_dir(to, name)?.as_fd(), depth + 1)?;
        }
        FileType::RegularFile => {
            // Exchanged meanwhile for a FIFO it must not hold us up.
            let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut source = File::from(openat(from, name, read, Mode::empty())?);
            let make = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut target = File::from(openat(to, name, make, private)?);
            io::copy(&mut source, &mut target)?;
        }
        FileType::Symlink => {
            let target: CString = readlinkat(from, name, Vec::new())?;
            symlinkat(target, to, name)?;
        }
        kind => mknodat(to, name, kind, private, stat.st_rdev)?,
    }
    dress(to, name, &stat, kind)
}

fn dress(to: BorrowedFd<'_>, name: &CStr, stat: &Stat, kind: FileType) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if kind != FileType::Symlink {
        // Nobody else is in the new filesystem yet, so the name is what it was.
        chmodat(to, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
    }
    let time = |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    let times =
        Timestamps { last_access: time(stat.st_atime, stat.st_atime_nsec), last_modification: time(stat.st_mtime, stat.st_mtime_nsec) };
    Ok(utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    #[test]
    fn everything_is_copied_and_no_link_followed() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| from.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), "words").unwrap();
        fs::set_permissions(at("a/b/file"), fs::Permissions::from_mode(0o4751)).unwrap();
        chown(at("a"), Some(5), Some(6)).unwrap();
        symlink("/etc/passwd", at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, 0o640.into(), 0).unwrap();
        copy(File::open(from.path()).unwrap().as_fd(), File::open(to.path()).unwrap().as_fd()).unwrap();
        let at = |name: &str| to.path().join(name);
        assert_eq!(fs::read_to_string(at("a/b/file")).unwrap(), "words");
        assert_eq!(fs::metadata(at("a/b/file")).unwrap().mode() & 0o7777, 0o4751);
        let dir = fs::metadata(at("a")).unwrap();
        assert_eq!((dir.uid(), dir.gid(), dir.mtime()), (5, 6, fs::metadata(from.path().join("a")).unwrap().mtime()));
        assert_eq!(fs::read_link(at("link")).unwrap().to_str(), Some("/etc/passwd"));
        assert_eq!(fs::metadata(at("pipe")).unwrap().mode(), libc::S_IFIFO | 0o640);
    }

    #[test]
    fn a_bottomless_image_is_refused() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(from.path().join("d/".repeat(DEPTH + 2))).unwrap();
        let failed = copy(File::open(from.path()).unwrap().as_fd(), File::open(to.path()).unwrap().as_fd()).unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(libc::ELOOP));
    }
}
