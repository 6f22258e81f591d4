//! Device nodes and links below `/dev`, each checked through a descriptor after it is made (class 4).

use crate::error::{At, Failure, Kind, Result, Step};
use crate::path::{self, Links};
use crate::validate::{DevicePlan, Plan};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, makedev, mknodat, openat, symlinkat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Nodes that every container has (character devices, mode 0666).
const DEFAULT: [(&str, u32, u32); 6] = [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Links that every container has.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Makes them all. The umask is 0. Nothing is made in a `/dev` that is a bind.
pub(crate) fn make(root: BorrowedFd<'_>, plan: &Plan) -> Result<()> {
    if plan.foreign_dev {
        return Ok(());
    }
    let dev_path = Path::new("/dev");
    let dev = path::ensure_dir(root, dev_path, Links::Refuse).at_path(Step::Device, dev_path)?;
    for (name, major, minor) in DEFAULT {
        let path = dev_path.join(name);
        if !plan.devices.iter().any(|device| device.path == path) {
            let kind = FileType::CharacterDevice;
            node(dev.as_fd(), &DevicePlan { path, kind, major, minor, mode: 0o666, uid: 0, gid: 0 })?;
        }
    }
    for device in &plan.devices {
        match device.path.parent() {
            Some(parent) if parent == dev_path => node(dev.as_fd(), device)?,
            Some(parent) => {
                let dir = path::ensure_dir(root, parent, Links::Follow).at_path(Step::Device, parent)?;
                node(dir.as_fd(), device)?;
            }
            None => return Err(Failure::invalid("linux.devices", "a device cannot be at '/'")),
        }
    }
    links(root, &dev)
}

fn links(root: BorrowedFd<'_>, dev: &OwnedFd) -> Result<()> {
    let kcore = Path::new("/proc/kcore");
    let core = path::place(root, kcore, Links::Refuse).is_ok().then_some(("core", "/proc/kcore"));
    for (name, target) in LINKS.into_iter().chain(core) {
        match symlinkat(target, dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(Failure::io(Step::Device, format!("/dev/{name}"), e)),
        }
    }
    Ok(())
}

fn node(dir: BorrowedFd<'_>, device: &DevicePlan) -> Result<()> {
    let place = device.path.as_path();
    let Some(name) = place.file_name() else {
        return Err(Failure::invalid("linux.devices", "a device cannot be at '/'"));
    };
    let mode = Mode::from_raw_mode(device.mode);
    match mknodat(dir, name, device.kind, mode, makedev(device.major, device.minor)) {
        Ok(()) => {}
        Err(Errno::EXIST) => {}
        // Where nodes cannot be made, the host's own is bound.
        Err(Errno::PERM) if device.kind != FileType::Fifo => return bind(dir, device),
        Err(e) => return Err(Failure::io(Step::Device, place.to_string_lossy(), e)),
    }
    let made = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).at_path(Step::Device, place)?;
    verify(&made, device)?;
    if device.uid != 0 || device.gid != 0 {
        let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
        chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).at_path(Step::Device, place)?;
    }
    Ok(())
}

fn verify(fd: &OwnedFd, device: &DevicePlan) -> Result<()> {
    let stat = fstat(fd).at_path(Step::Device, &device.path)?;
    let same = FileType::from_raw_mode(stat.st_mode) == device.kind
        && (device.kind == FileType::Fifo || stat.st_rdev == makedev(device.major, device.minor));
    if same {
        return Ok(());
    }
    Err(Failure::new(Step::Device, device.path.to_string_lossy(), Kind::Invalid, "something else is in its place"))
}

fn bind(dir: BorrowedFd<'_>, device: &DevicePlan) -> Result<()> {
    let place = device.path.as_path();
    let host = of_host(device)?;
    let name = PathBuf::from(place.file_name().unwrap_or_default());
    let target = path::ensure_file(dir, &name, Links::Refuse).at_path(Step::Device, place)?;
    let tree = dhow_sys::mount::clone_tree(&host, Path::new(""), false).at_path(Step::Device, place)?;
    dhow_sys::mount::attach(&tree, &target).at_path(Step::Device, place)
}

/// The host's own node: at the same path, else where the kernel has put it.
fn of_host(device: &DevicePlan) -> Result<OwnedFd> {
    let open = |path: &Path| {
        let node = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at_path(Step::Device, path)?;
        verify(&node, device).map(|()| node)
    };
    let class = if device.kind == FileType::BlockDevice { "block" } else { "char" };
    let facts = std::fs::read_to_string(format!("/sys/dev/{class}/{}:{}/uevent", device.major, device.minor)).unwrap_or_default();
    let name = facts.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    match (open(&device.path), name) {
        (Err(_), Some(name)) => open(&Path::new("/dev").join(name)),
        (found, _) => found,
    }
}
