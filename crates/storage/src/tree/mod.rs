//! Trees of layers and snapshots: what `archive` has for any tree, and what only a store does.

pub(crate) mod copy;
pub(crate) mod merged;
pub(crate) mod sync;
pub(crate) mod usage;
pub(crate) mod whole;

use crate::store::{Error, Result};
pub(crate) use dhow_archive::emit;
pub(crate) use dhow_archive::tree::{
    check_depth, is_dir, is_whiteout, join, kind, mtime, names, open_dir, open_file, owner, permissions, remove, stat, stat_opt,
    timestamps, xattr,
};

/// Puts operation and object to an error of the kernel's.
pub(crate) trait Context<T> {
    /// The object is shown lossily.
    fn on(self, op: &'static str, object: &[u8]) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Context<T> for std::result::Result<T, E> {
    fn on(self, op: &'static str, object: &[u8]) -> Result<T> {
        self.map_err(|source| Error::Io { op, object: String::from_utf8_lossy(object).into_owned(), source: source.into() })
    }
}
