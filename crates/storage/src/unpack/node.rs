//! Attributes of directories that the chain below has.

use crate::store::Result;
use crate::tree::{Context, permissions, xattr};
pub(super) use dhow_archive::tree::node::make;
use rustix::fs;
use std::os::fd::AsFd;

/// Owner, then mode.
pub(super) fn own(fd: impl AsFd, uid: u32, gid: u32, mode: u32, path: &[u8]) -> Result<()> {
    Ok(dhow_archive::tree::node::own(fd, uid, gid, mode, true, path)?)
}

/// The attributes of a directory below, without overlay's mark.
pub(super) fn inherit(from: impl AsFd, to: impl AsFd, path: &[u8]) -> Result<()> {
    let stat = fs::fstat(&from).on("stat", path)?;
    own(&to, stat.st_uid, stat.st_gid, permissions(&stat).as_raw_mode(), path)?;
    Ok(xattr::write(&to, &xattr::read(&from).on("read attributes of", path)?, path)?)
}

/// All attributes of a member but its times, by descriptor.
pub(super) fn dress(fd: impl AsFd, member: &crate::tarball::Member, path: &[u8]) -> Result<()> {
    Ok(dhow_archive::tree::node::dress(fd, member, true, path)?)
}
