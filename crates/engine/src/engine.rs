//! The engine: what a front end calls. Cheap to clone. No call waits for an operation on another object.

use crate::error::Result;
use crate::events::Event;
use crate::model::{Container, ExecRequest, ExecState, Request, Resources};
use dhow_image::{Image, Loaded, Removed};
use dhow_reference::Reference;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Where the engine lives. All names on the host derive from these, so that any number of engines run side by side.
#[derive(Debug, Clone)]
pub struct Options {
    /// `/var/lib/dhow`.
    pub data_root: PathBuf,
    /// `/run/dhow`.
    pub exec_root: PathBuf,
    /// Parent cgroup of containers (`/dhow`, or `/dhow-HASH` where the roots are not the default).
    pub cgroup_parent: String,
    /// Options of json-file logs where the container sets none.
    pub log_options: std::collections::BTreeMap<String, String>,
}

/// When [`Engine::wait`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// At once when it does not run.
    NotRunning,
    /// At its next end.
    NextExit,
    /// When it is removed.
    Removed,
}

/// A client's stream, taken over from the front end. The shim serves it; the front end must not touch it any more.
#[derive(Debug)]
pub struct Client {
    /// The socket.
    pub socket: OwnedFd,
    /// Input that was read with the request.
    pub early: Vec<u8>,
}

/// How a client attaches.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "Docker's query parameters by their names")]
pub struct AttachRequest {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub logs: bool,
    pub stream: bool,
    pub detach_keys: Option<String>,
}

/// Which log lines.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "Docker's query parameters by their names")]
pub struct LogRequest {
    pub stdout: bool,
    pub stderr: bool,
    pub follow: bool,
    /// Nanoseconds since 1970.
    pub since: Option<i64>,
    /// Nanoseconds since 1970.
    pub until: Option<i64>,
    /// `None`: all.
    pub tail: Option<u64>,
}

/// One line of a log (or part of a long one), as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// 1 or 2.
    pub stream: u8,
    /// Nanoseconds since 1970.
    pub at: i64,
    /// With its newline, if it had one.
    pub text: Vec<u8>,
    /// Attributes for `details`.
    pub attrs: std::collections::BTreeMap<String, String>,
}

/// The engine.
#[derive(Debug, Clone)]
pub struct Engine {}

impl Engine {
    /// Opens the roots (0700/0711, checked), the stores and the spawner; adopts running containers; finishes or removes what a crash left.
    /// Fails if another engine holds the roots (a lock on the data root).
    pub async fn open(_options: Options) -> Result<Self> {
        todo!()
    }
    /// Ends the spawner's connection and stops taking commands. Containers go on.
    pub async fn close(&self) {
        todo!()
    }
    /// Stops every container by its stop signal and time-out, as dockerd does at its end.
    pub async fn stop_all(&self) {
        todo!()
    }
    /// As given.
    pub fn options(&self) -> &Options {
        todo!()
    }

    /// Validates and makes. Answers the id and warnings.
    pub async fn create(&self, _request: Request) -> Result<(String, Vec<String>)> {
        todo!()
    }
    /// By id, name, or unique id prefix, in Docker's order.
    pub fn container(&self, _name: &str) -> Result<Arc<Container>> {
        todo!()
    }
    /// All of them, newest first.
    pub fn containers(&self) -> Vec<Arc<Container>> {
        todo!()
    }
    /// Starts. `Kind::NotModified` when it runs already.
    pub async fn start(&self, _name: &str) -> Result<()> {
        todo!()
    }
    /// Stops: signal, wait, kill. `Kind::NotModified` when it does not run. Seconds; `None`: the container's own; negative: for ever.
    pub async fn stop(&self, _name: &str, _signal: Option<&str>, _timeout: Option<i64>) -> Result<()> {
        todo!()
    }
    /// Stops and starts.
    pub async fn restart(&self, _name: &str, _signal: Option<&str>, _timeout: Option<i64>) -> Result<()> {
        todo!()
    }
    /// Sends a signal (name or number, with or without SIG); KILL where `None`.
    pub async fn kill(&self, _name: &str, _signal: Option<&str>) -> Result<()> {
        todo!()
    }
    /// Removes.
    pub async fn remove(&self, _name: &str, _force: bool, _volumes: bool) -> Result<()> {
        todo!()
    }
    /// Renames.
    pub async fn rename(&self, _name: &str, _to: &str) -> Result<()> {
        todo!()
    }
    /// Freezes.
    pub async fn pause(&self, _name: &str) -> Result<()> {
        todo!()
    }
    /// Thaws.
    pub async fn unpause(&self, _name: &str) -> Result<()> {
        todo!()
    }
    /// Changes limits.
    pub async fn update(&self, _name: &str, _resources: Resources) -> Result<Vec<String>> {
        todo!()
    }
    /// Registers the wait before it returns (so that a caller may start the container next) and gives a future with exit code and error text.
    pub async fn wait(&self, _name: &str, _for: WaitFor) -> Result<tokio::sync::oneshot::Receiver<(i64, Option<String>)>> {
        todo!()
    }
    /// Checks that an attach is possible, before the front end answers 101: parses detach keys, looks the container up.
    pub fn check_attach(&self, _name: &str, _request: &AttachRequest) -> Result<Arc<Container>> {
        todo!()
    }
    /// Gives a client to the container: at once when it runs, at its start otherwise. An ended container's client is closed after the logs.
    pub async fn attach(&self, _name: &str, _request: AttachRequest, _client: Client) -> Result<()> {
        todo!()
    }
    /// Resizes the terminal.
    pub async fn resize(&self, _name: &str, _height: u16, _width: u16) -> Result<()> {
        todo!()
    }
    /// Lines of the log on a bounded channel; it closes at the end (with `follow`: when the container stops). The reader reads files from disk.
    pub async fn logs(&self, _name: &str, _request: LogRequest) -> Result<tokio::sync::mpsc::Receiver<Result<LogLine>>> {
        todo!()
    }
    /// Phases of the last start in microseconds (`dhow debug timings`).
    pub fn timings(&self, _name: &str) -> Result<Vec<(String, u64)>> {
        todo!()
    }
    /// Bytes of the container's own content, and of its whole root filesystem.
    pub async fn sizes(&self, _name: &str) -> Result<(u64, u64)> {
        todo!()
    }

    /// Makes an exec.
    pub async fn exec_create(&self, _container: &str, _request: ExecRequest) -> Result<String> {
        todo!()
    }
    /// One exec.
    pub fn exec(&self, _id: &str) -> Result<Arc<ExecState>> {
        todo!()
    }
    /// Checks that the exec may start, before the front end answers 101, and marks it started (a second start is a conflict).
    pub async fn exec_claim(&self, _id: &str) -> Result<Arc<ExecState>> {
        todo!()
    }
    /// Starts a claimed exec, with its client unless detached. A program that cannot be run writes Docker's text to the client, sets the exit
    /// code (126, 127) and is no error here.
    pub async fn exec_start(&self, _id: &str, _client: Option<Client>, _console_size: Option<(u16, u16)>) -> Result<()> {
        todo!()
    }
    /// Resizes an exec's terminal.
    pub async fn exec_resize(&self, _id: &str, _height: u16, _width: u16) -> Result<()> {
        todo!()
    }

    /// All images.
    pub async fn images(&self) -> Result<Vec<Arc<Image>>> {
        todo!()
    }
    /// One image.
    pub async fn image(&self, _name: &str) -> Result<Arc<Image>> {
        todo!()
    }
    /// Tags.
    pub async fn tag(&self, _source: &str, _target: Reference) -> Result<()> {
        todo!()
    }
    /// Untags and deletes by Docker's rules.
    pub async fn image_remove(&self, _name: &str, _force: bool, _prune: bool) -> Result<Vec<Removed>> {
        todo!()
    }
    /// Loads an archive from a reader on a blocking thread.
    pub async fn load(&self, _archive: Box<dyn std::io::Read + Send>) -> Result<Vec<Loaded>> {
        todo!()
    }
    /// Imports a root filesystem tar.
    pub async fn import(&self, _tar: Box<dyn std::io::Read + Send>, _config: dhow_image::ImportConfig, _target: Option<Reference>) -> Result<Arc<Image>> {
        todo!()
    }
    /// Gets an image that is not here. Until registries arrive, that is the one embedded in the program.
    pub async fn pull(&self, _name: &Reference) -> Result<Arc<Image>> {
        todo!()
    }

    /// Events from now on, and the kept ones since a time.
    pub fn events(&self, _since: Option<i64>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        todo!()
    }
}
