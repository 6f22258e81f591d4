//! A JSON document in a directory of one owner.

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Writes `value` to `dir/name` by way of a temporary name, so that a reader sees all of it or nothing. Returns the file.
pub(crate) fn write<T: Serialize>(dir: &Path, name: &str, value: &T) -> io::Result<OwnedFd> {
    let body = serde_json::to_vec(value).map_err(io::Error::other)?;
    let temporary = dir.join(format!("{name}.tmp"));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(&temporary, flags, Mode::from_raw_mode(0o600))?;
    write_all(&file, &body)?;
    rustix::fs::rename(&temporary, dir.join(name))?;
    Ok(file)
}

/// Writes a new value over the old one, in a single write of less than a page. (A rename over an existing file makes ext4 write the new one
/// to the disk at once, which on a busy disk takes its time.)
pub(crate) fn rewrite<T: Serialize>(file: &OwnedFd, value: &T) -> io::Result<()> {
    let mut body = serde_json::to_vec(value).map_err(io::Error::other)?;
    let old = rustix::fs::fstat(file)?.st_size.max(0) as usize;
    body.resize(body.len().max(old), b' ');
    match rustix::io::pwrite(file, &body, 0)? {
        done if done == body.len() => Ok(()),
        _ => Err(ErrorKind::WriteZero.into()),
    }
}

fn write_all(file: &OwnedFd, mut body: &[u8]) -> io::Result<()> {
    while !body.is_empty() {
        let done = rustix::io::retry_on_intr(|| rustix::io::write(file, body))?;
        if done == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        body = body.get(done..).unwrap_or_default();
    }
    Ok(())
}

/// What stands there, if it does.
pub(crate) fn read<T: for<'a> Deserialize<'a>>(dir: &Path, name: &str) -> io::Result<Option<T>> {
    match std::fs::read(dir.join(name)) {
        Ok(body) => Ok(Some(serde_json::from_slice(&body)?)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
