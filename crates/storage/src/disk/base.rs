//! The directory that lies below every chain.

use super::state::Dirs;
use crate::store::Result;
use crate::tree::{Context, open_dir, remove, sync};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

const DIRECTORIES: [&str; 6] = ["dev", "dev/pts", "dev/shm", "etc", "proc", "sys"];
const FILES: [&str; 5] = [".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"];
const LINK: (&str, &str) = ("etc/mtab", "/proc/mounts");

/// Makes it where it is missing, whole or not at all.
pub(super) fn ensure(dirs: &Dirs) -> Result<()> {
    if open_dir(&dirs.root, b"base").is_ok() {
        return Ok(());
    }
    let (name, tmp) = dirs.make_tmp()?;
    let made = fill(&tmp).and_then(|()| sync::tree(&tmp));
    let made = made.and_then(|()| match dirs.move_from_tmp(&name, &dirs.root, "base") {
        // Another engine's start was quicker.
        Err(_) if open_dir(&dirs.root, b"base").is_ok() => Ok(remove::tree(&dirs.tmp, name.as_bytes())?),
        other => other,
    });
    if made.is_err() {
        // What is left goes with the next sweep if it does not go now.
        remove::tree(&dirs.tmp, name.as_bytes()).ok();
    }
    made
}

fn fill(tmp: &OwnedFd) -> Result<()> {
    fs::mkdirat(tmp, "fs", Mode::RWXU).on("make", b"fs")?;
    let root = open_dir(tmp, b"fs").on("open", b"fs")?;
    let mode = Mode::from_raw_mode(0o755);
    fs::fchmod(&root, mode).on("chmod", b"fs")?;
    for name in DIRECTORIES {
        match fs::mkdirat(&root, name, mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e).on("make", name.as_bytes()),
        }
        fs::chmodat(&root, name, mode, fs::AtFlags::empty()).on("chmod", name.as_bytes())?;
    }
    for name in FILES {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&root, name, flags, mode).on("make", name.as_bytes())?;
        fs::fchmod(&file, mode).on("chmod", name.as_bytes())?;
    }
    fs::symlinkat(LINK.1, &root, LINK.0).on("make", LINK.0.as_bytes())
}
