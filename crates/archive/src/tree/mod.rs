//! Directory trees by descriptor: nothing here joins a path to a string and hands it to the kernel, and nothing follows a symbolic link.

pub mod marks;
pub mod node;
pub mod remove;
pub mod xattr;

use crate::tarball::Time;
use crate::{Error, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Deepest tree that is walked. The walks recurse, so this keeps them inside a thread's 2 MiB of stack and some hundred descriptors: a
/// container may nest without end, and an overflow would end the daemon.
pub const DEPTH_MAX: usize = 256;

/// Opens a directory for reading, never through a link.
pub fn open_dir(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    fs::openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a regular file for reading. Anything else that has taken its place is never opened for good: a link fails, a pipe would block, and
/// the mere opening of some devices does something.
pub fn open_file(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let place = fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    match kind(&fs::fstat(&place)?) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err(Errno::LOOP),
        _ => return Err(Errno::INVAL),
    }
    // What was looked at is what is opened.
    fs::open(magic_link(&place), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// The path by which the kernel leads to an open file itself, whatever bears its name by now.
pub(crate) fn magic_link(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Metadata of a name, not following it.
pub fn stat(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<Stat> {
    fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// As [`stat`], `None` where there is nothing.
pub fn stat_opt(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<Option<Stat>> {
    match stat(parent, name) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Names in a directory, sorted by bytes, without `.` and `..`. Reads from the start: the descriptor's position is not one to rely on.
pub fn names(dir: impl AsFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    fs::seek(&dir, fs::SeekFrom::Start(0))?;
    more_names(dir, usize::MAX)
}

/// The next names in a directory, about `count` of them, sorted; none at its end. For directories of any size.
pub fn more_names(dir: impl AsFd, count: usize) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(dir.as_fd(), buffer.spare_capacity_mut());
    let mut names = Vec::new();
    // What the kernel has handed over would not come again.
    while names.len() < count || !entries.is_buffer_empty() {
        let Some(entry) = entries.next() else { break };
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Type of a node.
pub fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// It is a directory.
pub fn is_dir(stat: &Stat) -> bool {
    kind(stat) == FileType::Directory
}

/// Overlay's mark of a removed name: a character device 0:0.
pub fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Permission bits, set-id and sticky included.
pub fn permissions(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

/// Last change of content.
pub fn mtime(stat: &Stat) -> Time {
    Time { seconds: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 }
}

/// Both times of a node set to one.
pub fn timestamps(time: Time) -> fs::Timestamps {
    let spec = fs::Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanos) };
    fs::Timestamps { last_access: spec, last_modification: spec }
}

/// Owner and group for a chown call.
pub fn owner(uid: u32, gid: u32) -> (Option<fs::Uid>, Option<fs::Gid>) {
    (Some(fs::Uid::from_raw(uid)), Some(fs::Gid::from_raw(gid)))
}

/// Makes overlay's whiteout.
pub fn make_whiteout(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)
}

/// Path of a child, for messages and results: components joined by `/`, without a leading one.
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// Refuses a tree deeper than is walked.
pub fn check_depth(depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::Limit { what: "directories deep", limit: DEPTH_MAX as u64 });
    }
    Ok(())
}
