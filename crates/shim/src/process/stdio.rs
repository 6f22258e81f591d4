//! The first three descriptors of a new process, and our ends of them.

use super::session::Ends;
use dhow_runtime::Stdio;
use dhow_runtime::idmap::IdMap;
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
/// open `/dev/stdout` by name. `map` are the ids of the container's user namespace.
pub(crate) fn make(wanted: Wanted, user: &User, map: Option<&IdMap>) -> io::Result<(Stdio, Ends)> {
    let mut ends = Ends::default();
    if wanted.tty {
        return Ok((Stdio::Terminal { size: wanted.size }, ends));
    }
    let owner = owner(user, map);
    let mut null = None;
    let mut pick = |piped: bool, ours: &mut Option<OwnedFd>, write: bool| -> io::Result<OwnedFd> {
        if !piped {
            return self::null(&mut null);
        }
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        if owner != (0, 0) {
            own(&reader, owner)?;
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

/// A user and its group in the host's numbers. One that the namespace has no name for cannot run anything there either.
fn owner(user: &User, map: Option<&IdMap>) -> (u32, u32) {
    let Some(map) = map else { return (user.uid(), user.gid()) };
    map.host_uid(user.uid()).zip(map.host_gid(user.gid())).unwrap_or_default()
}

fn own(pipe: impl AsFd, (uid, gid): (u32, u32)) -> io::Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    match rustix::fs::fchown(pipe, Some(uid), Some(gid)) {
        // An id that our own user namespace has no name for: the pipe still works, only opening it by name does not.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) | Ok(()) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
