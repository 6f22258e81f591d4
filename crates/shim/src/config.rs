//! All that a shim is told at its birth.

pub mod sink;

use crate::health::Plan;
use dhow_network::ports::Protocol;
use dhow_runtime::seccomp::Program;
use dhow_sys::overlay::{Lower, Overlay};
use oci_spec::runtime::{LinuxResources, Spec};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Everything a shim needs to make, watch and bury one container. Unknown fields are skipped, missing ones have defaults.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShimConfig {
    /// Full container id (64 hex).
    pub id: String,
    /// The OCI specification, without `linux.seccomp` where `seccomp` is given.
    pub spec: Spec,
    /// The root filesystem.
    pub root: Overlay,
    /// The daemon mounts it meanwhile, and sends it behind this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub root_follows: bool,
    /// The compiled filter.
    #[serde(default)]
    pub seccomp: Option<Program>,
    /// Who is told of the calls that the filter hands to somebody else; needed if it does so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<Box<dhow_runtime::Listener>>,
    /// Directory of this container under the exec root (0700): `shim.sock`, `exit.json`, `state.json`. Made by the shim. Its path has at
    /// most 97 bytes, since a socket's has 107.
    pub dir: PathBuf,
    /// Log, unless the driver is `none`.
    #[serde(default)]
    pub log: Option<LogConfig>,
    /// Where its output goes besides the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<sink::SinkConfig>,
    /// The container has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Height and width at start.
    #[serde(default)]
    pub console_size: Option<(u16, u16)>,
    /// Standard input stays open without a client (`-i`).
    #[serde(default)]
    pub open_stdin: bool,
    /// Standard input closes when the first attached client's input ends.
    #[serde(default)]
    pub stdin_once: bool,
    /// Where the network namespace is pinned (a bind mount of the namespace, made by the shim after the start and
    /// removed by it at the end); `None` where the container shares one. It is there once the shim has answered a request
    /// ([`crate::handle::Shim::sync`] will do).
    #[serde(default)]
    pub pin_netns: Option<PathBuf>,
    /// Sources of binds that are made as directories where they are missing.
    #[serde(default)]
    pub make_sources: Vec<PathBuf>,
    /// Mounts whose sources the shim finds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeConfig>,
    /// A foreign OCI runtime that makes the container; `None`: this program itself. With one, `spec` holds the seccomp profile.
    #[serde(default)]
    pub runtime: Option<Foreign>,
    /// Clients attached before the start. Their sockets come with the message, in this order.
    #[serde(default)]
    pub attach: Vec<AttachConfig>,
    /// Which of `attach` has a [`crate::head::Head`] that it is given before any output. Its pipe comes behind their sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<usize>,
    /// The health check, where there is one. The shim runs its probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthConfig>,
    /// Its places in networks, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkConfig>,
}

/// A mount of a volume, or of a part of one, whose source is found by descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeConfig {
    /// The volume's name.
    pub name: String,
    /// Its place in the container, as the specification has it: a bind, whose source there is for show.
    pub target: PathBuf,
    /// Where the data is. What the daemon holds mounted is held by the shim too, as long as the container runs.
    pub data: Lower,
    /// The part of it that is mounted, relative; empty for all.
    #[serde(default)]
    pub part: PathBuf,
    /// With what is mounted below it.
    #[serde(default)]
    pub recursive: bool,
}

/// A container's places in networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// What is made before the program runs.
    pub plan: dhow_network::endpoint::Plan,
    /// Published ports that the shim holds. Their sockets, listening or bound, come with the message, after what belongs to `attach`
    /// and in this order.
    #[serde(default)]
    pub relays: Vec<RelayConfig>,
}

/// A published port. What comes to its socket (the packet filter sends nearly all past it) is relayed to the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayConfig {
    /// Its protocol. SCTP is held and not relayed.
    pub protocol: Protocol,
    /// The container's address and port.
    pub target: std::net::SocketAddr,
}

/// A health check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HealthConfig {
    /// When probes run.
    pub plan: Plan,
    /// What runs. The container's own filter applies.
    pub process: oci_spec::runtime::Process,
}

/// An OCI runtime with runc's command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// The program, absolute.
    pub path: PathBuf,
    /// Its words before all others.
    #[serde(default)]
    pub args: Vec<String>,
}

/// A json-file log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Path of the newest file; rotated ones are `PATH.1`, `PATH.2`, ...
    pub path: PathBuf,
    /// Size in bytes at which a file is rotated; 0 means never.
    pub max_size: u64,
    /// Number of files kept, at least 1.
    pub max_file: u32,
    /// Rotated files are compressed (`PATH.1.gz`).
    #[serde(default)]
    pub compress: bool,
    /// Extra `attrs` written in each line, empty for none.
    #[serde(default)]
    pub attrs: std::collections::BTreeMap<String, String>,
}

/// How one client is attached. The shim writes to, and reads from, the client's own socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachConfig {
    /// Forward what the client writes to the container's input.
    #[serde(default)]
    pub stdin: bool,
    /// Send the container's output.
    #[serde(default)]
    pub stdout: bool,
    /// Send the container's errors.
    #[serde(default)]
    pub stderr: bool,
    /// Send in Docker's frames of 8 bytes header and payload (an exec with a terminal too, where its client asked for frames).
    #[serde(default)]
    pub framed: bool,
    /// Bytes that end the attachment when typed (only with a terminal). Empty for none.
    #[serde(default)]
    pub detach_keys: Vec<u8>,
    /// Bytes of the client's input that were already read with its request.
    #[serde(default)]
    pub early: Vec<u8>,
    /// First send what the log holds (`logs=1`).
    #[serde(default)]
    pub replay: bool,
    /// Go on with live output (`stream=1`); otherwise the client is done after the replay.
    #[serde(default = "yes")]
    pub stream: bool,
}

fn yes() -> bool {
    true
}

/// A further process (`exec`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecConfig {
    /// Exec id (64 hex).
    pub id: String,
    /// What to run.
    pub process: oci_spec::runtime::Process,
    /// The filter, as for the container (`None` for a privileged exec).
    #[serde(default)]
    pub seccomp: Option<Program>,
    /// It has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Height and width at start.
    #[serde(default)]
    pub console_size: Option<(u16, u16)>,
    /// The client to attach; its socket comes with the message. `None` when detached: input is empty, output is dropped.
    #[serde(default)]
    pub attach: Option<AttachConfig>,
}

/// Changed limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpdateConfig {
    /// The limits that change.
    pub resources: LinuxResources,
}
