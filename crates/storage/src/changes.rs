//! What a snapshot changed: its upper directory, or its copy of everything, against the chain below, without mounting either.
//!
//! As Docker shows it: a removed directory is one line, everything in an added one is a line each, a directory above a change is shown as
//! modified itself, one that overlay copied up for nothing is not. Sizes and times of directories do not count.

use crate::store::{Change, ChangeKind, Result};
use crate::tree::merged::{Found, Merged};
use crate::tree::{Context, check_depth, is_dir, is_whiteout, join, mtime, names, open_dir, open_file, stat_opt, xattr};
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A changed path with what is there now; nothing where it was removed.
pub(crate) struct Changed {
    pub(crate) change: Change,
    pub(crate) stat: Option<Stat>,
}

/// Changes of `upper` against `lower`, sorted by path.
pub(crate) fn between(upper: &OwnedFd, lower: &Merged) -> Result<Vec<Change>> {
    Ok(Walk::run(Own::Upper, upper, lower)?.into_iter().map(|changed| changed.change).collect())
}

/// Changes of a full copy of `lower`, sorted by path.
pub(crate) fn of_copy(copy: &OwnedFd, lower: &Merged) -> Result<Vec<Changed>> {
    Walk::run(Own::Copy, copy, lower)
}

/// What the compared tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// An overlay's upper directory: what is not in it is as below, unless it hides that.
    Upper,
    /// All there is: what is not in it was removed.
    Copy,
}

struct Walk {
    own: Own,
    changes: Vec<Changed>,
}

impl Walk {
    fn run(own: Own, tree: &OwnedFd, lower: &Merged) -> Result<Vec<Changed>> {
        let mut walk = Self { own, changes: Vec::new() };
        walk.directory(tree, Some(lower), b"", 0)?;
        walk.changes.sort_unstable_by(|a, b| a.change.cmp(&b.change));
        Ok(walk.changes)
    }

    fn push(&mut self, path: &[u8], kind: ChangeKind, stat: Option<Stat>) {
        let absolute = [b"/", path].concat();
        self.changes.push(Changed { change: Change { path: PathBuf::from(OsStr::from_bytes(&absolute)), kind }, stat });
    }

    /// Compares one directory; `lower` is `None` where nothing of it is below.
    fn directory(&mut self, upper: &OwnedFd, lower: Option<&Merged>, path: &[u8], depth: usize) -> Result<()> {
        check_depth(depth)?;
        let listed = names(upper).on("read", path)?;
        if let Some(lower) = lower
            && self.hides(upper, path, depth)?
        {
            for name in lower.names().on("read", path)? {
                if listed.binary_search(&name).is_err() {
                    self.push(&join(path, &name), ChangeKind::Deleted, None);
                }
            }
        }
        for name in listed {
            let at = join(path, &name);
            let Some(stat) = stat_opt(upper, &name).on("stat", &at)? else {
                continue;
            };
            let below = lower.map(|l| l.child(&name)).transpose().on("look up", &at)?.flatten();
            if is_whiteout(&stat) {
                if below.is_some() {
                    self.push(&at, ChangeKind::Deleted, None);
                }
            } else if is_dir(&stat) {
                self.child(upper, &name, &stat, below, at, depth)?;
            } else {
                match below {
                    None => self.push(&at, ChangeKind::Added, Some(stat)),
                    Some(found) if differs(upper, &name, &stat, &found)? => self.push(&at, ChangeKind::Modified, Some(stat)),
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Whether what is below and not here is gone.
    fn hides(&self, dir: &OwnedFd, path: &[u8], depth: usize) -> Result<bool> {
        match self.own {
            Own::Copy => Ok(true),
            Own::Upper => Ok(depth > 0 && xattr::is_opaque(dir).on("read attributes of", path)?),
        }
    }

    fn child(&mut self, upper: &OwnedFd, name: &[u8], stat: &Stat, below: Option<Found<'_>>, at: Vec<u8>, depth: usize) -> Result<()> {
        let dir = match open_dir(upper, name) {
            // A copy may be in use.
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other.on("open", &at)?,
        };
        let Some(found) = below else {
            self.push(&at, ChangeKind::Added, Some(*stat));
            return self.directory(&dir, None, &at, depth + 1);
        };
        let before = self.changes.len();
        let different = differs(upper, name, stat, &found)?;
        match &found {
            Found::Dir(lower, _) => self.directory(&dir, Some(lower), &at, depth + 1)?,
            Found::Other(..) => self.directory(&dir, None, &at, depth + 1)?,
        }
        if different || self.changes.len() > before {
            self.push(&at, ChangeKind::Modified, Some(*stat));
        }
        Ok(())
    }
}

/// Docker's comparison: mode, owner, device; size and time of what is no directory; file capabilities.
fn differs(upper: &OwnedFd, name: &[u8], stat: &Stat, found: &Found<'_>) -> Result<bool> {
    let below = found.stat();
    if (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev) != (below.st_mode, below.st_uid, below.st_gid, below.st_rdev) {
        return Ok(true);
    }
    if is_dir(stat) {
        return Ok(false);
    }
    if stat.st_size != below.st_size || mtime(stat) != mtime(below) {
        return Ok(true);
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(false);
    }
    let Found::Other(dir, _) = found else {
        return Ok(true);
    };
    Ok(capability(upper, name)? != capability(dir, name)?)
}

fn capability(dir: impl AsFd, name: &[u8]) -> Result<Option<Vec<u8>>> {
    let file = match open_file(dir, name) {
        Err(Errno::NOENT | Errno::LOOP | Errno::INVAL) => return Ok(None),
        other => other.on("open", name)?,
    };
    let all = xattr::read(file).on("read attributes of", name)?;
    Ok(all.into_iter().find(|(key, _)| key == b"security.capability").map(|(_, value)| value))
}
