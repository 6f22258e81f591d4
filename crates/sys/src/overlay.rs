//! An overlay as data, and the call that makes it a detached mount. A plain directory can stand in for one.

use crate::mount::{self, Filesystem};
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The directories of one overlay filesystem. Paths are host paths owned by the engine, never a container's.
///
/// Without lower layers and a work directory it is the upper directory alone ([`Overlay::plain`]): a tree that needs no overlayfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Lower layers, topmost first. Empty for a plain directory only.
    pub lower: Vec<Lower>,
    /// Upper directory; `None` makes a read-only view.
    pub upper: Option<PathBuf>,
    /// Work directory, on the filesystem of `upper`.
    pub work: Option<PathBuf>,
    /// Never mounted again: skip all syncs (`volatile`).
    #[serde(default)]
    pub volatile: bool,
}

/// One lower layer, or whatever else is a directory that somebody may hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Lower {
    /// A directory.
    Dir(PathBuf),
    /// A filesystem of its own that a process holds mounted, detached: it has no path.
    Held(Held),
}

/// A detached mount by who holds it. Everybody who uses it shares its one superblock, and with it what is cached of its files.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// The process, as this pid namespace knows it.
    pub process: i32,
    /// The descriptor there.
    pub fd: i32,
    /// The kernel's unique id of the mount, which is never used again: what is found must have it.
    pub mount: u64,
    /// Where the files are that it was made of, for people.
    pub place: PathBuf,
}

impl Lower {
    /// The directory, or the one with the files that the filesystem was made of. For people and records, not for mounts.
    pub fn place(&self) -> &Path {
        match self {
            Self::Dir(dir) => dir,
            Self::Held(held) => &held.place,
        }
    }

    /// Opens it, as O_PATH or as its holder has it.
    pub fn open(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Dir(dir) => mount::open_path(dir),
            Self::Held(held) => held.fetch(),
        }
    }
}

impl From<PathBuf> for Lower {
    fn from(dir: PathBuf) -> Self {
        Self::Dir(dir)
    }
}

impl Held {
    /// What this process holds, by its descriptor.
    pub fn new(mount: &OwnedFd, place: PathBuf) -> io::Result<Self> {
        let process = rustix::process::getpid().as_raw_nonzero().get();
        Ok(Self { process, fd: mount.as_raw_fd(), mount: mount::unique_id(mount)?, place })
    }

    /// The descriptor, shared with the process that holds it: with it the mount lives on, whatever becomes of that process. Where that
    /// is forbidden (Yama's strictest setting) one that merely refers to it.
    pub fn fetch(&self) -> io::Result<OwnedFd> {
        let fd = match shared(self.process, self.fd) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                mount::open_path(Path::new(&format!("/proc/{}/fd/{}", self.process, self.fd)))?
            }
            other => other?,
        };
        if mount::unique_id(&fd)? != self.mount {
            return Err(io::Error::from_raw_os_error(libc::ESTALE));
        }
        Ok(fd)
    }
}

/// Another process's open file, or this one's own.
pub fn shared(process: i32, fd: i32) -> io::Result<OwnedFd> {
    let process = rustix::process::Pid::from_raw(process).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    let process = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())?;
    Ok(rustix::process::pidfd_getfd(process, fd, rustix::process::PidfdGetfdFlags::empty())?)
}

/// What a lower layer is named by at the mount.
enum Source<'a> {
    Path(&'a Path),
    Fd(&'a OwnedFd),
}

/// fsconfig takes strings of this many bytes at most.
const STRING_MAX: usize = 255;

impl Overlay {
    /// A directory that is the whole tree, writable.
    #[must_use]
    pub fn plain(dir: PathBuf) -> Self {
        Self { lower: Vec::new(), upper: Some(dir), work: None, volatile: false }
    }

    /// The directory, where it is all of the tree.
    #[must_use]
    pub fn as_plain(&self) -> Option<&Path> {
        self.upper.as_deref().filter(|_| self.lower.is_empty() && self.work.is_none())
    }

    /// Mounts it detached (fsopen, fsconfig, fsmount; `lowerdir+` where the kernel has it), with
    /// `index=off,metacopy=off,redirect_dir=nofollow,xino=auto`. Nothing appears in any mount table until the
    /// descriptor is moved somewhere. A view with a single lower directory and no upper is a bind clone of it, and so is a plain directory.
    /// `EINVAL` for an upper without work or no lower at all. The error's text has the kernel's own words where it gave any.
    pub fn mount_detached(&self) -> io::Result<OwnedFd> {
        self.mount_held().map(|(root, _)| root)
    }

    /// As [`Overlay::mount_detached`], and hands out the layers that somebody else holds: who keeps them holds them too.
    pub fn mount_held(&self) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
        if let Some(dir) = self.as_plain() {
            let tree = mount::clone_tree(CWD, dir, false)?;
            mount::set_attr(&tree, false, 0, 0, Some(mount::Propagation::Private))?;
            return Ok((tree, Vec::new()));
        }
        if self.lower.is_empty() || self.upper.is_some() != self.work.is_some() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        if let ([only], None) = (self.lower.as_slice(), &self.upper) {
            return only.read_only_clone();
        }
        let held = self.held()?;
        let root = self.mount_on(&held)?;
        Ok((root, held))
    }

    /// The layers that are held, in their order.
    pub(crate) fn held(&self) -> io::Result<Vec<OwnedFd>> {
        let fetch = |layer: &Lower| match layer {
            Lower::Dir(_) => None,
            Lower::Held(held) => Some(held.fetch().map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", held.place.display())))),
        };
        self.lower.iter().filter_map(fetch).collect()
    }

    fn mount_on(&self, held: &[OwnedFd]) -> io::Result<OwnedFd> {
        let fs = self.configure()?;
        let mut held = held.iter();
        for layer in &self.lower {
            let source = match layer {
                Lower::Dir(dir) => Some(Source::Path(dir)),
                Lower::Held(_) => held.next().map(Source::Fd),
            };
            let set = match source {
                Some(Source::Path(dir)) => set_path(&fs, "lowerdir+", dir),
                Some(Source::Fd(fd)) => fs.fd("lowerdir+", fd),
                None => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            };
            match set {
                Ok(()) => {}
                // Linux 6.5 and 6.6 have the new way of configuration, but no such key.
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) && matches!(layer, Lower::Dir(_)) => return self.mount_joined(),
                Err(e) => return Err(explain(&fs, e, layer.place())),
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
        let lower: Vec<_> = self.lower.iter().map(Lower::open).collect::<io::Result<_>>()?;
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

impl Lower {
    /// A bind clone that cannot be written to (its filesystem can).
    fn read_only_clone(&self) -> io::Result<(OwnedFd, Vec<OwnedFd>)> {
        let (tree, held) = match self {
            Self::Dir(dir) => (mount::clone_tree(CWD, dir, false)?, Vec::new()),
            Self::Held(held) => {
                let fd = held.fetch()?;
                (mount::clone_tree(&fd, Path::new(""), false)?, vec![fd])
            }
        };
        mount::set_attr(&tree, false, mount::RDONLY, 0, Some(mount::Propagation::Private))?;
        Ok((tree, held))
    }

    /// Its name as a source of a mount that is cloned: a path that leads to it.
    pub(crate) fn path(&self, held: Option<&OwnedFd>) -> Cow<'_, Path> {
        match (self, held) {
            (Self::Held(_), Some(fd)) => Cow::Owned(PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))),
            _ => Cow::Borrowed(self.place()),
        }
    }
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
        let lower: Vec<Lower> = (0..layers).map(|n| place(&format!("lower{n}")).into()).collect();
        for (n, layer) in lower.iter().enumerate() {
            write(layer.place(), &format!("only{n}"), "x");
            write(layer.place(), "common", &n.to_string());
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
            let lower = lower.into_iter().map(Lower::Dir).collect();
            let root = Overlay { lower, upper: None, work: None, volatile: false }.mount_detached().unwrap();
            assert_eq!(read(&root, "a"), "a");
            assert_eq!(statat(&root, "b", AtFlags::empty()).is_ok(), two);
            let made = openat(&root, "new", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644));
            assert_eq!(made.unwrap_err(), rustix::io::Errno::ROFS);
        }
    }

    #[test]
    fn a_plain_directory_is_written_to_as_it_is() {
        let room = tempfile::tempdir().unwrap();
        let place = room.path().join("root");
        write(&place, "a", "old");
        let plain = Overlay::plain(place.clone());
        assert_eq!(plain.as_plain(), Some(place.as_path()));
        let root = plain.mount_detached().unwrap();
        assert_eq!(read(&root, "a"), "old");
        openat(&root, "new", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap();
        assert!(place.join("new").exists());
        let view = Overlay { lower: vec![place.into()], upper: None, work: None, volatile: false };
        assert_eq!(view.as_plain(), None);
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
        let missing = Overlay {
            lower: vec![PathBuf::from("/nowhere/a").into(), PathBuf::from("/nowhere/b").into()],
            upper: None,
            work: None,
            volatile: false,
        };
        let text = missing.mount_detached().unwrap_err().to_string();
        assert!(text.contains("/nowhere/a"), "{text}");
    }
}
