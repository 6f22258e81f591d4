//! Copies of nodes and trees with everything that belongs to content, from a source that may be live.

use super::{Context, check_depth, is_dir, join, kind, mtime, names, open_dir, open_file, owner, permissions, stat_opt, timestamps, xattr};
use crate::store::Result;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

/// Copies what is in `from` into the empty directory `to`, overlay's marks included. What vanishes meanwhile is left out.
pub(crate) fn tree(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let root = to.as_fd().try_clone_to_owned().on("copy", b"/")?;
    directory(from, to, b"", 0, &mut Links::new(root))
}

/// Copied inodes with several names, by where the copy is.
pub(crate) struct Links {
    root: OwnedFd,
    seen: HashMap<(u64, u64), Vec<u8>>,
}

impl Links {
    /// For copies below this directory.
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { root, seen: HashMap::new() }
    }

    /// Copies one name that is no directory, as a further name where its inode was copied before. False where it has vanished.
    pub(crate) fn node(&mut self, from: impl AsFd, to: impl AsFd, name: &[u8], stat: &Stat, at: &[u8]) -> Result<bool> {
        let inode = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1 {
            if let Some(first) = self.seen.get(&inode) {
                fs::linkat(&self.root, &first[..], &to, name, AtFlags::empty()).on("link", at)?;
                return Ok(true);
            }
            // A socket is copied nowhere.
            if kind(stat) != FileType::Socket {
                self.seen.insert(inode, at.to_vec());
            }
        }
        match node(&from, &to, name, stat) {
            Err(Errno::NOENT) => {
                self.seen.remove(&inode);
                Ok(false)
            }
            other => other.map(|()| true).on("copy", at),
        }
    }
}

fn directory(from: impl AsFd, to: impl AsFd, path: &[u8], depth: usize, links: &mut Links) -> Result<()> {
    check_depth(depth)?;
    for name in names(&from).on("read", path)? {
        let at = join(path, &name);
        let Some(stat) = stat_opt(&from, &name).on("stat", &at)? else {
            continue;
        };
        if is_dir(&stat) {
            let source = match open_dir(&from, &name) {
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                other => other.on("open", &at)?,
            };
            fs::mkdirat(&to, &name[..], Mode::RWXU).on("make", &at)?;
            let target = open_dir(&to, &name).on("open", &at)?;
            directory(&source, &target, &at, depth + 1, links)?;
        } else {
            links.node(&from, &to, &name, &stat, &at)?;
        }
    }
    if xattr::is_opaque(&from).on("read attributes of", path)? {
        xattr::set_opaque(&to).on("set attributes of", path)?;
    }
    attributes(from, to, path)
}

/// Owner, mode, attributes and times of a directory.
pub(crate) fn attributes(from: impl AsFd, to: impl AsFd, path: &[u8]) -> Result<()> {
    let stat = fs::fstat(&from).on("stat", path)?;
    let (uid, gid) = owner(stat.st_uid, stat.st_gid);
    fs::fchown(&to, uid, gid).on("chown", path)?;
    fs::fchmod(&to, permissions(&stat)).on("chmod", path)?;
    xattr::write(&to, &xattr::read(&from).on("read attributes of", path)?, path)?;
    fs::futimens(&to, &timestamps(mtime(&stat))).on("set times of", path)
}

/// Copies one node that is no directory. Sockets are left out: no archive can hold them.
pub(crate) fn node(from: impl AsFd, to: impl AsFd, name: &[u8], stat: &Stat) -> rustix::io::Result<()> {
    match kind(stat) {
        FileType::RegularFile => return file(from, name, to, name),
        FileType::Symlink => {
            let target = fs::readlinkat(&from, name, Vec::new())?;
            fs::symlinkat(target.as_c_str(), &to, name)?;
        }
        FileType::Socket => return Ok(()),
        other => {
            fs::mknodat(&to, name, other, permissions(stat), stat.st_rdev)?;
        }
    }
    let (uid, gid) = owner(stat.st_uid, stat.st_gid);
    fs::chownat(&to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    if kind(stat) != FileType::Symlink {
        fs::chmodat(&to, name, permissions(stat), AtFlags::empty())?;
    }
    fs::utimensat(&to, name, &timestamps(mtime(stat)), AtFlags::SYMLINK_NOFOLLOW)
}

/// Copies a regular file with all that belongs to it, under a new name.
pub(crate) fn file(from: impl AsFd, name: &[u8], to: impl AsFd, new: &[u8]) -> rustix::io::Result<()> {
    let source = match open_file(&from, name) {
        // Something else has taken its place since it was listed.
        Err(Errno::INVAL | Errno::LOOP | Errno::NXIO) => return Err(Errno::NOENT),
        other => other?,
    };
    let stat = fs::fstat(&source)?;
    let target =
        fs::openat(&to, new, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
    data(&source, &target, stat.st_size as u64)?;
    let (uid, gid) = owner(stat.st_uid, stat.st_gid);
    fs::fchown(&target, uid, gid)?;
    fs::fchmod(&target, permissions(&stat))?;
    for (key, value) in xattr::read(&source)? {
        fs::fsetxattr(&target, &key[..], &value, fs::XattrFlags::empty())?;
    }
    fs::futimens(&target, &timestamps(mtime(&stat)))
}

/// Where a file has data: offset and length of each piece, in order. A source that shrinks ends early, one that grows is cut: the size is
/// what it was at the start.
pub(crate) fn pieces(source: impl AsFd, size: u64) -> rustix::io::Result<Vec<(u64, u64)>> {
    let mut pieces = Vec::new();
    let mut position = 0;
    while position < size {
        let start = match fs::seek(&source, SeekFrom::Data(position)) {
            Err(Errno::NXIO) => break,
            other => other?.min(size),
        };
        let end = match fs::seek(&source, SeekFrom::Hole(start)) {
            Err(Errno::NXIO) => break,
            other => other?.min(size),
        };
        if end > start {
            pieces.push((start, end - start));
        }
        position = end.max(position + 1);
    }
    Ok(pieces)
}

/// Copies `size` bytes, leaving holes holes.
fn data(source: &OwnedFd, target: &OwnedFd, size: u64) -> rustix::io::Result<()> {
    fs::ftruncate(target, size)?;
    pieces(source, size)?.into_iter().try_for_each(|(start, length)| range(source, start, target, start, length))
}

/// Copies bytes from one place to another. An end of the source ends it.
pub(crate) fn range(source: &OwnedFd, mut from: u64, target: &OwnedFd, mut to: u64, length: u64) -> rustix::io::Result<()> {
    let end = from + length;
    while from < end {
        let length = usize::try_from(end - from).unwrap_or(usize::MAX).min(1 << 30);
        match fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            Ok(0) => break,
            Ok(_) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL) => return by_hand(source, from, target, to, end),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// For pairs of filesystems between which the kernel does not copy.
fn by_hand(source: &OwnedFd, mut from: u64, target: &OwnedFd, mut to: u64, end: u64) -> rustix::io::Result<()> {
    let mut buffer = vec![0u8; 64 * 1024];
    while from < end {
        let wanted = buffer.len().min(usize::try_from(end - from).unwrap_or(usize::MAX));
        let read = rustix::io::pread(source, &mut buffer[..wanted], from)?;
        if read == 0 {
            break;
        }
        let mut written = 0;
        while written < read {
            written += rustix::io::pwrite(target, &buffer[written..read], to + written as u64)?;
        }
        (from, to) = (from + read as u64, to + read as u64);
    }
    Ok(())
}
