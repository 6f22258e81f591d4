//! Removal of whole trees, of any depth and by whoever they were made, in constant stack and descriptors.
//!
//! A directory deeper than a bound is first renamed to the top of the tree and emptied from there, so a container that nests a hundred
//! thousand directories costs no more than their removal. What is mounted in the tree is not entered, and stays.

use crate::{Context, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Levels that are walked with an open descriptor each.
const LEVELS: usize = 48;

/// Removes `name` in `parent` and everything below. Goes on after an error and reports the first. A missing tree is a success.
pub fn tree(parent: impl AsFd, name: &[u8]) -> Result<()> {
    match fs::unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e).on("remove", name),
    }
    contents(&parent, name)?;
    fs::unlinkat(&parent, name, AtFlags::REMOVEDIR).on("remove", name)
}

/// Empties the directory `name`, which stays.
fn contents(parent: impl AsFd, name: &[u8]) -> Result<()> {
    let top = open_dir(&parent, name).on("open", name)?;
    let mut walk = Walk { top: top.as_fd(), moved: 0, error: None };
    loop {
        let before = walk.moved;
        fs::seek(&top, fs::SeekFrom::Start(0)).on("read", name)?;
        walk.empty(top.as_fd(), LEVELS);
        if walk.moved == before || walk.error.is_some() {
            break;
        }
    }
    match walk.error {
        None => Ok(()),
        Some((errno, object)) => Err(errno).on("remove", &object),
    }
}

/// Opens a directory of the same mount.
fn open_dir(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        match fs::openat2(&parent, name, flags, Mode::empty(), ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::XDEV) => return Err(Errno::BUSY),
            other => return other,
        }
    }
}

struct Walk<'a> {
    top: BorrowedFd<'a>,
    moved: u64,
    error: Option<(Errno, Vec<u8>)>,
}

impl Walk<'_> {
    fn note(&mut self, result: rustix::io::Result<()>, name: &[u8]) {
        if let Err(errno) = result
            && errno != Errno::NOENT
        {
            self.error.get_or_insert((errno, name.to_vec()));
        }
    }

    fn empty(&mut self, dir: BorrowedFd<'_>, levels: usize) {
        let mut buffer = Vec::with_capacity(8 * 1024);
        let mut entries = RawDir::new(dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => return self.note(Err(errno), b"directory"),
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if entry.file_type() != FileType::Directory {
                match fs::unlinkat(dir, name, AtFlags::empty()) {
                    Err(Errno::ISDIR) => {}
                    other => {
                        self.note(other, name);
                        continue;
                    }
                }
            }
            self.directory(dir, name, levels);
        }
    }

    fn directory(&mut self, dir: BorrowedFd<'_>, name: &[u8], levels: usize) {
        // Most directories of a layer's work area are empty: try the cheap way first.
        match fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Ok(()) => return,
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) => return self.note(Err(errno), name),
        }
        if levels == 0 {
            self.moved += 1;
            let moved = format!(".moved-{}", self.moved);
            // A name of that form may be taken by content: then the next round finds it emptied.
            let result = fs::renameat(dir, name, self.top, moved.as_bytes());
            let taken = matches!(result, Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR));
            return self.note(if taken { Ok(()) } else { result }, name);
        }
        match open_dir(dir, name) {
            Ok(fd) => self.empty(fd.as_fd(), levels - 1),
            Err(errno) => return self.note(Err(errno), name),
        }
        match fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
            // Something inside could not be moved yet, or its own error is already noted.
            Err(Errno::NOTEMPTY | Errno::EXIST) => self.moved += 1,
            other => self.note(other, name),
        }
    }
}
