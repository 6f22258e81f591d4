//! The mount API by descriptor: filesystems, bind clones and their attributes exist detached, and are moved into place at the end.

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// `MOUNT_ATTR_*`: what a mount (not its filesystem) forbids or does.
pub type Attr = u64;
/// Nothing may be written.
pub const RDONLY: Attr = 0x01;
/// Set-user-id bits are ignored.
pub const NOSUID: Attr = 0x02;
/// Device nodes do not open.
pub const NODEV: Attr = 0x04;
/// Nothing may be executed.
pub const NOEXEC: Attr = 0x08;
/// The bits that hold the way access times are kept; to change them this must be among the cleared ones.
pub const ATIME: Attr = 0x70;
/// Access times are kept as relatime does (the zero of [`ATIME`]).
pub const RELATIME: Attr = 0x00;
/// Access times are not kept.
pub const NOATIME: Attr = 0x10;
/// Access times are always kept.
pub const STRICTATIME: Attr = 0x20;
/// Access times of directories are not kept.
pub const NODIRATIME: Attr = 0x80;
/// Symbolic links are not followed.
pub const NOSYMFOLLOW: Attr = 0x0020_0000;

/// What a mount hands on to its copies, and takes from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Both ways.
    Shared,
    /// Only takes.
    Slave,
    /// Neither.
    Private,
    /// Neither, and it cannot be bound.
    Unbindable,
}

impl Propagation {
    fn flag(self) -> u64 {
        match self {
            Self::Shared => libc::MS_SHARED,
            Self::Slave => libc::MS_SLAVE,
            Self::Private => libc::MS_PRIVATE,
            Self::Unbindable => libc::MS_UNBINDABLE,
        }
    }
}

/// A filesystem being configured (fsopen, fsconfig).
#[derive(Debug)]
pub struct Filesystem(OwnedFd);

impl Filesystem {
    /// Begins. `ENODEV` when the kernel has no such type.
    pub fn open(kind: &str) -> io::Result<Self> {
        Ok(Self(rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?))
    }

    /// Sets `key` to a string of at most 255 bytes.
    pub fn string(&self, key: &str, value: impl rustix::path::Arg) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_string(&self.0, key, value)?)
    }

    /// Sets a key that has no value.
    pub fn flag(&self, key: &str) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_flag(&self.0, key)?)
    }

    /// Sets `key` to an open file.
    pub fn fd(&self, key: &str, value: impl AsFd) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_fd(&self.0, key, value)?)
    }

    /// Makes the filesystem and a detached mount of it with these attributes. The descriptor behaves as O_PATH.
    pub fn mount(self, attr: Attr) -> io::Result<OwnedFd> {
        self.make()?.mount(attr)
    }

    /// Makes the filesystem, mounted nowhere yet.
    pub fn make(self) -> io::Result<Made> {
        rustix::mount::fsconfig_create(&self.0)?;
        Ok(Made(self.0))
    }

    /// Has the filesystem take what was set since it was mounted. For the one from [`Filesystem::words`] that stayed behind.
    pub fn change(&self) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_reconfigure(&self.0)?)
    }

    /// As [`Filesystem::mount`]; where the kernel says why it refuses, the error's text has its words instead of the errno's.
    pub fn mount_or_log(self, attr: Attr) -> io::Result<OwnedFd> {
        let words = self.words()?;
        self.mount(attr).map_err(|e| words.explain(e))
    }

    /// The error with the kernel's last words about it, if it said any.
    pub fn explain(&self, error: io::Error) -> io::Error {
        match self.log() {
            log if log.is_empty() => error,
            log => io::Error::new(error.kind(), format!("{error}: {log}")),
        }
    }

    /// The same once more, for its [`Filesystem::log`], and to change it.
    pub fn words(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// The kernel's last words about this configuration, for an error's text. Empty when it kept silent.
    pub fn log(&self) -> String {
        let mut text = String::new();
        let mut buffer = [0u8; 512];
        while let Ok(n @ 1..) = rustix::io::read(&self.0, &mut buffer) {
            if !text.is_empty() {
                text.push_str("; ");
            }
            // Each message is "e text", "w text" or "i text".
            text.push_str(String::from_utf8_lossy(&buffer[..n]).trim_end().get(2..).unwrap_or_default());
        }
        text
    }
}

/// A filesystem that nobody has mounted yet.
#[derive(Debug)]
pub struct Made(OwnedFd);

impl Made {
    /// A detached mount of it with these attributes. The descriptor behaves as O_PATH.
    pub fn mount(self, attr: Attr) -> io::Result<OwnedFd> {
        let attr = MountAttrFlags::from_bits_retain(attr as u32);
        Ok(rustix::mount::fsmount(&self.0, FsMountFlags::FSMOUNT_CLOEXEC, attr)?)
    }
}

/// A detached bind clone of what `path` below `dir` shows, with the mounts below it if `recursive`. An empty path means `dir` itself.
pub fn clone_tree(dir: impl AsFd, path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    Ok(rustix::mount::open_tree(dir, path, flags)?)
}

/// Changes attributes and propagation of a mount, detached or attached, with all below it if `recursive` (mount_setattr, Linux 5.12).
pub fn set_attr(mount: impl AsFd, recursive: bool, set: Attr, clear: Attr, propagation: Option<Propagation>) -> io::Result<()> {
    let propagation = propagation.map_or(0, Propagation::flag);
    set_attr_raw(mount, recursive, &libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 })
}

/// mount_setattr itself.
pub(crate) fn set_attr_raw(mount: impl AsFd, recursive: bool, attr: &libc::mount_attr) -> io::Result<()> {
    const AT_RECURSIVE: libc::c_int = 0x8000;
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the descriptor is borrowed for the call, the path is an empty C string, `attr` is initialised and of the stated size, and
    // the kernel only reads it.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<libc::mount_attr>(),
        )
    };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Changes the propagation of the mount at `/` and, if `recursive`, of all below it, in this mount namespace.
pub fn propagate_root(recursive: bool, propagation: Propagation) -> io::Result<()> {
    Ok(rustix::mount::mount_change("/", old_propagation(recursive, propagation))?)
}

fn old_propagation(recursive: bool, propagation: Propagation) -> MountPropagationFlags {
    let flags = match propagation {
        Propagation::Shared => MountPropagationFlags::SHARED,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Unbindable => MountPropagationFlags::UNBINDABLE,
    };
    if recursive { flags | MountPropagationFlags::REC } else { flags }
}

/// Attaches a detached mount onto what `target` refers to. Both by descriptor: no name is looked up.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

/// As [`set_attr`] on an attached mount. Before Linux 5.12 it is done the old way, by mount(2) on the descriptor's magic link in this
/// process's own `/proc`; then attributes change on the topmost mount only, as all engines have it on such kernels.
pub fn set_attr_attached(mount: impl AsFd, recursive: bool, set: Attr, clear: Attr, propagation: Option<Propagation>) -> io::Result<()> {
    match set_attr(mount.as_fd(), recursive, set, clear, propagation) {
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {}
        other => return other,
    }
    let path = format!("/proc/self/fd/{}", mount.as_fd().as_raw_fd());
    if set | clear != 0 {
        let now = rustix::fs::fstatvfs(mount)?.f_flag.bits();
        let flags = old_flags((old_attr(now) & !clear) | set);
        rustix::mount::mount_remount(&path, flags, "")?;
    }
    let Some(propagation) = propagation else { return Ok(()) };
    Ok(rustix::mount::mount_change(&path, old_propagation(recursive, propagation))?)
}

/// Mount attributes out of statvfs's flags, whose first bits are those of mount(2).
fn old_attr(statvfs: u64) -> Attr {
    const SAME: Attr = RDONLY | NOSUID | NODEV | NOEXEC;
    let atime = if statvfs & libc::MS_NOATIME != 0 { NOATIME } else { RELATIME };
    let dirs = if statvfs & libc::MS_NODIRATIME != 0 { NODIRATIME } else { 0 };
    (statvfs & SAME) | atime | dirs
}

fn old_flags(attr: Attr) -> MountFlags {
    let mut flags = MountFlags::BIND;
    for (bit, flag) in [
        (RDONLY, MountFlags::RDONLY),
        (NOSUID, MountFlags::NOSUID),
        (NODEV, MountFlags::NODEV),
        (NOEXEC, MountFlags::NOEXEC),
        (NOATIME, MountFlags::NOATIME),
        (STRICTATIME, MountFlags::STRICTATIME),
        (NODIRATIME, MountFlags::NODIRATIME),
    ] {
        if attr & bit != 0 {
            flags |= flag;
        }
    }
    flags
}

/// Makes `root` (a mount's root directory, already attached in this mount namespace) the root of the calling process and of its
/// namespace, and detaches the old one with everything in it. The working directory is then `/`. The old mounts must be private
/// ([`propagate_root`]): what is unmounted here would else be unmounted at their peers, too.
pub fn pivot_root(root: impl AsFd) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    // With both names the same, the old root ends up stacked on the new one at the same place, where unmounting finds it first.
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}

/// Makes `root` (a directory) the root of the calling process alone; the namespace keeps its own, below. For a root that cannot be exchanged (an
/// initial ram disk). The working directory is then `/`.
pub fn change_root(root: impl AsFd) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// Takes off the topmost mount at a path, at once or when it is no longer used; links are not followed.
pub fn unmount_detach(path: impl rustix::path::Arg) -> io::Result<()> {
    Ok(rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?)
}

/// The id of the mount that a descriptor's file is on, as in `/proc/self/mountinfo` (Linux 5.8).
pub fn mount_id(fd: impl AsFd) -> io::Result<u64> {
    let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    if stat.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(stat.stx_mnt_id)
}

/// The id of the mount that a descriptor's file is on, which no other mount has had or will have (Linux 6.8).
pub fn unique_id(fd: impl AsFd) -> io::Result<u64> {
    // `STATX_MNT_ID_UNIQUE`
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, UNIQUE)?;
    if stat.stx_mask & UNIQUE.bits() == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(stat.stx_mnt_id)
}

/// The magic number of the filesystem that a descriptor's file is on.
pub fn magic(fd: impl AsFd) -> io::Result<u64> {
    Ok(rustix::fs::fstatfs(fd)?.f_type as u64)
}

/// Opens what `path` (relative) leads to below `dir`, as O_PATH. Links are followed as long as they stay below it: `EXDEV` where the path
/// leads out, by whatever way.
pub fn open_beneath(dir: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let resolve = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_MAGICLINKS;
    let open = || rustix::fs::openat2(dir.as_fd(), path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
    // Somebody renames or mounts meanwhile: the kernel could not be sure, and asks for another try.
    for _ in 0..64 {
        match open() {
            Err(rustix::io::Errno::AGAIN) => {}
            other => return Ok(other?),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EXDEV))
}

/// Opens a place as O_PATH, close-on-exec.
pub fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;

    fn exists(dir: &OwnedFd, name: &str) -> bool {
        rustix::fs::statat(dir, name, AtFlags::empty()).is_ok()
    }

    fn mounts() -> String {
        std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap()
    }

    fn touch(dir: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(dir, name, OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644))
    }

    #[test]
    fn a_detached_filesystem_shows_nowhere() {
        let fs = Filesystem::open("tmpfs").unwrap();
        fs.string("size", "64k").unwrap();
        fs.string("source", "dhow-detached-test").unwrap();
        let tmp = fs.mount(NOEXEC).unwrap();
        touch(&tmp, "a").unwrap();
        assert!(exists(&tmp, "a"));
        assert_eq!(magic(&tmp).unwrap(), 0x0102_1994);
        assert!(!mounts().contains("dhow-detached-test"));
        set_attr(&tmp, true, RDONLY, 0, None).unwrap();
        assert_eq!(touch(&tmp, "b").unwrap_err(), rustix::io::Errno::ROFS);
    }

    #[test]
    fn what_is_beneath() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/file"), "x").unwrap();
        for (name, to) in [("in", "a/b"), ("up", ".."), ("out", "/etc"), ("magic", "/proc/self/root"), ("loop", "loop")] {
            std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
        }
        let root = open_path(dir.path()).unwrap();
        let open = |path: &str| open_beneath(&root, Path::new(path)).map(drop).map_err(|e| e.raw_os_error().unwrap());
        for good in ["a", "a/file", "in", "a/../in/.."] {
            assert_eq!(open(good), Ok(()), "{good}");
        }
        for (bad, errno) in [
            ("..", libc::EXDEV),
            ("a/../..", libc::EXDEV),
            ("up", libc::EXDEV),
            ("out", libc::EXDEV),
            ("magic/etc", libc::EXDEV),
            ("/etc", libc::EXDEV),
            ("loop", libc::ELOOP),
            ("none", libc::ENOENT),
            ("a/file/x", libc::ENOTDIR),
        ] {
            assert_eq!(open(bad), Err(errno), "{bad}");
        }
    }

    #[test]
    fn the_kernel_says_why() {
        let fs = Filesystem::open("tmpfs").unwrap();
        assert!(fs.string("no-such-key", "1").is_err());
        assert!(fs.log().contains("no-such-key"), "{}", fs.log());
        assert!(Filesystem::open("no-such-type").is_err());
    }

    #[test]
    fn attach_pivot_and_detach_in_a_namespace_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        std::thread::spawn(move || {
            // The thread's namespace, root and working directory end with it.
            crate::process::unshare_fs().unwrap();
            crate::process::unshare(libc::CLONE_NEWNS as u64).unwrap();
            propagate_root(true, Propagation::Private).unwrap();
            let tmp = Filesystem::open("tmpfs").unwrap().mount(0).unwrap();
            rustix::fs::mkdirat(&tmp, "old", Mode::from_raw_mode(0o755)).unwrap();
            rustix::fs::mkdirat(&tmp, "proc", Mode::from_raw_mode(0o755)).unwrap();
            attach(&tmp, open_path(&path).unwrap()).unwrap();
            assert!(mounts().contains(path.to_str().unwrap()));
            let proc = clone_tree(CWD, Path::new("/proc"), false).unwrap();
            assert_ne!(mount_id(&proc).unwrap(), mount_id(open_path(Path::new("/proc")).unwrap()).unwrap());
            attach(&proc, rustix::fs::openat(&tmp, "proc", OFlags::PATH, Mode::empty()).unwrap()).unwrap();
            pivot_root(&tmp).unwrap();
            assert!(std::fs::exists("/old").unwrap());
            assert!(!std::fs::exists("/etc").unwrap());
            assert_eq!(mounts().lines().count(), 2, "{}", mounts());
            // As on a kernel without mount_setattr, played by a filter.
            let program = [
                (0x20, 0, 0, 0),
                (0x15, 0, 1, libc::SYS_mount_setattr as u32),
                (0x06, 0, 0, 0x0005_0000 | libc::ENOSYS as u32),
                (0x06, 0, 0, 0x7fff_0000),
            ];
            crate::seccomp::load(&program, 0).unwrap();
            let proc = open_path(Path::new("/proc")).unwrap();
            set_attr_attached(&proc, true, NODEV | NOEXEC, 0, Some(Propagation::Private)).unwrap();
            set_attr_attached(&proc, true, RDONLY | NOSUID, NODEV | NOEXEC, Some(Propagation::Private)).unwrap();
            assert!(mounts().lines().any(|line| line.contains(" /proc ro,nosuid")), "{}", mounts());
            unmount_detach("/proc").unwrap();
        })
        .join()
        .unwrap();
        assert!(!mounts().contains(dir.path().to_str().unwrap()));
    }
}
