//! A directory that is `/` to every path: nothing that lies in it, and nobody who changes it meanwhile, leads out.

use crate::tarball::Time;
use crate::tree::{kind, mtime};
use crate::{Context, Error, Result, path};
use dhow_sys::mount;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Symbolic links that one path may lead through, as in the kernel.
const LINKS: usize = 40;
/// Walks that may be disturbed by renames in a row.
const DISTURBED: usize = 1000;
/// Filesystems that show the kernel and hold nobody's files: reading them may wait, and what lies in them has no size.
const KERNEL: [u64; 18] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x27_e0eb,   // cgroup
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0x1cd1,      // devpts
    0x1980_0202, // mqueue
    0x6265_6570, // configfs
    0xde5e_81e4, // efivarfs
    0x4249_4e4d, // binfmt_misc
    0x6165_676c, // pstore
    0xf97c_ff8c, // selinux
    0x6e73_6673, // nsfs
    0x6573_5543, // fusectl
    0x6759_6969, // rpc_pipefs
];

/// What is known of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStat {
    /// Its last component, `.` or `/`.
    pub name: Vec<u8>,
    /// As the kernel has it: type and permissions.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Seconds of the last change of content.
    pub seconds: i64,
    /// Nanoseconds of it.
    pub nanos: u32,
    /// Where a symbolic link leads in the end, as far as that exists; empty for everything else.
    pub target: Vec<u8>,
}

impl PathStat {
    /// It is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }

    /// It is a symbolic link.
    #[must_use]
    pub fn is_link(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Symlink
    }
}

/// The directory.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    /// The mount at `/dev`, where there is one: devices of the kernel's.
    devices: Option<u64>,
}

impl Root {
    /// Of a directory's descriptor, `O_PATH` or not.
    pub fn new(fd: OwnedFd) -> Result<Self> {
        let mut root = Self { fd, devices: None };
        let own = mount::mount_id(&root.fd).on("look at", b"/")?;
        root.devices = match root.open(b"/dev", OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY) {
            Ok(dev) => Some(mount::mount_id(&dev).on("look at", b"/dev")?).filter(|&id| id != own),
            Err(_) => None,
        };
        Ok(root)
    }

    /// Opens what a path names in here. Close-on-exec is added.
    pub fn open(&self, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..DISTURBED {
            match fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // A rename raced with the walk.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// What lies at a path ([`path::absolute`]): a link itself, unless the path ends with a slash.
    pub fn stat(&self, at: &[u8]) -> Result<PathStat> {
        let fd = self.look(at)?;
        let stat = fs::fstat(&fd).on("lstat", at)?;
        let target = if kind(&stat) == FileType::Symlink { self.evaluate(at)? } else { Vec::new() };
        let Time { seconds, nanos } = mtime(&stat);
        Ok(PathStat { name: path::base(at).to_vec(), mode: stat.st_mode, size: stat.st_size as u64, seconds, nanos, target })
    }

    /// A descriptor of what lies at a path that reads and waits for nothing. What lies inside a filesystem of the kernel's is not there.
    pub fn look(&self, at: &[u8]) -> Result<OwnedFd> {
        let fd = self.open(at, OFlags::PATH | OFlags::NOFOLLOW).on("lstat", at)?;
        if is_kernel(fd.as_fd()).on("lstat", at)? && !is_mount_root(fd.as_fd()).on("lstat", at)? {
            return Err(Errno::NOENT).on("lstat", at);
        }
        Ok(fd)
    }

    /// A mount that is shown empty: the kernel's own filesystems, and the devices.
    pub(crate) fn is_closed(&self, dir: BorrowedFd<'_>, mount: u64) -> io::Result<bool> {
        Ok(self.devices == Some(mount) || is_kernel(dir)?)
    }

    /// Follows links as far as there is something. For a reader's eyes: whoever uses the result resolves it again.
    fn evaluate(&self, at: &[u8]) -> Result<Vec<u8>> {
        let split =
            |path: &[u8]| path.split(|&b| b == b'/').filter(|p| !p.is_empty() && *p != b".").map(<[u8]>::to_vec).collect::<Vec<_>>();
        let mut left: VecDeque<Vec<u8>> = split(at).into();
        let mut done: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == b".." {
                done.pop();
                continue;
            }
            done.push(part);
            let here = [b"/", &done.join(&b'/')[..]].concat();
            let Ok(fd) = self.open(&here, OFlags::PATH | OFlags::NOFOLLOW) else { continue };
            if kind(&fs::fstat(&fd).on("lstat", &here)?) != FileType::Symlink {
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(Errno::LOOP).on("readlink", at);
            }
            let target = fs::readlinkat(&fd, "", Vec::new()).on("readlink", &here)?.into_bytes();
            done.pop();
            if target.starts_with(b"/") {
                done.clear();
            }
            for part in split(&target).into_iter().rev() {
                left.push_front(part);
            }
        }
        Ok([b"/", &done.join(&b'/')[..]].concat())
    }
}

/// A filesystem of the kernel's.
pub(crate) fn is_kernel(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(KERNEL.contains(&mount::magic(fd)?))
}

fn is_mount_root(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let stat = fs::statx(fd, "", AtFlags::EMPTY_PATH, fs::StatxFlags::BASIC_STATS)?;
    Ok(stat.stx_attributes.contains(fs::StatxAttributes::MOUNT_ROOT))
}

/// Writing there fails whoever asks: the mount, or its filesystem, is read-only.
pub fn is_read_only(fd: impl AsFd) -> io::Result<bool> {
    Ok(fs::fstatvfs(fd)?.f_flag.contains(fs::StatVfsMountFlags::RDONLY))
}

/// The error says that there is nothing at the path.
#[must_use]
pub fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
