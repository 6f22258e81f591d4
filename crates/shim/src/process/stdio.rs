//! The first three descriptors of a new process, and our ends of them.

use super::session::Ends;
use dhow_runtime::Stdio;
use oci_spec::runtime::User;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What a process is to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// A terminal instead of three descriptors.
    pub(crate) tty: bool,
    /// Its size.
    pub(crate) size: Option<(u16, u16)>,
    /// An input that somebody may write to.
    pub(crate) stdin: bool,
    /// An output that is read.
    pub(crate) stdout: bool,
    /// Errors that are read.
    pub(crate) stderr: bool,
}

/// Makes pipes, or asks for a terminal. What is not wanted is `/dev/null`. Pipes belong to the user that the process runs as, who may then
/// open `/dev/stdout` by name.
pub(crate) fn make(wanted: Wanted, user: &User) -> io::Result<(Stdio, Ends)> {
    let mut ends = Ends::default();
    if wanted.tty {
        return Ok((Stdio::Terminal { size: wanted.size }, ends));
    }
    let mut null = None;
    let mut pick = |piped: bool, ours: &mut Option<OwnedFd>, write: bool| -> io::Result<OwnedFd> {
        if !piped {
            return self::null(&mut null);
        }
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        if user.uid() != 0 || user.gid() != 0 {
            own(&reader, user)?;
        }
        let (mine, theirs) = if write { (writer, reader) } else { (reader, writer) };
        rustix::io::ioctl_fionbio(&mine, true)?;
        *ours = Some(mine);
        Ok(theirs)
    };
    let stdin = pick(wanted.stdin, &mut ends.stdin, true)?;
    let stdout = pick(wanted.stdout, &mut ends.stdout, false)?;
    let stderr = pick(wanted.stderr, &mut ends.stderr, false)?;
    Ok((Stdio::Given { stdin, stdout, stderr }, ends))
}

/// Our ends of a terminal, by its master. Without `stdin` nothing is ever written to it.
pub(crate) fn of_console(console: OwnedFd, stdin: bool) -> io::Result<Ends> {
    rustix::io::ioctl_fionbio(&console, true)?;
    let copy = || rustix::io::fcntl_dupfd_cloexec(&console, 3);
    Ok(Ends { stdin: if stdin { Some(copy()?) } else { None }, stdout: Some(copy()?), stderr: None, console: Some(console) })
}

fn null(opened: &mut Option<OwnedFd>) -> io::Result<OwnedFd> {
    let null = match opened {
        Some(null) => null,
        None => opened.insert(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?),
    };
    Ok(rustix::io::fcntl_dupfd_cloexec(null, 3)?)
}

fn own(pipe: impl AsFd, user: &User) -> io::Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(user.uid()), rustix::fs::Gid::from_raw(user.gid()));
    match rustix::fs::fchown(pipe, Some(uid), Some(gid)) {
        // An id that our own user namespace has no name for: the pipe still works, only opening it by name does not.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) | Ok(()) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
