//! The daemon's side, on tokio: a [`Spawner`] and one [`Shim`] for each container.

use crate::config::{AttachConfig, ExecConfig, ShimConfig, UpdateConfig};
use crate::protocol::{Exit, State};
use dhow_runtime::Failure;
use dhow_runtime::cgroup::Usage;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;

/// Longest wait for an answer of a shim.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// What can go wrong between the daemon and its helpers.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("start the spawner: {0}")]
    Spawner(#[source] std::io::Error),
    #[error("talk to the shim of container {id}: {source}")]
    Io { id: String, source: std::io::Error },
    #[error("the shim of container {id} did not answer in time")]
    Deadline { id: String },
    #[error("the shim of container {id} is gone")]
    Gone { id: String },
    #[error("protocol: {0}")]
    Protocol(String),
    #[error(transparent)]
    Refused(#[from] Failure),
}

/// News from a shim, in order. After `Gone` nothing comes.
#[derive(Debug)]
pub enum Event {
    /// The container's first process has ended (its exit is on disk).
    Exited(Exit),
    /// An exec's process has ended.
    ExecExited {
        /// Exec id.
        exec: String,
        /// Exit code.
        code: i32,
    },
    /// A client typed the detach keys.
    Detached {
        /// Exec id; `None` for the container's own streams.
        exec: Option<String>,
    },
    /// The kernel killed a process for lack of memory.
    Oom,
    /// The connection ended. Without an `Exited` before it the shim was killed: see `exit.json` ([`recorded_exit`]), then clean up.
    Gone,
}

/// The single-threaded helper that forks shims. Replaced by itself when it dies: the next [`Spawner::spawn`] starts a new one.
#[derive(Debug)]
pub struct Spawner {}

impl Spawner {
    /// Starts the helper from a sealed copy of the running program (`argv[0]` = `dhow-spawner`, control socket as descriptor 3).
    pub async fn start() -> Result<Self, Error> {
        todo!()
    }

    /// Process id of the helper now running.
    pub fn pid(&self) -> Option<i32> {
        todo!()
    }

    /// Makes a shim and starts its container; returns when the program runs or why it does not ([`Error::Refused`]).
    /// `clients` are the sockets of `config.attach`, in order.
    pub async fn spawn(&self, _config: ShimConfig, _clients: Vec<OwnedFd>) -> Result<Running, Error> {
        todo!()
    }
}

/// A container that runs, or ran.
#[derive(Debug)]
pub struct Running {
    /// To ask with. Cheap to clone.
    pub shim: Shim,
    /// What the shim knew when it greeted; after [`Spawner::spawn`] always `Running` or, for very short lives, `Exited`.
    pub state: State,
    /// News from here on.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// Phases of the start in microseconds.
    pub timings: Vec<(String, u64)>,
}

/// Asks one shim. Every call has a deadline.
#[derive(Debug, Clone)]
pub struct Shim {}

impl Shim {
    /// Connects to the shim of an earlier daemon by its directory ([`ShimConfig::dir`]). [`Error::Gone`] if nobody listens.
    pub async fn connect(_id: &str, _dir: &Path) -> Result<Running, Error> {
        todo!()
    }
    /// The shim's own process id.
    pub fn pid(&self) -> i32 {
        todo!()
    }
    /// Hands a client's socket over.
    pub async fn attach(&self, _config: AttachConfig, _client: OwnedFd) -> Result<(), Error> {
        todo!()
    }
    /// Signals the first process, or all.
    pub async fn kill(&self, _signal: i32, _all: bool) -> Result<(), Error> {
        todo!()
    }
    /// Resizes a terminal.
    pub async fn resize(&self, _exec: Option<&str>, _height: u16, _width: u16) -> Result<(), Error> {
        todo!()
    }
    /// Runs a further process and returns its pid once its program runs.
    pub async fn exec(&self, _config: ExecConfig, _client: Option<OwnedFd>) -> Result<i32, Error> {
        todo!()
    }
    /// Signals an exec's process.
    pub async fn exec_kill(&self, _exec: &str, _signal: i32) -> Result<(), Error> {
        todo!()
    }
    /// Changes limits.
    pub async fn update(&self, _config: UpdateConfig) -> Result<(), Error> {
        todo!()
    }
    /// Freezes.
    pub async fn pause(&self) -> Result<(), Error> {
        todo!()
    }
    /// Thaws.
    pub async fn resume(&self) -> Result<(), Error> {
        todo!()
    }
    /// What the container used.
    pub async fn usage(&self) -> Result<Usage, Error> {
        todo!()
    }
    /// A descriptor of the root mount.
    pub async fn root(&self) -> Result<OwnedFd, Error> {
        todo!()
    }
    /// Tells the shim that the exit is recorded; returns when it has cleaned up and ended.
    pub async fn release(&self) -> Result<(), Error> {
        todo!()
    }
}

/// The exit that a shim left on disk, if any.
pub fn recorded_exit(_dir: &Path) -> std::io::Result<Option<Exit>> {
    todo!()
}

/// Removes what a killed shim left: processes and directories of the cgroup, the pinned namespace, its directory.
pub fn clean_up(_dir: &Path) -> std::io::Result<()> {
    todo!()
}
