//! What a snapshot changed: its upper directory against the chain below, without mounting either.
//!
//! As Docker shows it: a removed directory is one line, everything in an added one is a line each, a directory above a change is shown as
//! modified itself, one that overlay copied up for nothing is not. Sizes and times of directories do not count.

use crate::store::{Change, ChangeKind, Result};
use crate::tree::merged::{Found, Merged};
use crate::tree::{Context, check_depth, is_dir, is_whiteout, join, mtime, names, open_dir, open_file, stat_opt, xattr};
use rustix::fs::{FileType, Stat};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Changes of `upper` against `lower`, sorted by path.
pub(crate) fn between(upper: &OwnedFd, lower: &Merged) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    directory(upper, Some(lower), b"", 0, &mut changes)?;
    changes.sort_unstable();
    Ok(changes)
}

fn push(changes: &mut Vec<Change>, path: &[u8], kind: ChangeKind) {
    let absolute = [b"/", path].concat();
    changes.push(Change { path: PathBuf::from(OsStr::from_bytes(&absolute)), kind });
}

/// Compares one directory; `lower` is `None` where nothing of it is below.
fn directory(upper: &OwnedFd, lower: Option<&Merged>, path: &[u8], depth: usize, changes: &mut Vec<Change>) -> Result<()> {
    check_depth(depth)?;
    let listed = names(upper).on("read", path)?;
    if depth > 0
        && let Some(lower) = lower
        && xattr::is_opaque(upper).on("read attributes of", path)?
    {
        for name in lower.names().on("read", path)? {
            if listed.binary_search(&name).is_err() {
                push(changes, &join(path, &name), ChangeKind::Deleted);
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
                push(changes, &at, ChangeKind::Deleted);
            }
        } else if is_dir(&stat) {
            child_directory(upper, &name, &stat, below, at, depth, changes)?;
        } else {
            match below {
                None => push(changes, &at, ChangeKind::Added),
                Some(found) if differs(upper, &name, &stat, &found)? => push(changes, &at, ChangeKind::Modified),
                Some(_) => {}
            }
        }
    }
    Ok(())
}

fn child_directory(
    upper: &OwnedFd,
    name: &[u8],
    stat: &Stat,
    below: Option<Found<'_>>,
    at: Vec<u8>,
    depth: usize,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let dir = open_dir(upper, name).on("open", &at)?;
    let Some(found) = below else {
        push(changes, &at, ChangeKind::Added);
        return directory(&dir, None, &at, depth + 1, changes);
    };
    let before = changes.len();
    let different = differs(upper, name, stat, &found)?;
    match &found {
        Found::Dir(lower, _) => directory(&dir, Some(lower), &at, depth + 1, changes)?,
        Found::Other(..) => directory(&dir, None, &at, depth + 1, changes)?,
    }
    if different || changes.len() > before {
        push(changes, &at, ChangeKind::Modified);
    }
    Ok(())
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
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        other => other.on("open", name)?,
    };
    let all = xattr::read(file).on("read attributes of", name)?;
    Ok(all.into_iter().find(|(key, _)| key == b"security.capability").map(|(_, value)| value))
}
