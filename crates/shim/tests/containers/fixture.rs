//! One container's surroundings: a root filesystem, a specification, directories; and their removal.

use dhow_shim::ShimConfig;
use dhow_shim::config::{AttachConfig, ExecConfig, LogConfig};
use dhow_shim::handle::{Event, Running, Spawner, clean_up};
use dhow_sys::overlay::Overlay;
use oci_spec::runtime::{Process, Spec};
use serde_json::{Value, json};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Runs one test on a runtime of its own.
pub(crate) fn block_on<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test takes too long") });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// Everything that one container needs. Removed at the end, whatever happened.
pub(crate) struct Place {
    temp: tempfile::TempDir,
    pub(crate) id: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let temp = tempfile::Builder::new().prefix("dhow-shim-test-").tempdir().unwrap();
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let id =
            format!("{:032x}{:08x}{n:024x}", std::process::id(), rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_nsec);
        let lower = temp.path().join("lower");
        for dir in ["bin", "dev", "proc", "sys", "etc", "tmp"] {
            std::fs::create_dir_all(lower.join(dir)).unwrap();
        }
        std::fs::copy("/bin/busybox", lower.join("bin/busybox")).unwrap();
        for applet in
            ["sh", "cat", "echo", "sleep", "true", "usleep", "stty", "tail", "id", "head", "yes", "seq", "kill", "test", "dd", "tty", "ps"]
        {
            std::os::unix::fs::symlink("busybox", lower.join("bin").join(applet)).unwrap();
        }
        for dir in ["upper", "work"] {
            std::fs::create_dir(temp.path().join(dir)).unwrap();
        }
        Self { temp, id }
    }

    pub(crate) fn path(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.path().join("run")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    fn cgroup(&self) -> String {
        format!("/dhow-shim-test-{}", self.id)
    }

    /// A container that runs `args`, with a log, without input or clients.
    pub(crate) fn config(&self, args: &[&str]) -> ShimConfig {
        let root = Overlay {
            lower: vec![self.path().join("lower").into()],
            upper: Some(self.path().join("upper")),
            work: Some(self.path().join("work")),
            volatile: true,
        };
        ShimConfig {
            listener: None,
            id: self.id.clone(),
            spec: self.spec(args, false),
            root,
            root_follows: false,
            seccomp: None,
            dir: self.dir(),
            log: Some(LogConfig { path: self.log(), max_size: 0, max_file: 1, compress: false, attrs: Default::default() }),
            sink: None,
            tty: false,
            console_size: None,
            open_stdin: false,
            stdin_once: false,
            pin_netns: None,
            make_sources: Vec::new(),
            volumes: Vec::new(),
            runtime: None,
            attach: Vec::new(),
            head: None,
            health: None,
            network: None,
        }
    }

    /// A shell script in place of a program.
    pub(crate) fn script(&self, script: &str) -> ShimConfig {
        self.config(&["/bin/sh", "-c", script])
    }

    /// The same with a terminal.
    pub(crate) fn tty_script(&self, script: &str) -> ShimConfig {
        let mut config = self.script(script);
        config.spec = self.spec(&["/bin/sh", "-c", script], true);
        config.tty = true;
        config
    }

    fn spec(&self, args: &[&str], tty: bool) -> Spec {
        serde_json::from_value(json!({
            "ociVersion": "1.2.0",
            "hostname": "shim-test",
            "process": process(args, tty),
            "root": {"path": "rootfs"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            ],
            "linux": {
                "cgroupsPath": self.cgroup(),
                "resources": {},
                "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}],
            },
        }))
        .unwrap()
    }

    /// The log entries: stream and text.
    pub(crate) fn entries(&self) -> Vec<(String, String)> {
        entries(&self.log())
    }

    /// The log's text, both streams together.
    pub(crate) fn logged(&self) -> String {
        self.entries().into_iter().map(|(_, text)| text).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Where a test failed its shim still waits.
        let state = std::fs::read(self.dir().join("state.json")).ok().and_then(|body| serde_json::from_slice::<Value>(&body).ok());
        if let Some(pid) = state.and_then(|state| state["shim_pid"].as_i64()) {
            let pidfd = dhow_sys::process::pidfd_open(pid as i32);
            let _ = pidfd.and_then(|pidfd| {
                dhow_sys::process::pidfd_signal(&pidfd, 9)?;
                Ok(rustix::event::poll(&mut [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)], None)?)
            });
        }
        if let Err(error) = clean_up(&self.dir()) {
            eprintln!("clean up {}: {error}", self.id);
        }
    }
}

pub(crate) fn entries(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let entry = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        (value["stream"].as_str().unwrap().to_owned(), value["log"].as_str().unwrap().to_owned())
    };
    text.lines().map(entry).collect()
}

fn process(args: &[&str], tty: bool) -> Value {
    json!({
        "terminal": tty,
        "user": {"uid": 0, "gid": 0},
        "args": args,
        "env": ["PATH=/bin"],
        "cwd": "/",
        "noNewPrivileges": true,
    })
}

/// A further process.
pub(crate) fn exec(id: &str, script: &str, tty: bool) -> ExecConfig {
    let process: Process = serde_json::from_value(process(&["/bin/sh", "-c", script], tty)).unwrap();
    ExecConfig { id: id.to_owned(), process, seccomp: None, tty, console_size: None, attach: None }
}

/// A client's two ends.
pub(crate) fn client() -> (UnixStream, OwnedFd) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (theirs, ours.into())
}

/// Attached to everything.
pub(crate) fn everything() -> AttachConfig {
    AttachConfig { stdin: true, stdout: true, stderr: true, stream: true, ..AttachConfig::default() }
}

/// Memory of a process in kB, by its name in `smaps_rollup`.
pub(crate) fn memory(pid: i32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Reads until `text` has come.
pub(crate) fn expect(client: &mut UnixStream, text: &str) -> String {
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains(text) {
        let mut buffer = [0; 4096];
        match client.read(&mut buffer) {
            Ok(n) if n > 0 => got.extend_from_slice(&buffer[..n]),
            end => panic!("{end:?} before {text:?}, after {:?}", String::from_utf8_lossy(&got)),
        }
    }
    String::from_utf8_lossy(&got).into_owned()
}

/// Reads to the end.
pub(crate) fn rest(client: &mut UnixStream) -> String {
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    String::from_utf8_lossy(&got).into_owned()
}

/// Starts a container.
pub(crate) async fn run(config: ShimConfig) -> (Spawner, Running) {
    run_with(config, Vec::new()).await
}

/// Starts a container with clients.
pub(crate) async fn run_with(config: ShimConfig, clients: Vec<OwnedFd>) -> (Spawner, Running) {
    let spawner = Spawner::start().await.unwrap();
    let running = spawner.spawn(config, clients).await.unwrap();
    (spawner, running)
}

/// The next event.
pub(crate) async fn next(running: &mut Running) -> Event {
    running.events.recv().await.expect("an event")
}

/// Waits for the exit; other events are an error.
pub(crate) async fn exit(running: &mut Running) -> i32 {
    match next(running).await {
        Event::Exited(exit) => exit.code,
        other => panic!("{other:?}"),
    }
}

/// Waits for the exit, releases the shim, and looks for what is left.
pub(crate) async fn exit_and_release(place: &Place, running: &mut Running) -> i32 {
    let code = exit(running).await;
    running.shim.release().await.unwrap();
    assert!(!place.dir().exists(), "the directory is left");
    let cgroup = dhow_runtime::cgroup::Cgroup::at(&place.cgroup()).unwrap();
    for (_, dir) in &cgroup.dirs {
        assert!(!dir.exists(), "{} is left", dir.display());
    }
    assert!(matches!(next(running).await, Event::Gone));
    code
}
