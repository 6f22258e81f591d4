//! The daemon's side, on tokio: a [`Spawner`] and one [`Shim`] for each container.

mod lock;
mod shim;
mod spawner;
mod wire;

pub use crate::files::{clean_up, recorded_exit, recorded_volumes};
pub use shim::{Running, Shim};
pub use spawner::{Prepared, Spare, Spawner};

use crate::health::{Probe, Status};
use crate::protocol::Exit;
use dhow_runtime::Failure;
use std::time::Duration;

/// Longest wait for an answer of a shim.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Longest wait for a shim to clean up: the last unmount of an overlay writes out all that its disk has pending.
pub const RELEASE_DEADLINE: Duration = Duration::from_secs(120);

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
    /// An exec's process has ended. The shim sends this before it ends the client's stream; [`Shim::sync`] makes sure that it has arrived.
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
    /// A probe of the health check is about to run.
    ProbeBegan {
        /// Its id among the execs.
        exec: String,
    },
    /// A probe has its result.
    Probed {
        /// Its id among the execs.
        exec: String,
        /// The result.
        probe: Box<Probe>,
        /// What it makes of the container.
        status: Status,
        /// Failures in a row.
        streak: u64,
    },
    /// The connection ended. Without an `Exited` before it the shim was killed: see `exit.json` ([`recorded_exit`]), then clean up.
    Gone,
}
