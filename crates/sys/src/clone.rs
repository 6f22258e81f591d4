//! clone3 and fork: the only ways in which a process of ours begets another.

use std::io;
use std::os::fd::OwnedFd;

/// Which of the two processes returned from [`fork`] or [`clone3`].
#[derive(Debug)]
pub enum Forked {
    /// In the parent: the child, known by number and by pidfd.
    Parent {
        /// Process id in the caller's pid namespace.
        pid: i32,
        /// Stable handle of the child (pidfd, close-on-exec).
        pidfd: OwnedFd,
    },
    /// In the child.
    Child,
}

/// What [`clone3`] is to do beyond a plain fork.
#[derive(Debug, Default)]
pub struct CloneArgs {
    /// `CLONE_NEW*` flags.
    pub namespaces: u64,
    /// A cgroup v2 directory to start in (`CLONE_INTO_CGROUP`).
    pub cgroup: Option<OwnedFd>,
}

/// Forks. The caller must be single-threaded: the child may then run any code.
/// Fails with `EBUSY` if `/proc/self/task` shows more than one thread.
pub fn fork() -> io::Result<Forked> {
    clone3(&CloneArgs::default())
}

/// As [`fork`], with new namespaces and a cgroup (Linux 5.7 for the latter).
pub fn clone3(_args: &CloneArgs) -> io::Result<Forked> {
    todo!()
}
