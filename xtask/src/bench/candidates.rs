//! Who is measured: each with roots of its own in the scratch directory, ended by process id.

use super::netns::Netns;
use super::remains::Remains;
use crate::shell::{command, find, output, quiet};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One engine, or the bare kernel.
pub(crate) trait Candidate {
    /// Name in the tables.
    fn name(&self) -> &str;
    /// What it is, for the report.
    fn version(&self) -> String;
    /// The command line for words after the program's name; `None` where it knows no such thing.
    fn command(&self, words: &[&str]) -> Option<Command>;
    /// Its resident daemons: process ids.
    fn daemons(&self) -> Vec<i32>;
    /// Its API's socket, if it has one.
    fn socket(&self) -> Option<PathBuf>;
}

/// Of the bare kernel's host.
const BRIDGE: &str = "bare0";

/// The bare kernel.
pub(crate) struct Floor {
    program: PathBuf,
    layer: PathBuf,
    scratch: PathBuf,
    /// The network namespace and the name of a bridge for containers that are not without a network.
    bridge: Option<(String, &'static str)>,
}

impl Floor {
    /// The same on a host of its own, where it gets a bridge.
    pub(crate) fn new_on(scratch: &Path, program: &Path, archive: &Path, host: &Netns) -> Result<Self> {
        for words in [
            &["link", "add", BRIDGE, "type", "bridge"][..],
            &["addr", "add", "172.30.0.1/16", "dev", BRIDGE],
            &["link", "set", BRIDGE, "up"],
        ] {
            quiet(host.command(Path::new("ip")).args(words))?;
        }
        Ok(Self { bridge: Some((host.path(), BRIDGE)), ..Self::new(scratch, program, archive)? })
    }

    /// Unpacks the layer of the image.
    pub(crate) fn new(scratch: &Path, program: &Path, archive: &Path) -> Result<Self> {
        let (layer, own) = (scratch.join("layer"), scratch.join("floor"));
        std::fs::create_dir_all(&layer).context("make the layer")?;
        std::fs::create_dir_all(&own).context("make the floor's directory")?;
        let mut outer = tar::Archive::new(std::fs::File::open(archive).context("open the image")?);
        for entry in outer.entries()? {
            let entry = entry?;
            if entry.path()?.ends_with("layer.tar") {
                let mut inner = tar::Archive::new(entry);
                inner.set_preserve_permissions(true);
                inner.unpack(&layer).context("unpack the layer")?;
            }
        }
        Ok(Self { program: program.into(), layer, scratch: own, bridge: None })
    }
}

impl Candidate for Floor {
    fn name(&self) -> &str {
        "bare kernel"
    }
    fn version(&self) -> String {
        "clone3, overlay, mounts, pivot_root, exec, wait (bench/floor)".into()
    }
    fn command(&self, words: &[&str]) -> Option<Command> {
        let position = words.iter().position(|word| *word == "busybox")?;
        if words[0] != "run" || words.contains(&"-p") {
            return None;
        }
        let mut command = Command::new(&self.program);
        if let Some((host, bridge)) = self.bridge.as_ref().filter(|_| !words.contains(&"none")) {
            command.args(["--bridge", host, bridge]);
        }
        command.arg(&self.layer).arg(&self.scratch).arg(format!("/bin/{}", words[position + 1])).args(&words[position + 2..]);
        Some(command)
    }
    fn daemons(&self) -> Vec<i32> {
        Vec::new()
    }
    fn socket(&self) -> Option<PathBuf> {
        None
    }
}

/// A daemon of ours, ended when dropped, with all that outlives it.
struct Daemon {
    child: Child,
    socket: PathBuf,
    remains: Remains,
    _memory: InMemory,
}

impl Daemon {
    /// With a directory in memory for its `--exec-root`.
    fn start(mut command: Command, socket: PathBuf, log: &Path, remains: Remains, memory: InMemory) -> Result<Self> {
        command.arg("--exec-root").arg(&memory.0);
        let file = std::fs::File::create(log).with_context(|| format!("make {}", log.display()))?;
        command.args(["--cgroup-parent", &remains.cgroup_parent()]).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let shown = format!("{command:?}");
        let mut child = command.spawn().with_context(|| format!("run {shown}"))?;
        let end = Instant::now() + Duration::from_secs(30);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if child.try_wait()?.is_some() || Instant::now() > end {
                let _killed = child.kill();
                let _status = child.wait();
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("it does not start: {}", said.lines().last().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { child, socket, remains, _memory: memory })
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Asks it to end.
    fn terminate(&self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid()) {
            let _sent = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }

    /// Whether it does; not where somebody who watched it has seen its end.
    fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.runs() {
            self.terminate();
        }
        let end = Instant::now() + Duration::from_secs(20);
        while self.runs() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.runs() {
            let _killed = self.child.kill();
            let _status = self.child.wait();
        }
        if let Err(error) = self.remains.clear() {
            eprintln!("left behind: {error:#}");
        }
    }
}

/// This project.
pub(crate) struct Dhow {
    program: PathBuf,
    daemon: Daemon,
    name: &'static str,
}

impl Dhow {
    /// Asks its daemon to end.
    pub(crate) fn terminate(&self) {
        self.daemon.terminate();
    }

    /// A daemon with roots of its own and the image.
    pub(crate) fn start(scratch: &Path, program: &Path, archive: &Path) -> Result<Self> {
        Self::start_with(scratch, program, archive, "dhow", &[])
    }

    /// A daemon with networks, on a host of its own.
    pub(crate) fn start_on(scratch: &Path, program: &Path, archive: &Path, host: &Netns, flags: &[&str]) -> Result<Self> {
        let mut command = host.command(program);
        command.arg("daemon").args(flags);
        Self::start_daemon(command, scratch, program, archive, "dhow")
    }

    /// The same with further flags of the daemon and a name of its own in the tables.
    pub(crate) fn start_with(scratch: &Path, program: &Path, archive: &Path, name: &'static str, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        // The machine's own links and rules are left alone.
        command.args(["daemon", "--bridge", "none"]).args(flags);
        Self::start_daemon(command, scratch, program, archive, name)
    }

    fn start_daemon(mut command: Command, scratch: &Path, program: &Path, archive: &Path, name: &'static str) -> Result<Self> {
        let socket = scratch.join("dhow.sock");
        command.arg("--data-root").arg(scratch.join("dd"));
        command.arg("--pidfile").arg(scratch.join("dp")).arg("-H").arg(format!("unix://{}", socket.display()));
        let daemon = Daemon::start(command, socket, &scratch.join("dhow.log"), Remains::new(scratch, "dd"), InMemory::new(scratch, "dx")?)?;
        let dhow = Self { program: program.into(), daemon, name };
        load(&dhow, archive)?;
        Ok(dhow)
    }
}

impl Candidate for Dhow {
    fn name(&self) -> &str {
        self.name
    }
    fn version(&self) -> String {
        format!("dhow {}", env!("CARGO_PKG_VERSION"))
    }
    fn command(&self, words: &[&str]) -> Option<Command> {
        let mut command = Command::new(&self.program);
        command.args(words).env("DOCKER_HOST", format!("unix://{}", self.daemon.socket.display()));
        Some(command)
    }
    fn daemons(&self) -> Vec<i32> {
        let own = self.daemon.pid();
        std::iter::once(own).chain(children(own)).collect()
    }
    fn socket(&self) -> Option<PathBuf> {
        Some(self.daemon.socket.clone())
    }
}

/// The docker client and a dockerd without bridge and firewall.
pub(crate) struct Docker {
    program: PathBuf,
    daemon: Daemon,
}

impl Docker {
    /// A dockerd with roots of its own and the image.
    pub(crate) fn start(scratch: &Path, archive: &Path) -> Result<Self> {
        let mut command = Command::new(Self::dockerd()?);
        command.args(["--bridge", "none", "--iptables=false", "--ip6tables=false"]);
        Self::start_daemon(command, scratch, archive)
    }

    /// A dockerd with networks, on a host of its own.
    pub(crate) fn start_on(scratch: &Path, archive: &Path, host: &Netns, flags: &[&str]) -> Result<Self> {
        let mut command = host.command(&Self::dockerd()?);
        command.args(flags);
        Self::start_daemon(command, scratch, archive)
    }

    fn dockerd() -> Result<PathBuf> {
        find("dockerd").context("dockerd is not installed")
    }

    fn start_daemon(mut command: Command, scratch: &Path, archive: &Path) -> Result<Self> {
        let program = find("docker").context("the docker client is not installed")?;
        let socket = scratch.join("docker.sock");
        let config = scratch.join("docker.json");
        std::fs::write(&config, "{}").context("write a configuration that says nothing")?;
        command.arg("--config-file").arg(config).arg("--data-root").arg(scratch.join("od"));
        command.arg("--pidfile").arg(scratch.join("op")).arg("-H").arg(format!("unix://{}", socket.display()));
        command.args(["--exec-opt", "native.cgroupdriver=cgroupfs"]);
        let daemon =
            Daemon::start(command, socket, &scratch.join("docker.log"), Remains::new(scratch, "od"), InMemory::new(scratch, "ox")?)?;
        let docker = Self { program, daemon };
        load(&docker, archive)?;
        Ok(docker)
    }
}

impl Candidate for Docker {
    fn name(&self) -> &str {
        "docker"
    }
    fn version(&self) -> String {
        let part = |field: &str| {
            let mut command = self.command(&["version", "--format", field])?;
            output(&mut command).ok().map(|text| text.trim().to_string())
        };
        format!(
            "docker client {}, dockerd {}",
            part("{{.Client.Version}}").unwrap_or_default(),
            part("{{.Server.Version}}").unwrap_or_default()
        )
    }
    fn command(&self, words: &[&str]) -> Option<Command> {
        let mut command = Command::new(&self.program);
        command.args(words).env("DOCKER_HOST", format!("unix://{}", self.daemon.socket.display()));
        Some(command)
    }
    fn daemons(&self) -> Vec<i32> {
        let own = self.daemon.pid();
        std::iter::once(own).chain(children(own)).collect()
    }
    fn socket(&self) -> Option<PathBuf> {
        Some(self.daemon.socket.clone())
    }
}

/// podman, which has no daemon.
pub(crate) struct Podman {
    program: PathBuf,
    scratch: PathBuf,
    memory: InMemory,
}

impl Podman {
    /// Storage of its own with the image.
    pub(crate) fn start(scratch: &Path, archive: &Path) -> Result<Self> {
        let program = find("podman").context("podman is not installed")?;
        // Its default raises a limit, which not every machine lets root do.
        let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
        std::fs::write(scratch.join("containers.conf"), limits).context("write podman's settings")?;
        let podman = Self { program, scratch: scratch.to_path_buf(), memory: InMemory::new(scratch, "px")? };
        load(&podman, archive)?;
        let mut trial = podman.command(&["run", "--rm", "--network", "none", "busybox", "true"]).context("a command")?;
        quiet(&mut trial).context("it does not run here")?;
        Ok(podman)
    }
}

impl Candidate for Podman {
    fn name(&self) -> &str {
        "podman"
    }
    fn version(&self) -> String {
        output(&mut command(&self.program.to_string_lossy(), &["--version"])).unwrap_or_default().trim().replace(" version", "")
    }
    fn command(&self, words: &[&str]) -> Option<Command> {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.scratch.join("pd")).arg("--runroot").arg(&self.memory.0);
        // crun, its default, does not run on a hybrid of cgroup v1 and v2; runc is what docker uses too.
        if let Some(runc) = find("runc") {
            command.arg("--runtime").arg(runc);
        }
        command.args(["--cgroup-manager", "cgroupfs", "--storage-driver", "overlay", "--events-backend", "file"]).arg("--tmpdir");
        command.arg(self.scratch.join("pt")).args(words).env("CONTAINERS_CONF", self.scratch.join("containers.conf"));
        Some(command)
    }
    fn daemons(&self) -> Vec<i32> {
        Vec::new()
    }
    fn socket(&self) -> Option<PathBuf> {
        None
    }
}

/// Takes off, when dropped, the mounts below a directory that candidates left: podman's storage mounts itself, and its own
/// clean-up may do so again after it has ended.
pub(crate) struct Unmount(pub(crate) PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let below = table.lines().rev().filter_map(|line| line.split(' ').nth(4)).filter(|target| Path::new(target).starts_with(&self.0));
        for target in below {
            if let Err(error) = output(command("umount", &["-l"]).arg(target)) {
                eprintln!("left behind: {error:#}");
            }
        }
    }
}

/// A directory for what does not outlive the machine, in memory as `/run` is; gone with this.
struct InMemory(PathBuf);

impl InMemory {
    fn new(scratch: &Path, name: &str) -> Result<Self> {
        let dir = scratch.join(name);
        std::fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
        quiet(command("mount", &["-t", "tmpfs", "tmpfs"]).arg(&dir))?;
        Ok(Self(dir))
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        if let Err(error) = quiet(command("umount", &["-l"]).arg(&self.0)) {
            eprintln!("left behind: {error:#}");
        }
    }
}

fn load(candidate: &dyn Candidate, archive: &Path) -> Result<()> {
    let mut command = candidate.command(&["load", "-q", "-i", &archive.to_string_lossy()]).context("it loads no images")?;
    quiet(&mut command)
}

/// Direct children of a process that are not shims of containers.
fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let of_main: Vec<i32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    if !of_main.is_empty() {
        return of_main;
    }
    // Threads beget children too.
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<i32>>())
        .collect()
}
