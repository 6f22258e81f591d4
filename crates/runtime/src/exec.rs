//! A further process in a running container.

use crate::cgroup::Cgroup;
use crate::create::Stdio;
use crate::error::Result;
use crate::seccomp::Program;
use oci_spec::runtime::Process;
use std::os::fd::{BorrowedFd, OwnedFd};

/// What [`Exec::run`] needs.
#[derive(Debug)]
pub struct Exec<'a> {
    /// What to run and as whom. Capabilities are taken as given.
    pub process: &'a Process,
    /// The container's first process.
    pub init: BorrowedFd<'a>,
    /// Its number.
    pub init_pid: i32,
    /// The container's cgroup, which the process enters.
    pub cgroup: &'a Cgroup,
    /// The container's filter; `None` for none.
    pub seccomp: Option<&'a Program>,
    /// Descriptors 0 to 2.
    pub stdio: Stdio,
}

/// A process that is now running its program.
#[derive(Debug)]
pub struct ExecStarted {
    /// Process id as the caller sees it; the process is the caller's child.
    pub pid: i32,
    /// Stable handle.
    pub pidfd: OwnedFd,
    /// The terminal's master, if one was asked for.
    pub console: Option<OwnedFd>,
}

impl Exec<'_> {
    /// Joins all the container's namespaces (setns by pidfd), its cgroup and its root, and executes. Returns after the exec succeeded.
    pub fn run(self) -> Result<ExecStarted> {
        todo!()
    }
}
