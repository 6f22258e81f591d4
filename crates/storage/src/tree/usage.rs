//! What a tree holds.

use super::{check_depth, is_dir, join, kind, names, open_dir, stat_opt};
use crate::store::{Result, Usage};
use crate::tree::Context;
use rustix::fs::FileType;
use std::collections::HashSet;
use std::os::fd::AsFd;

/// Bytes of files and links, each inode once, as Docker counts (directories are nothing), and inodes of all kinds.
/// What vanishes meanwhile is not counted.
pub(crate) fn of(root: impl AsFd) -> Result<Usage> {
    let mut usage = Usage { bytes: 0, inodes: 1 };
    walk(root, b"", 0, &mut usage, &mut HashSet::new())?;
    Ok(usage)
}

fn walk(dir: impl AsFd, path: &[u8], depth: usize, usage: &mut Usage, seen: &mut HashSet<u64>) -> Result<()> {
    check_depth(depth)?;
    for name in names(&dir).on("read", path)? {
        let Some(stat) = stat_opt(&dir, &name).on("stat", &name)? else {
            continue;
        };
        if is_dir(&stat) {
            usage.inodes += 1;
            match open_dir(&dir, &name) {
                Ok(fd) => walk(fd, &join(path, &name), depth + 1, usage, seen)?,
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
                Err(e) => return Err(e).on("open", &join(path, &name)),
            }
            continue;
        }
        if stat.st_nlink > 1 && !seen.insert(stat.st_ino) {
            continue;
        }
        usage.inodes += 1;
        if matches!(kind(&stat), FileType::RegularFile | FileType::Symlink) {
            usage.bytes += stat.st_size as u64;
        }
    }
    Ok(())
}
