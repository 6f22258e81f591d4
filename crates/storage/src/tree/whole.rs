//! Full copies of merged layers.

use super::copy::{Links, attributes};
use super::merged::{Found, Merged};
use super::{Context, check_depth, join, open_dir};
use crate::store::Result;
use rustix::fs::{self, Mode};
use std::os::fd::AsFd;

/// Copies what `layers` show into the empty directory `to`: content with its holes, owners, modes, attributes, times, links; no marks.
pub(crate) fn copy(layers: &Merged, to: impl AsFd) -> Result<()> {
    let root = to.as_fd().try_clone_to_owned().on("copy", b"/")?;
    directory(layers, to, b"", 0, &mut Links::new(root))
}

fn directory(layers: &Merged, to: impl AsFd, path: &[u8], depth: usize, links: &mut Links) -> Result<()> {
    check_depth(depth)?;
    for name in layers.candidates().on("read", path)? {
        let at = join(path, &name);
        match layers.child(&name).on("look up", &at)? {
            None => {}
            Some(Found::Dir(inner, _)) => {
                fs::mkdirat(&to, &name[..], Mode::RWXU).on("make", &at)?;
                directory(&inner, open_dir(&to, &name).on("open", &at)?, &at, depth + 1, links)?;
            }
            Some(Found::Other(dir, stat)) => {
                links.node(dir, &to, &name, &stat, &at)?;
            }
        }
    }
    match layers.top() {
        Some(top) => attributes(top, to, path),
        None => Ok(()),
    }
}
