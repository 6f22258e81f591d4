//! Nodes made of an archive's members: by descriptor or by a name that was made a moment ago, never through a link.

use super::{owner, timestamps, xattr};
use crate::tarball::{Kind, Member, Reader};
use crate::{Context, Error, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// Owner, then mode: a change of owner clears set-id bits. `chown` false leaves the owner as it is.
pub fn own(fd: impl AsFd, uid: u32, gid: u32, mode: u32, chown: bool, path: &[u8]) -> Result<()> {
    if chown {
        let (uid, gid) = owner(uid, gid);
        fs::fchown(&fd, uid, gid).on("chown", path)?;
    }
    fs::fchmod(&fd, Mode::from_raw_mode(mode)).on("chmod", path)
}

/// All attributes of a member but its times, by descriptor.
pub fn dress(fd: impl AsFd, member: &Member, chown: bool, path: &[u8]) -> Result<()> {
    own(&fd, member.uid, member.gid, member.mode, chown, path)?;
    xattr::write(&fd, &member.xattrs, path)
}

/// Makes what a member says, which is no directory and no further name, under a name that is free, with all its attributes.
pub fn make(parent: impl AsFd, name: &[u8], member: &Member, reader: &mut Reader<'_>, chown: bool, path: &[u8]) -> Result<()> {
    let kind = match member.kind {
        Kind::Regular => return file(parent, name, member, reader, chown, path),
        Kind::Symlink if member.link.is_empty() => {
            return Err(Error::Archive { entry: member.shown(), reason: "a link without a target".into() });
        }
        Kind::Symlink => {
            fs::symlinkat(&member.link[..], &parent, name).on("make link", path)?;
            return dress_name(&parent, name, member, chown, path);
        }
        Kind::Char => FileType::CharacterDevice,
        Kind::Block => FileType::BlockDevice,
        _ => FileType::Fifo,
    };
    let device = if kind == FileType::Fifo { 0 } else { fs::makedev(member.device.0, member.device.1) };
    fs::mknodat(&parent, name, kind, Mode::from_raw_mode(member.mode), device).on("make device", path)?;
    dress_name(&parent, name, member, chown, path)
}

/// Attributes of a link, pipe or device that was made under this name a moment ago.
fn dress_name(parent: impl AsFd, name: &[u8], member: &Member, chown: bool, path: &[u8]) -> Result<()> {
    // What bears the name now is looked at once and then known by its descriptor: somebody may put a link there.
    let node = fs::openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).on("open", path)?;
    if chown {
        let (uid, gid) = owner(member.uid, member.gid);
        fs::chownat(&node, "", uid, gid, AtFlags::EMPTY_PATH).on("chown", path)?;
    }
    let found = FileType::from_raw_mode(fs::fstat(&node).on("stat", path)?.st_mode);
    if member.kind != Kind::Symlink && found != FileType::Symlink {
        let same = super::magic_link(&node);
        fs::chmod(same, Mode::from_raw_mode(member.mode)).on("chmod", path)?;
    }
    fs::utimensat(&parent, name, &timestamps(member.mtime), AtFlags::SYMLINK_NOFOLLOW).on("set times of", path)
}

/// A regular file: content, then owner, mode, attributes, times, all through its one descriptor.
fn file(parent: impl AsFd, name: &[u8], member: &Member, reader: &mut Reader<'_>, chown: bool, path: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(&parent, name, flags, Mode::RUSR | Mode::WUSR).on("make", path)?;
    match &member.sparse {
        None => content(reader, &file, 0, u64::MAX, path)?,
        Some(pieces) => {
            for &(offset, length) in pieces {
                content(reader, &file, offset, length, path)?;
            }
            fs::ftruncate(&file, member.size).on("write", path)?;
        }
    }
    dress(&file, member, chown, path)?;
    fs::futimens(&file, &timestamps(member.mtime)).on("set times of", path)
}

/// Writes up to `length` bytes of the member at `offset`.
fn content(reader: &mut Reader<'_>, file: &OwnedFd, mut offset: u64, length: u64, path: &[u8]) -> Result<()> {
    let mut left = length;
    while left > 0 {
        let chunk = reader.peek()?;
        if chunk.is_empty() {
            break;
        }
        let chunk = &chunk[..chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        let written = match rustix::io::pwrite(file, chunk, offset) {
            Err(Errno::INTR) => continue,
            other => other.on("write", path)?,
        };
        reader.consume(written);
        offset += written as u64;
        left -= written as u64;
    }
    Ok(())
}
