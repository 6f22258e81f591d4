//! The terminal: a new pair of the container's own devpts, reached by descriptors only.

use crate::error::{At, Failure, Kind, Result, Step};
use crate::path::{self, Links};
use rustix::fs::{FileType, OFlags, Uid};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const DEVPTS_MAGIC: u64 = 0x1cd1;

/// Opens a pair, sets its size (rows, columns), and gives the slave to the user. Returns master and slave.
pub(crate) fn open(root: BorrowedFd<'_>, size: Option<(u16, u16)>, uid: u32) -> Result<(OwnedFd, OwnedFd)> {
    let ptmx = Path::new("/dev/pts/ptmx");
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = path::open(root, ptmx, flags, Links::Refuse).at_path(Step::Console, ptmx)?;
    verify(&master, 5, Some(2), ptmx)?;
    rustix::pty::unlockpt(&master).at_path(Step::Console, ptmx)?;
    // By the master itself, not by a name in /dev/pts, which the container might have replaced.
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .at(Step::Console, "slave")?;
    verify(&slave, 136, None, Path::new("slave"))?;
    if let Some((rows, columns)) = size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&slave, size).at(Step::Console, "size")?;
    }
    rustix::fs::fchown(&slave, Some(Uid::from_raw(uid)), None).at(Step::Console, "owner")?;
    Ok((master, slave))
}

fn verify(fd: &OwnedFd, major: u32, minor: Option<u32>, name: &Path) -> Result<()> {
    let stat = rustix::fs::fstat(fd).at_path(Step::Console, name)?;
    let right = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && rustix::fs::major(stat.st_rdev) == major
        && minor.is_none_or(|minor| rustix::fs::minor(stat.st_rdev) == minor)
        && dhow_sys::mount::magic(fd).at_path(Step::Console, name)? == DEVPTS_MAGIC;
    if right {
        return Ok(());
    }
    Err(Failure::new(Step::Console, name.to_string_lossy(), Kind::Invalid, "is not what a terminal must be"))
}

/// Binds the slave to `/dev/console`, by descriptor on both sides.
pub(crate) fn bind(root: BorrowedFd<'_>, slave: &OwnedFd) -> Result<()> {
    let place = Path::new("/dev/console");
    let target = path::ensure_file(root, place, Links::Refuse).at_path(Step::Console, place)?;
    let clone = dhow_sys::mount::clone_tree(slave, Path::new(""), false).at_path(Step::Console, place)?;
    dhow_sys::mount::attach(&clone, &target).at_path(Step::Console, place)
}

/// Makes the slave the controlling terminal of the calling session leader.
pub(crate) fn control(slave: impl AsFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(slave).at(Step::Console, "controlling terminal")
}
