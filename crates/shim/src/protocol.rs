//! The messages between daemon, spawner and shim: one JSON object a packet over SOCK_SEQPACKET, descriptors beside it
//! ([`dhow_sys::fdpass`]). Each side opens with [`Hello`]; unknown fields and unknown kinds are skipped. Recorded transcripts of
//! each release are replayed in tests, so nothing here changes its meaning.

use crate::config::{AttachConfig, ExecConfig, RelayConfig, ShimConfig, UpdateConfig};
use crate::health::{Probe, Report, Status};
use dhow_runtime::Failure;
use serde::{Deserialize, Serialize};

/// The protocol's version. Raised only by a change that an older peer cannot skip.
pub const VERSION: u32 = 1;

/// Opens every connection, from both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the sender.
    pub protocol: u32,
    /// Release of the sender, for people.
    pub release: String,
    /// Names of what the sender can do beyond the first version.
    #[serde(default)]
    pub features: Vec<String>,
}

/// Daemon to spawner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToSpawner {
    /// Opening words.
    Hello(Hello),
    /// Make a shim. Descriptors: the shim's end of a control socket, then the sockets of `config.attach`.
    Spawn {
        /// Echoed in the answer.
        seq: u64,
        /// For the shim.
        config: Box<ShimConfig>,
    },
    /// Make a shim whose container is not known yet. Descriptor: the shim's end of a control socket, over which come [`ToSpare::Expect`], which may be left
    /// out, and a [`ShimConfig`] with the sockets of `config.attach`. It ends where the socket closes before.
    Prepare {
        /// Echoed in the answer.
        seq: u64,
    },
    /// Skipped.
    #[serde(other)]
    Unknown,
}

/// Daemon to a shim whose container is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToSpare {
    /// There will be a container in a moment: what takes long is made now.
    Expect,
}

/// Spawner to daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FromSpawner {
    /// Opening words.
    Hello(Hello),
    /// A shim was forked; all else comes over its control socket.
    Spawned {
        /// As asked.
        seq: u64,
        /// The shim's process id.
        pid: i32,
    },
    /// No shim could be made.
    Failed {
        /// As asked.
        seq: u64,
        /// Why.
        message: String,
    },
    /// Skipped.
    #[serde(other)]
    Unknown,
}

/// Daemon to shim.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ToShim {
    /// Opening words.
    Hello(Hello),
    /// A request; the answer carries the same number.
    Request {
        /// Echoed in the answer.
        seq: u64,
        /// What is asked.
        #[serde(flatten)]
        request: Request,
    },
    /// Skipped.
    #[serde(other)]
    Unknown,
}

/// What a daemon can ask of a shim.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Attach a client (descriptor: its socket).
    Attach(AttachConfig),
    /// Signal the container's first process, or all of its processes.
    Kill {
        /// Signal number.
        signal: i32,
        /// All processes of the cgroup instead of the first.
        #[serde(default)]
        all: bool,
    },
    /// Resize the terminal of the container, or of an exec.
    Resize {
        /// Exec id; `None` for the container.
        #[serde(default)]
        exec: Option<String>,
        /// Rows.
        height: u16,
        /// Columns.
        width: u16,
    },
    /// Run a further process (descriptor: the client's socket where `attach` is set). Answered with `pid` once it runs.
    Exec(Box<ExecConfig>),
    /// Signal an exec's process.
    ExecKill {
        /// Exec id.
        exec: String,
        /// Signal number.
        signal: i32,
    },
    /// Change limits.
    Update(Box<UpdateConfig>),
    /// Freeze.
    Pause,
    /// Thaw.
    Resume,
    /// Answered with usage.
    Usage,
    /// Answered with a descriptor of the root mount.
    Root,
    /// Answered with a copy of the socket on which the container's questions for names arrive. Made where it is not there yet.
    Resolver {
        /// The listening one instead of the one for datagrams.
        tcp: bool,
    },
    /// Hold and relay these published ports too (descriptors: their sockets, in this order).
    Relays {
        /// What they are.
        relays: Vec<RelayConfig>,
        /// Those that it has are let go first.
        #[serde(default)]
        anew: bool,
    },
    /// Open the log file anew (somebody else rotated it).
    ReopenLog,
    /// Answered at once. All news that the shim sent before comes before the answer.
    Sync,
    /// The daemon has recorded the exit: remove the cgroup, the pin and the directory's files, close the root, end. Answered by the end of
    /// the stream; a failure to remove something comes before it. Refused while the container runs.
    Release,
    /// Refused.
    #[serde(other)]
    Unknown,
}

/// Shim to daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FromShim {
    /// Opening words and what the shim knows.
    Hello {
        /// Version and features.
        #[serde(flatten)]
        hello: Hello,
        /// Container id.
        id: String,
        /// The shim's own process id.
        shim_pid: i32,
        /// The container now.
        state: State,
        /// What its health check has found, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        health: Option<Box<Report>>,
    },
    /// Answer to a request.
    Reply {
        /// As asked.
        seq: u64,
        /// What came of it.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// The container's program runs.
    Started {
        /// Process id on the host.
        pid: i32,
        /// In clock ticks since boot.
        start_time: u64,
        /// Wall clock, nanoseconds since 1970.
        at: i64,
        /// Phases in microseconds.
        #[serde(default)]
        timings: Vec<(String, u64)>,
    },
    /// The container could not be started. The shim ends after this, leaving nothing.
    StartFailed {
        /// Why.
        failure: Failure,
    },
    /// The first process has ended, its output is drained, its exit is on disk.
    Exited(Exit),
    /// An exec's process has ended and its output is drained.
    ExecExited {
        /// Exec id.
        exec: String,
        /// Exit code, 128+n for a signal.
        code: i32,
    },
    /// A client typed the detach keys.
    Detached {
        /// Exec id; `None` for the container's own streams.
        #[serde(default)]
        exec: Option<String>,
    },
    /// The kernel killed a process of the container for lack of memory.
    Oom,
    /// A probe of the health check is about to run.
    ProbeBegan {
        /// Its id among the execs.
        exec: String,
    },
    /// It has a result, which is the last one of the report now.
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
    /// Something that is not the container's failure went wrong (the log could not be written, the namespace not pinned).
    Warning {
        /// What and why.
        message: String,
    },
    /// Skipped.
    #[serde(other)]
    Unknown,
}

/// What came of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Ok,
    /// An exec runs.
    Exec {
        /// Process id on the host.
        pid: i32,
    },
    /// What the container used.
    Usage(Box<dhow_runtime::cgroup::Usage>),
    /// Not done.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// What a shim knows of its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Being made.
    Starting,
    /// Running (or frozen).
    Running {
        /// Process id on the host.
        pid: i32,
        /// In clock ticks since boot.
        start_time: u64,
        /// Wall clock, nanoseconds since 1970.
        at: i64,
    },
    /// Ended.
    Exited(Exit),
    /// From a newer release.
    #[serde(other)]
    Unknown,
}

/// How a container ended. Also the content of `exit.json` in the shim's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code, 128+n for a signal.
    pub code: i32,
    /// Wall clock, nanoseconds since 1970.
    pub at: i64,
    /// The kernel killed a process of the container for lack of memory.
    #[serde(default)]
    pub oom: bool,
}
