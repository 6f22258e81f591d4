//! A network namespace kept by a name: a bind mount of it on an empty file.

use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Mounts the namespace on `path`, which is made.
pub(crate) fn pin(namespace: impl AsFd, path: &Path) -> io::Result<()> {
    let make = || rustix::fs::open(path, OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::from_raw_mode(0o444));
    let file = match make() {
        Err(rustix::io::Errno::NOENT) => {
            std::fs::create_dir_all(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            make()?
        }
        other => other?,
    };
    let mount = dhow_sys::mount::clone_tree(namespace, Path::new(""), false)?;
    dhow_sys::mount::attach(mount, file)
}
