//! Attributes of what has just been made, set through its own descriptor or name, never through a link.

use crate::store::Result;
use crate::tarball::Member;
use crate::tree::{Context, owner, permissions, timestamps, xattr};
use rustix::fs::{self, AtFlags, Mode};
use std::os::fd::AsFd;

/// Owner, then mode: a change of owner clears set-id bits.
pub(super) fn own(fd: impl AsFd, uid: u32, gid: u32, mode: u32, path: &[u8]) -> Result<()> {
    let (uid, gid) = owner(uid, gid);
    fs::fchown(&fd, uid, gid).on("chown", path)?;
    fs::fchmod(&fd, Mode::from_raw_mode(mode)).on("chmod", path)
}

/// The attributes of a directory below, without overlay's mark.
pub(super) fn inherit(from: impl AsFd, to: impl AsFd, path: &[u8]) -> Result<()> {
    let stat = fs::fstat(&from).on("stat", path)?;
    own(&to, stat.st_uid, stat.st_gid, permissions(&stat).as_raw_mode(), path)?;
    Ok(xattr::write(&to, &xattr::read(&from).on("read attributes of", path)?, path)?)
}

/// All attributes of a member but its times, by descriptor.
pub(super) fn dress(fd: impl AsFd, member: &Member, path: &[u8]) -> Result<()> {
    own(&fd, member.uid, member.gid, member.mode, path)?;
    Ok(xattr::write(&fd, &member.xattrs, path)?)
}

/// Attributes of a link, pipe or device that was made under this name a moment ago.
pub(super) fn dress_name(parent: impl AsFd, name: &[u8], member: &Member, link: bool, path: &[u8]) -> Result<()> {
    let (uid, gid) = owner(member.uid, member.gid);
    fs::chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).on("chown", path)?;
    if !link {
        fs::chmodat(&parent, name, Mode::from_raw_mode(member.mode), AtFlags::empty()).on("chmod", path)?;
    }
    let times = timestamps(member.mtime);
    fs::utimensat(&parent, name, &times, AtFlags::SYMLINK_NOFOLLOW).on("set times of", path)
}
