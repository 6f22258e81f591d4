//! Makes a tree survive a power cut: every file and directory of it, and nothing else of the filesystem.

use super::{Context, check_depth, is_dir, join, kind, names, open_dir, open_file, stat};
use crate::store::Result;
use rustix::fs::{self, FileType};
use std::os::fd::AsFd;

/// Syncs what is below `dir`, then `dir` itself.
pub(crate) fn tree(dir: impl AsFd) -> Result<()> {
    walk(dir, b"", 0)
}

fn walk(dir: impl AsFd, path: &[u8], depth: usize) -> Result<()> {
    check_depth(depth)?;
    for name in names(&dir).on("read", path)? {
        let at = join(path, &name);
        let stat = stat(&dir, &name).on("stat", &at)?;
        if is_dir(&stat) {
            walk(open_dir(&dir, &name).on("open", &at)?, &at, depth + 1)?;
        } else if kind(&stat) == FileType::RegularFile && stat.st_size > 0 {
            let fd = open_file(&dir, &name).on("open", &at)?;
            fs::fsync(&fd).on("sync", &at)?;
        }
    }
    fs::fsync(&dir).on("sync", path)
}
