//! A root filesystem with busybox, a specification as Docker writes it, and a container made of both.

use dhow_runtime::cgroup::{Cgroup, Unfinished};
use dhow_runtime::seccomp::Program;
use dhow_runtime::{Create, Created, Exec, ExecStarted, Failure, Root, Stdio};
use dhow_sys::overlay::Overlay;
use dhow_sys::process;
use oci_spec::runtime::Spec;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A place for one container. Dropped, it leaves nothing.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) cgroup: Cgroup,
    pub(crate) spec: Value,
    pub(crate) filter: Option<Program>,
    pub(crate) listener: Option<dhow_runtime::Listener>,
    /// A directory as the root instead of an overlay.
    pub(crate) root: Option<PathBuf>,
    /// The process goes through a stub.
    pub(crate) stub: bool,
}

pub(crate) const DEFAULT_CAPS: u64 = 0xa804_25fb;

impl Place {
    pub(crate) fn new() -> Self {
        Self::limited(&json!({}))
    }

    pub(crate) fn limited(resources: &Value) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::tempdir().unwrap();
        let lower = dir.path().join("lower");
        for name in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
            fs::create_dir_all(lower.join(name)).unwrap();
        }
        for name in ["upper", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::copy("/bin/busybox", lower.join("bin/busybox")).unwrap();
        for name in [
            "sh", "cat", "ls", "id", "stat", "mount", "sleep", "true", "ps", "stty", "tty", "touch", "mkdir", "readlink", "grep", "env",
            "head", "tail",
        ] {
            symlink("busybox", lower.join("bin").join(name)).unwrap();
        }
        fs::write(lower.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n").unwrap();
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/dhow-runtime-test-{}-{n}", std::process::id());
        let cgroup = Cgroup::create(&path, Some(&serde_json::from_value(resources.clone()).unwrap())).unwrap();
        Self { dir, cgroup, spec: spec(), filter: None, listener: None, root: None, stub: false }
    }

    /// Asserts that the host's mounts are as they were. What other tests mount in places of their own below the temporary directory
    /// may come and go meanwhile.
    #[track_caller]
    pub(crate) fn assert_same_mounts(&self, before: &str) {
        let theirs = |line: &&str| {
            let at = Path::new(line.split(' ').nth(4).unwrap_or_default());
            at.starts_with(std::env::temp_dir()) && !at.starts_with(self.dir.path())
        };
        let after = host_mounts();
        let ours = |text| str::lines(text).filter(|line| !theirs(line)).collect::<Vec<_>>();
        assert_eq!(ours(&after), ours(before));
    }

    pub(crate) fn lower(&self) -> PathBuf {
        self.dir.path().join("lower")
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.dir.path().join("upper")
    }

    /// In a user namespace: root is 100000 on the host.
    pub(crate) fn map(&mut self) -> &mut Self {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        self.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map).push("/linux/namespaces", json!({"type": "user"}));
        self.spec["linux"]["sysctl"].as_object_mut().unwrap().remove("net.ipv4.ping_group_range");
        self
    }

    /// Whether it lives in a user namespace of its own.
    fn mapped(&self) -> bool {
        self.spec["linux"]["namespaces"].as_array().unwrap().iter().any(|namespace| namespace["type"] == "user")
    }

    /// Changes a field by JSON pointer.
    pub(crate) fn set(&mut self, pointer: &str, value: Value) -> &mut Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.spec.pointer_mut(parent).unwrap()[key] = value;
        self
    }

    pub(crate) fn push(&mut self, pointer: &str, value: Value) -> &mut Self {
        self.spec.pointer_mut(pointer).unwrap().as_array_mut().unwrap().push(value);
        self
    }

    pub(crate) fn create(&self, stdio: Stdio) -> Result<Created, Failure> {
        self.with(stdio, |create| create.run())
    }

    pub(crate) fn create_and_start(&self, stdio: Stdio) -> Result<Created, Failure> {
        self.with(stdio, |create| create.run_and_start())
    }

    /// With somebody who does something in its network namespace, which is told of: the descriptor's number of the namespace.
    pub(crate) fn create_beside(&self, stdio: Stdio, group: Unfinished, told: &mut Vec<u64>) -> Result<Created, Failure> {
        self.with(stdio, |mut create| {
            create.manner.group = group;
            create.run_beside(
                &mut |netns| {
                    bind_at_loopback(netns);
                    told.push(rustix::fs::fstat(netns).unwrap().st_ino);
                    false
                },
                &mut |_, _| panic!("it is not started"),
            )
        })
    }

    /// With a root that is mounted beforehand.
    pub(crate) fn create_mounted(&self, stdio: Stdio) -> Result<Created, Failure> {
        self.with(stdio, |mut create| {
            let (Root::Overlay(overlay) | Root::Mapped(overlay)) = &create.root else { panic!("{:?}", create.root) };
            create.root = Root::Mounted(std::sync::Arc::new(overlay.mount_held().unwrap()));
            create.run()
        })
    }

    fn with(&self, stdio: Stdio, run: impl FnOnce(Create<'_>) -> Result<Created, Failure>) -> Result<Created, Failure> {
        let spec: Spec = serde_json::from_value(self.spec.clone()).unwrap();
        let overlay = Overlay {
            lower: vec![self.lower().into()],
            upper: Some(self.upper()),
            work: Some(self.dir.path().join("work")),
            volatile: false,
        };
        let root = if let Some(dir) = &self.root {
            Root::Dir(dir.clone())
        } else if self.mapped() {
            Root::Mapped(overlay)
        } else {
            Root::Overlay(overlay)
        };
        run(Create {
            spec: &spec,
            root,
            cgroup: &self.cgroup,
            seccomp: self.filter.as_ref(),
            stdio,
            trees: &[],
            hooks: None,
            manner: dhow_runtime::Manner {
                listener: self.listener.clone(),
                stub: self.stub.then(|| dhow_sys::stub::Stub::new().unwrap()),
                ..Default::default()
            },
        })
    }

    /// Starts `sh -c script` and hands back the container and what reads its output and errors.
    pub(crate) fn start(&mut self, script: &str) -> (Created, File) {
        self.set("/process/args", json!(["sh", "-c", script]));
        let (stdio, output) = pipes();
        let mut created = self.create(stdio).unwrap();
        created.start().unwrap();
        (created, output)
    }

    /// Runs `sh -c script` to its end: output and exit code.
    pub(crate) fn run(&mut self, script: &str) -> (String, i32) {
        let (created, output) = self.start(script);
        finish(&created.pidfd, output)
    }

    /// Runs it and demands success.
    pub(crate) fn ok(&mut self, script: &str) -> String {
        let (text, code) = self.run(script);
        assert_eq!(code, 0, "{text}");
        text
    }

    /// The reason why it does not start; asserts that nothing is left.
    pub(crate) fn fails(&mut self, args: &[&str]) -> Failure {
        self.set("/process/args", json!(args));
        let (stdio, _output) = pipes();
        let failure = match self.create(stdio) {
            Err(failure) => failure,
            Ok(mut created) => created.start().unwrap_err(),
        };
        assert!(process::reap_any().unwrap().is_none(), "a child is left");
        assert_eq!(rustix::process::wait(rustix::process::WaitOptions::NOHANG).unwrap_err(), rustix::io::Errno::CHILD);
        assert!(self.cgroup.pids().unwrap().is_empty());
        failure
    }

    pub(crate) fn exec(&self, created: &Created, args: &[&str], stdio: Stdio) -> Result<ExecStarted, Failure> {
        let mut process = self.spec["process"].clone();
        process["args"] = json!(args);
        process["terminal"] = json!(matches!(stdio, Stdio::Terminal { .. }));
        self.exec_process(created, process, stdio)
    }

    pub(crate) fn exec_process(&self, created: &Created, process: Value, stdio: Stdio) -> Result<ExecStarted, Failure> {
        Exec {
            process: &serde_json::from_value(process).unwrap(),
            init: created.pidfd.as_fd(),
            init_pid: created.pid,
            user_namespace: self.mapped(),
            cgroup: &self.cgroup,
            seccomp: self.filter.as_ref(),
            stdio,
            keep: dhow_runtime::Keep::default(),
            listener: self.listener.as_ref(),
            root: None,
            personality: None,
        }
        .run()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.cgroup.kill();
        while let Ok(Some(_)) = process::reap_any() {}
        let _ = self.cgroup.remove();
    }
}

/// `/dev/null` in, one pipe out for both outputs.
pub(crate) fn pipes() -> (Stdio, File) {
    let (read, write) = std::io::pipe().unwrap();
    let write = OwnedFd::from(write);
    let stdin = OwnedFd::from(File::open("/dev/null").unwrap());
    let stderr = write.try_clone().unwrap();
    (Stdio::Given { stdin, stdout: write, stderr }, File::from(OwnedFd::from(read)))
}

/// Everything that comes out, and the exit code.
pub(crate) fn finish(pidfd: &OwnedFd, mut output: File) -> (String, i32) {
    let mut text = Vec::new();
    // A terminal's master says EIO at the end.
    let _ = output.read_to_end(&mut text);
    let code = process::wait(pidfd).unwrap().code();
    (String::from_utf8_lossy(&text).into_owned(), code)
}

pub(crate) fn host_mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

/// The value of a line `name:` in a status file.
pub(crate) fn field<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_else(|| panic!("{name} in {text}")).trim()
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn spec() -> Value {
    let caps = json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE"
    ]);
    let plain = ["nosuid", "noexec", "nodev"];
    json!({
        "ociVersion": "1.2.0",
        "hostname": "inside",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": plain},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": plain},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]},
        ],
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "network"}, {"type": "uts"}, {"type": "pid"}, {"type": "ipc"}, {"type": "cgroup"}],
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"},
            "maskedPaths": ["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// The loopback of a network namespace is up: sockets can be bound there.
fn bind_at_loopback(netns: BorrowedFd<'_>) {
    let bind = || {
        rustix::thread::move_into_link_name_space(netns, Some(rustix::thread::LinkNameSpaceType::Network)).unwrap();
        std::net::UdpSocket::bind("127.0.0.11:0").map(drop)
    };
    // The thread ends there.
    std::thread::scope(|scope| scope.spawn(bind).join().unwrap()).unwrap();
}
