//! An overlay as data, and the call that makes it a detached mount.

use crate::mount::{self, Filesystem};
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The directories of one overlay filesystem. Paths are host paths owned by the engine, never a container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Lower directories, topmost first. Never empty.
    pub lower: Vec<PathBuf>,
    /// Upper directory; `None` makes a read-only view.
    pub upper: Option<PathBuf>,
    /// Work directory, on the filesystem of `upper`.
    pub work: Option<PathBuf>,
    /// Never mounted again: skip all syncs (`volatile`).
    #[serde(default)]
    pub volatile: bool,
}

/// fsconfig takes strings of this many bytes at most.
const STRING_MAX: usize = 255;

impl Overlay {
    /// Mounts it detached (fsopen, fsconfig, fsmount; `lowerdir+` where the kernel has it), with
    /// `index=off,metacopy=off,redirect_dir=nofollow,xino=auto`. Nothing appears in any mount table until the
    /// descriptor is moved somewhere. A view with a single lower directory and no upper is a bind clone of it.
    /// `EINVAL` for an upper without work or no lower at all. The error's text has the kernel's own words where it gave any.
    pub fn mount_detached(&self) -> io::Result<OwnedFd> {
        if self.lower.is_empty() || self.upper.is_some() != self.work.is_some() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        if let ([only], None) = (self.lower.as_slice(), &self.upper) {
            return read_only_clone(only);
        }
        let fs = self.configure()?;
        for layer in &self.lower {
            match set_path(&fs, "lowerdir+", layer) {
                Ok(()) => {}
                // Linux 6.5 and 6.6 have the new way of configuration, but no such key.
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => return self.mount_joined(),
                Err(e) => return Err(explain(&fs, e, layer)),
            }
        }
        if let (Some(upper), Some(work)) = (&self.upper, &self.work) {
            set_path(&fs, "upperdir", upper).map_err(|e| explain(&fs, e, upper))?;
            set_path(&fs, "workdir", work).map_err(|e| explain(&fs, e, work))?;
        }
        match fs.mount_or_log(0) {
            // Before Linux 6.5 every key is taken, and the mount is refused at the end.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput && takes_every_key()? => self.mount_joined(),
            other => other,
        }
    }

    pub(crate) fn configure(&self) -> io::Result<Filesystem> {
        let fs = Filesystem::open("overlay")?;
        for (key, value) in [("source", "overlay"), ("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow"), ("xino", "auto")] {
            fs.string(key, value)?;
        }
        if self.volatile && self.upper.is_some() {
            fs.flag("volatile")?;
        }
        Ok(fs)
    }

    /// `lowerdir=a:b:c`, for older kernels. All layers must fit one string, so they are named by descriptor number, as seen from a working
    /// directory in `/proc`; that directory belongs to a thread of its own.
    fn mount_joined(&self) -> io::Result<OwnedFd> {
        let open = |path: &PathBuf| mount::open_path(path);
        let lower: Vec<_> = self.lower.iter().map(open).collect::<io::Result<_>>()?;
        let upper = self.upper.as_ref().map(open).transpose()?;
        let work = self.work.as_ref().map(open).transpose()?;
        let name = |fd: &OwnedFd| fd.as_raw_fd().to_string();
        let joined = lower.iter().map(name).collect::<Vec<_>>().join(":");
        if joined.len() > STRING_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many layers for this kernel"));
        }
        let work_in_thread = || {
            crate::process::unshare_fs()?;
            rustix::process::chdir("/proc/thread-self/fd")?;
            let fs = self.configure()?;
            fs.string("lowerdir", joined.as_str())?;
            if let (Some(upper), Some(work)) = (&upper, &work) {
                fs.string("upperdir", name(upper))?;
                fs.string("workdir", name(work))?;
            }
            fs.mount_or_log(0)
        };
        crate::clone::in_thread(work_in_thread)
    }
}

/// A bind clone that cannot be written to (its filesystem can).
fn read_only_clone(dir: &Path) -> io::Result<OwnedFd> {
    let tree = mount::clone_tree(CWD, dir, false)?;
    mount::set_attr(&tree, false, mount::RDONLY, 0, Some(mount::Propagation::Private))?;
    Ok(tree)
}

/// Sets a directory by its name if that fits, else by descriptor (Linux 6.13), else by the descriptor's name in `/proc`.
/// Only the single-directory keys take a name as it is: it is not parsed for separators.
fn set_path(fs: &Filesystem, key: &str, path: &Path) -> io::Result<()> {
    let bytes = path.as_os_str().as_bytes();
    // Upper and work are unescaped by the kernel, so a name with a backslash goes another way.
    if bytes.len() <= STRING_MAX && !bytes.contains(&b'\\') {
        return fs.string(key, path);
    }
    let fd = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match fs.fd(key, &fd) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => fs.string(key, format!("/proc/self/fd/{}", fd.as_raw_fd())),
        other => other,
    }
}

/// Whether overlayfs still parses its options in one go when it is mounted.
fn takes_every_key() -> io::Result<bool> {
    Ok(Filesystem::open("overlay")?.flag("dhow-no-such-key").is_ok())
}

fn explain(fs: &Filesystem, error: io::Error, path: &Path) -> io::Error {
    let log = fs.log();
    let hint = if log.is_empty() { String::new() } else { format!(" ({log})") };
    io::Error::new(error.kind(), format!("{}: {error}{hint}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{AtFlags, openat, statat};

    fn write(dir: &Path, name: &str, text: &str) {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join(name), text).unwrap();
    }

    fn read(root: &OwnedFd, name: &str) -> String {
        let fd = openat(root, name, OFlags::RDONLY, Mode::empty()).unwrap();
        std::io::read_to_string(std::fs::File::from(fd)).unwrap()
    }

    /// A tmpfs that is mounted nowhere, reachable as a path while its descriptor lives. Upper directories cannot lie on every disk.
    fn room() -> (OwnedFd, PathBuf) {
        let tmp = Filesystem::open("tmpfs").unwrap().mount(0).unwrap();
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), tmp.as_raw_fd()));
        (tmp, path)
    }

    fn check(layers: usize, deep: &str, joined: bool) {
        let (_tmp, room) = room();
        let place = |n: &str| room.join(deep).join(n);
        let lower: Vec<PathBuf> = (0..layers).map(|n| place(&format!("lower{n}"))).collect();
        for (n, dir) in lower.iter().enumerate() {
            write(dir, &format!("only{n}"), "x");
            write(dir, "common", &n.to_string());
        }
        let (upper, work) = (place("upper"), place("work"));
        for dir in [&upper, &work] {
            std::fs::create_dir_all(dir).unwrap();
        }
        let overlay = Overlay { lower, upper: Some(upper.clone()), work: Some(work), volatile: true };
        let root = if joined { overlay.mount_joined() } else { overlay.mount_detached() }.unwrap();
        assert_eq!(read(&root, "common"), "0", "the first is topmost");
        assert_eq!(read(&root, &format!("only{}", layers - 1)), "x");
        openat(&root, "new", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap();
        assert!(upper.join("new").exists());
        assert_eq!(mount::magic(&root).unwrap(), 0x794c_7630);
    }

    #[test]
    fn one_layer() {
        check(1, "", false);
    }

    #[test]
    fn more_layers_than_one_string_holds() {
        check(40, "a/path/of/some/length", false);
    }

    #[test]
    fn names_too_long_for_a_string_or_with_odd_bytes() {
        check(3, &format!("{}/{}", "x".repeat(200), "y".repeat(200)), false);
        check(3, "co:lon,com\\ma", false);
    }

    #[test]
    fn as_on_older_kernels() {
        check(2, "co:lon", true);
        check(20, &"z".repeat(200), true);
    }

    #[test]
    fn views_are_read_only() {
        let (_tmp, room) = room();
        for name in ["a", "b"] {
            write(&room.join(name), name, name);
        }
        for lower in [vec![room.join("a")], vec![room.join("a"), room.join("b")]] {
            let two = lower.len() == 2;
            let root = Overlay { lower, upper: None, work: None, volatile: false }.mount_detached().unwrap();
            assert_eq!(read(&root, "a"), "a");
            assert_eq!(statat(&root, "b", AtFlags::empty()).is_ok(), two);
            let made = openat(&root, "new", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644));
            assert_eq!(made.unwrap_err(), rustix::io::Errno::ROFS);
        }
    }

    #[test]
    fn a_mount_refused_for_other_reasons_is_not_tried_again_in_the_old_way() {
        assert_eq!(takes_every_key().unwrap(), mount_joined_is_the_only_way());
    }

    /// By the kernel's version, which the code itself never asks.
    fn mount_joined_is_the_only_way() -> bool {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let mut parts = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < (6, 5)
    }

    #[test]
    fn wrong_input_is_named() {
        let none = Overlay { lower: vec![], upper: None, work: None, volatile: false };
        assert_eq!(none.mount_detached().unwrap_err().raw_os_error(), Some(libc::EINVAL));
        let missing = Overlay { lower: vec!["/nowhere/a".into(), "/nowhere/b".into()], upper: None, work: None, volatile: false };
        let text = missing.mount_detached().unwrap_err().to_string();
        assert!(text.contains("/nowhere/a"), "{text}");
    }
}
