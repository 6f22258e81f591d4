//! What the engine knows of a container. The shapes are the engine's own and are what the state store keeps.

pub use crate::devices::{BlockValue, Device, DeviceRequest};

pub mod network;
pub mod volume;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a front end asks for when it creates a container: only what the engine acts on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// Name without slash; made up where `None`.
    pub name: Option<String>,
    /// What was asked for as image (name or id), word for word.
    pub image: String,
    /// `None`: the image's.
    pub entrypoint: Option<Vec<String>>,
    /// `None`: the image's (unless an entrypoint is given).
    pub command: Option<Vec<String>>,
    /// `KEY=value`, or `KEY` to remove the image's.
    pub env: Vec<String>,
    /// Absolute; empty: the image's, else `/`.
    pub working_dir: String,
    /// `user[:group]`, names or numbers; empty: the image's.
    pub user: String,
    /// Empty: the first 12 digits of the id.
    pub hostname: String,
    /// NIS domain name.
    pub domainname: String,
    /// Terminal.
    pub tty: bool,
    /// `-i`.
    pub open_stdin: bool,
    /// Input ends with the first client's.
    pub stdin_once: bool,
    /// Labels; the image's are merged under them.
    pub labels: BTreeMap<String, String>,
    /// Signal name or number; `None`: the image's, else SIGTERM.
    pub stop_signal: Option<String>,
    /// Seconds; `None`: 10.
    pub stop_timeout: Option<i64>,
    /// Health check, the image's merged in.
    pub health: Option<HealthCheck>,
    /// Remove when ended.
    pub auto_remove: bool,
    /// Terminal size at start, height and width.
    pub console_size: Option<(u16, u16)>,
    /// Host side of the container.
    pub host: Host,
    /// What it asks of networks.
    pub network: network::Wishes,
    /// Paths that get an anonymous volume where nothing else is mounted; empty once the container is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<PathBuf>,
    /// Whose mounts it takes over; empty once it is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<volume::VolumesFrom>,
    /// The front end's own document, kept word for word, never read here (Docker's Config, HostConfig, NetworkingConfig with defaults filled in).
    pub document: String,
}

/// A health check. Times in nanoseconds; 0 and less leave them, and the number of failures, open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "Docker's HealthConfig by its names")]
pub struct HealthCheck {
    /// What is run, word by word.
    pub command: Vec<String>,
    pub interval: i64,
    pub timeout: i64,
    pub start_period: i64,
    pub start_interval: i64,
    pub retries: i64,
}

/// Isolation, limits and mounts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Everything allowed.
    pub privileged: bool,
    /// Names with or without CAP_, any case, or ALL.
    pub cap_add: Vec<String>,
    /// As `cap_add`.
    pub cap_drop: Vec<String>,
    /// Root filesystem read-only.
    pub read_only: bool,
    /// Our init as the first process.
    pub init: bool,
    /// Network mode: `none`, `host`, `container:ID`, or the networks that it is in.
    pub network: NetworkMode,
    /// Pid namespace.
    pub pid: NamespaceMode,
    /// Ipc namespace.
    pub ipc: IpcMode,
    /// Uts namespace.
    pub uts: NamespaceMode,
    /// Cgroup namespace.
    pub cgroupns: NamespaceMode,
    /// The host's user namespace, also where the engine maps ids.
    pub userns_host: bool,
    /// Parent of the container's cgroup; `None`: the engine's.
    pub cgroup_parent: Option<String>,
    /// Bind mounts and tmpfs, in the order given.
    pub mounts: Vec<Mount>,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Further rules of the device cgroup, as text.
    pub device_rules: Vec<String>,
    /// Devices by name or capability.
    pub device_requests: Vec<DeviceRequest>,
    /// For the runtime and whoever reads its specification.
    pub annotations: BTreeMap<String, String>,
    /// Limits.
    pub resources: Resources,
    /// Bytes; 0: 64 MiB.
    pub shm_size: u64,
    /// Names or numbers.
    pub group_add: Vec<String>,
    /// `name=soft:hard`, by RLIMIT name without prefix, lower case.
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// Score adjustment.
    pub oom_score_adj: i32,
    /// `no-new-privileges`.
    pub no_new_privileges: bool,
    /// Seccomp profile.
    pub seccomp: Seccomp,
    /// AppArmor profile by name; `None`: Docker's, where the host has it loaded. Without AppArmor it means nothing.
    pub apparmor: Option<String>,
    /// The container's cgroups can be written inside; `None`: when privileged.
    pub writable_cgroups: Option<bool>,
    /// `None`: Docker's list (none when privileged).
    pub masked_paths: Option<Vec<String>>,
    /// `None`: Docker's list (none when privileged).
    pub readonly_paths: Option<Vec<String>>,
    /// Log.
    pub log: Log,
    /// `name:address` lines for /etc/hosts.
    pub extra_hosts: Vec<String>,
    /// Name of a foreign OCI runtime; empty: our own.
    pub runtime: String,
    /// Restart policy: Docker's name and maximum.
    pub restart: Option<(String, i64)>,
}

/// Seccomp profile of a container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// The built-in one (off when privileged).
    #[default]
    Default,
    /// None.
    Unconfined,
    /// This one, Docker's JSON.
    Profile(String),
}

/// Log driver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// `json-file` or `none`.
    pub driver: String,
    /// Driver options as given (`max-size`, `max-file`), validated at create.
    pub options: BTreeMap<String, String>,
}

impl Default for Log {
    fn default() -> Self {
        Self { driver: "json-file".into(), options: BTreeMap::new() }
    }
}

/// Whose network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// Loopback only.
    #[default]
    None,
    /// The host's.
    Host,
    /// Another container's, by full id.
    Container(String),
    /// Its own, with a place in each of its networks.
    Networks,
}

/// Whose namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's, by full id.
    Container(String),
}

/// Whose ipc namespace, and with it whose `/dev/shm`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpcMode {
    /// Its own, which nobody else may join.
    #[default]
    Private,
    /// Its own, without `/dev/shm`.
    None,
    /// Its own; others may join.
    Shareable,
    /// The host's.
    Host,
    /// Another container's, by full id.
    Container(String),
}

impl IpcMode {
    /// A namespace of the container's own.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Private | Self::None | Self::Shareable)
    }
}

/// One mount asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// What.
    pub kind: MountKind,
    /// Host path of a bind; empty for tmpfs.
    pub source: PathBuf,
    /// Absolute, in the container.
    pub target: PathBuf,
    /// Read-only (recursively, where the kernel can).
    pub read_only: bool,
    /// Forms of a bind that are not the usual one.
    #[serde(default)]
    pub bind: BindForm,
    /// `rprivate` and so on; empty: rprivate.
    pub propagation: String,
    /// Make a missing bind source as a directory (`-v`), instead of refusing (`--mount`).
    pub create_source: bool,
    /// tmpfs options as for mount(8).
    pub options: Vec<String>,
    /// The volume behind it; `source` is then where its data is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<volume::VolumeUse>,
    /// The image behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<volume::ImageUse>,
    /// Taken over from another container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherited: bool,
}

/// How a bind deals with the mounts below its source. The default is Docker's: they come along, and are read-only with it where the kernel can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BindForm {
    /// They do not come along.
    pub alone: bool,
    /// They stay writable in a read-only bind.
    pub writable_below: bool,
    /// It is an error where they cannot be made read-only.
    pub read_only_below: bool,
    /// In a user namespace its files have the container's ids, as those of volumes have.
    pub mapped: bool,
}

/// Kinds of mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// Recursive bind of a host path.
    Bind,
    /// Memory.
    Tmpfs,
    /// A volume.
    Volume,
    /// What an image has, read-only.
    Image,
}

/// Limits, in the kernel's units; 0 or `None` means none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are Docker's and cgroup's own names")]
pub struct Resources {
    pub memory: i64,
    pub memory_reservation: i64,
    /// Memory and swap; -1 unlimited; 0: twice the memory.
    pub memory_swap: i64,
    pub memory_swappiness: Option<u64>,
    pub oom_kill_disable: bool,
    pub nano_cpus: i64,
    pub cpu_shares: u64,
    pub cpu_period: u64,
    pub cpu_quota: i64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    /// `None` or 0 or less: no limit.
    pub pids_limit: Option<i64>,
    pub blkio_weight: u16,
    /// Real-time period and runtime in microseconds.
    pub cpu_realtime_period: u64,
    pub cpu_realtime_runtime: i64,
    pub weight_devices: Vec<BlockValue>,
    pub read_bps: Vec<BlockValue>,
    pub write_bps: Vec<BlockValue>,
    pub read_iops: Vec<BlockValue>,
    pub write_iops: Vec<BlockValue>,
}

/// One resource limit of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields say it")]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// Where a container stands. Legal moves are in [`crate::engine`]'s container module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "Docker's states by their names")]
pub enum Status {
    #[default]
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl Status {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

/// What changes in a container's life. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "Docker's State by its names")]
pub struct State {
    pub status: Status,
    pub pid: i32,
    /// In clock ticks since boot: with `pid` it names the process.
    #[serde(default)]
    pub pid_start_time: u64,
    pub exit_code: i32,
    pub error: String,
    pub oom_killed: bool,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
    /// What the restart policy goes by.
    #[serde(default)]
    pub restarts: Restarts,
    /// Of a container with a health check that has started. Boxed: few have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Box<Health>>,
}

/// What the health check has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "Docker's Health by its names")]
pub struct Health {
    pub status: HealthStatus,
    pub failing_streak: u64,
    /// The last five results, oldest first.
    pub log: Vec<ProbeResult>,
}

/// What the probes make of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "Docker's words")]
pub enum HealthStatus {
    Starting,
    Healthy,
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One probe. Times are nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "Docker's HealthcheckResult by its names")]
pub struct ProbeResult {
    pub start: i64,
    pub end: i64,
    /// -1 where it did not end by itself.
    pub exit_code: i32,
    /// It was killed for taking too long.
    #[serde(default)]
    pub timed_out: bool,
    pub output: String,
}

/// A container's past, as far as its restart policy is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Restarts {
    /// Restarts by policy since the last start by hand.
    pub count: u64,
    /// The last wait before a restart, in milliseconds; 0 before the first.
    pub delay_ms: u64,
    /// Somebody stopped or signalled it since its last start.
    pub by_hand: bool,
    /// It was told to end: this run is not followed by another one.
    pub canceled: bool,
    /// When it is started again, nanoseconds since 1970; set while it is `Restarting`.
    pub due: Option<i64>,
}

/// One container, as published for readers: immutable, replaced as a whole at each change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Container {
    /// 64 hex.
    pub id: String,
    /// Without slash.
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// As asked, with the image's defaults merged in (`image` stays what the user typed).
    pub request: Request,
    /// The image's id.
    pub image_id: String,
    /// First word and rest of entrypoint and command.
    pub path: String,
    /// The rest.
    pub args: Vec<String>,
    /// Life.
    pub state: State,
    /// Ids of its execs that were made or run.
    #[serde(skip)]
    pub execs: Vec<String>,
    /// Sandbox it refers to.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// The networks that it is in, by name.
    #[serde(default)]
    pub networks: BTreeMap<String, network::Membership>,
    /// Ports that are published while it runs.
    #[serde(default)]
    pub published: Vec<dhow_network::ports::Mapping>,
    /// json-file path, empty before the first start or with driver `none`.
    #[serde(default)]
    pub log_path: String,
    /// Directories of its overlay as Docker's GraphDriver.Data (LowerDir, UpperDir, WorkDir, MergedDir); none where its root is a copy.
    #[serde(default)]
    pub graph: BTreeMap<String, String>,
}

/// A network namespace with its files: an object of its own, which containers refer to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sandbox {
    /// 64 hex.
    pub id: String,
    /// Where the namespace is pinned while it lives; empty before.
    pub key: String,
    /// Host path of its resolv.conf.
    pub resolv_conf: PathBuf,
    /// Host path of its hostname file.
    pub hostname: PathBuf,
    /// Host path of its hosts file.
    pub hosts: PathBuf,
}

/// What `exec` is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "Docker's ExecConfig by its names")]
pub struct ExecRequest {
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub user: String,
    pub working_dir: String,
    pub privileged: bool,
    pub tty: bool,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub console_size: Option<(u16, u16)>,
    /// As given (`ctrl-p,ctrl-q`); `None`: the default.
    pub detach_keys: Option<String>,
}

/// One exec as published.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "Docker's exec inspect by its names")]
pub struct ExecState {
    pub id: String,
    pub container: String,
    pub request: ExecRequest,
    pub running: bool,
    /// `None` before it ended.
    pub exit_code: Option<i32>,
    pub pid: i32,
}
