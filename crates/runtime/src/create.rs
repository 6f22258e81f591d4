//! From an OCI specification to a running process.

use crate::cgroup::Cgroup;
use crate::error::Result;
use crate::seccomp::Program;
use dhow_sys::overlay::Overlay;
use oci_spec::runtime::Spec;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// How the root filesystem comes about.
#[derive(Debug, Clone)]
pub enum Root {
    /// A directory that is bound.
    Dir(PathBuf),
    /// An overlay, mounted detached and moved into the container's namespace only.
    Overlay(Overlay),
}

/// The first three descriptors of the process.
#[derive(Debug)]
pub enum Stdio {
    /// Given descriptors (pipes, files, /dev/null).
    Given {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
    /// A new pseudo-terminal of the container's own devpts; its master comes back in [`Created::console`].
    Terminal {
        /// Height and width in characters, where known.
        size: Option<(u16, u16)>,
    },
}

/// What [`Create::run`] needs. The specification decides everything else.
#[derive(Debug)]
pub struct Create<'a> {
    /// The specification. `linux.seccomp` is compiled here unless `seccomp` brings the program; `process.terminal` must agree with `stdio`.
    pub spec: &'a Spec,
    /// The root filesystem.
    pub root: Root,
    /// The container's cgroup: made, with limits applied, not yet entered.
    pub cgroup: &'a Cgroup,
    /// A filter compiled beforehand.
    pub seccomp: Option<&'a Program>,
    /// Descriptors 0 to 2.
    pub stdio: Stdio,
}

/// A container whose first process stands before its exec.
#[derive(Debug)]
pub struct Created {
    /// Process id as the caller sees it.
    pub pid: i32,
    /// Stable handle.
    pub pidfd: OwnedFd,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// The terminal's master, if one was asked for.
    pub console: Option<OwnedFd>,
    /// The root mount (O_PATH): as long as it is open, the overlay's last unmount is put off.
    pub root: OwnedFd,
    /// The network namespace that the process lives in.
    pub netns: OwnedFd,
    /// How long each phase took, in microseconds, in order.
    pub timings: Vec<(String, u64)>,
    /// The gate: closing it without a word ends the child.
    pub(crate) gate: OwnedFd,
}

impl Create<'_> {
    /// Makes the container up to, and not including, the exec of its program. On an error nothing is left: no process, no mount.
    /// The cgroup stays the caller's.
    pub fn run(self) -> Result<Created> {
        todo!()
    }
}

impl Created {
    /// Opens the gate and returns once exec has succeeded, or with the reason why it did not (the child is then reaped).
    pub fn start(&mut self) -> Result<()> {
        let _ = &self.gate;
        todo!()
    }
}
