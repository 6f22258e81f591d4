//! Begetting a child in the right pid namespace and cgroup.

use crate::error::{At, Failure, Kind, Result, Step};
use dhow_sys::clone::{CloneArgs, Forked, clone3};
use dhow_sys::process;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// An existing pid namespace to be born in.
#[derive(Debug)]
pub(crate) enum PidNamespace<'a> {
    /// The one of the process behind a pidfd.
    Of(BorrowedFd<'a>),
    /// A descriptor of the namespace itself.
    Path(&'a OwnedFd),
}

const NEWPID: u64 = libc::CLONE_NEWPID as u64;

/// Clones into new namespaces, a cgroup (v2) and an existing pid namespace.
///
/// For the latter the caller turns its own children's pid namespace there and back: a second fork in between would cost more than
/// all else. If the way back should ever fail, the child is ended, and so is every later attempt: a caller whose
/// children would be born in the wrong place must beget none.
pub(crate) fn clone(namespaces: u64, cgroup: Option<OwnedFd>, pid: Option<PidNamespace<'_>>) -> Result<Forked> {
    let args = CloneArgs { namespaces, cgroup, sibling: false };
    let Some(pid) = pid else { return clone3(&args).at(Step::Namespaces, "clone") };
    let own = fs::File::open("/proc/self/ns/pid").at(Step::Namespaces, "/proc/self/ns/pid")?;
    match pid {
        PidNamespace::Of(pidfd) => process::setns_pidfd(pidfd, NEWPID),
        PidNamespace::Path(namespace) => process::setns(namespace, NEWPID),
    }
    .map_err(not_running)?;
    let forked = clone3(&args);
    if matches!(forked, Ok(Forked::Child)) {
        return Ok(Forked::Child);
    }
    let back = process::setns(&own, NEWPID).at(Step::Namespaces, "return to the own pid namespace");
    match (forked, back) {
        (Ok(forked), Ok(())) => Ok(forked),
        (Ok(Forked::Parent { pidfd, .. }), Err(failure)) => Err(crate::sync::bury(&pidfd, Some(failure))),
        (_, Err(failure)) => Err(failure),
        (Err(e), Ok(())) => Err(not_running(e)),
    }
}

/// A container whose first process has ended takes nobody: ESRCH before, ENOMEM while it is being emptied.
pub(crate) fn not_running(e: io::Error) -> Failure {
    let mut failure = Failure::io(Step::Namespaces, "setns", e);
    if matches!(failure.errno, libc::ESRCH | libc::ENOMEM) {
        failure.kind = Kind::NotRunning;
    }
    failure
}

/// Sets the oom_score_adj of a child by its number, or of the caller (`self`). Lowering it takes CAP_SYS_RESOURCE; without it a value that already holds is fine.
pub(crate) fn set_oom_score_adj(whose: &str, value: i32) -> Result<()> {
    let path = format!("/proc/{whose}/oom_score_adj");
    let write = || {
        let file = fs::File::options().write(true).open(&path)?;
        rustix::io::write(&file, value.to_string().as_bytes())?;
        Ok::<_, io::Error>(())
    };
    let Err(e) = write() else { return Ok(()) };
    // The child may have ended meanwhile; why is told elsewhere.
    if matches!(e.raw_os_error(), Some(libc::ESRCH | libc::ENOENT)) {
        return Ok(());
    }
    let now = fs::read_to_string(&path).at(Step::Rlimit, &path)?;
    if now.trim().parse() == Ok(value) { Ok(()) } else { Err(Failure::io(Step::Rlimit, format!("oom_score_adj {value}"), e)) }
}
