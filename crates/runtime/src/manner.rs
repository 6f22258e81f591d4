//! How a container is made, where the specification does not say it: its root filesystem, and what the caller's own command line changes.

use crate::cgroup::Unfinished;
use crate::gate::Gate;
use crate::listener::Listener;
use crate::rdt::Rdt;
use dhow_sys::overlay::Overlay;
use dhow_sys::stub::Stub;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// How the root filesystem comes about.
#[derive(Debug, Clone)]
pub enum Root {
    /// A directory that is bound.
    Dir(PathBuf),
    /// An overlay, mounted detached and moved into the container's namespace only.
    Overlay(Overlay),
    /// The same, of layers that hold the container's ids: in a user namespace they are mapped (Linux 5.19), never chowned.
    Mapped(Overlay),
    /// One that is mounted already, detached, with the layers of it that somebody else holds. Not for a user namespace, whose ids it does not
    /// have.
    Mounted(Arc<(OwnedFd, Vec<OwnedFd>)>),
}

/// How a container is made, where the specification does not say it.
#[derive(Debug, Default)]
pub struct Manner {
    /// Where the process waits for its start; without one it waits for its parent, and ends with it.
    pub gate: Option<Gate>,
    /// What the program keeps of the caller's.
    pub keep: Keep,
    /// The old root is covered, not taken off: for roots on an initial ram disk, which cannot be.
    pub no_pivot: bool,
    /// Who is told of the calls that the filter hands to somebody else; needed if it does so.
    pub listener: Option<Listener>,
    /// The class of service that `linux.intelRdt` asks for, made; needed if it does so.
    pub rdt: Option<Rdt>,
    /// What of the cgroup is still to be made. That happens beside the process's first steps, where these do not depend on it.
    pub group: Unfinished,
    /// What the process executes before its program, so that nobody finds the caller's own program at `/proc/PID/exe`. For callers that are not
    /// sealed: see [`leap`](crate::leap).
    pub stub: Option<Stub>,
}

/// What a program inherits beyond its three descriptors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// So many descriptors from 3 up.
    pub descriptors: u32,
    /// The session keyring.
    pub keyring: bool,
}
