//! Other people's engines with `dhow runtime` in runc's place.

use dhow_tests::peer::{self, Dockerd};
use dhow_tests::{Cmd, engine, paths, skip, until};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Limits that a machine without the right to raise them gives, too.
const LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];

/// A link by whose name our binary is a runtime.
fn link(dir: &Path) -> PathBuf {
    let link = dir.join(engine::RUNTIME);
    std::os::unix::fs::symlink(paths::dhow(), &link).unwrap();
    link
}

/// A container's life in the words that `docker` and `podman` share. `run` are the flags that every container needs.
fn a_life(client: impl Fn(&[&str]) -> Cmd, image: &str, run: &[&str]) {
    let with = |flags: &[&str], words: &[&str]| {
        let all: Vec<&str> = ["run"].iter().chain(flags).chain(run).chain(&[image]).chain(words).copied().collect();
        client(&all)
    };
    let out = with(&["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 3"]).run();
    assert_eq!((out.code, out.stdout().as_str(), out.stderr().as_str()), (3, "out\n", "err\n"), "{out}");
    assert_eq!(with(&["--rm", "-i"], &["cat"]).input("typed").ok(), "typed");
    assert_eq!(with(&["--rm", "-t"], &["tty"]).ok().trim_end(), "/dev/pts/0");
    let missing = with(&["--rm"], &["nosuch"]).run();
    assert_eq!(missing.code, 127, "{missing}");
    assert_eq!(with(&["--rm"], &["/etc/passwd"]).run().code, 126);

    with(&["-d", "--name", "box", "-m", "64m"], &["sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done"]).ok();
    until("it talks", || client(&["logs", "box"]).run().stdout() == "up\n");
    let out = client(&["exec", "-w", "/bin", "-e", "A=b", "box", "sh", "-c", "pwd; echo $A; exit 4"]).run();
    assert_eq!((out.code, out.stdout().as_str()), (4, "/bin\nb\n"), "{out}");
    assert_eq!(client(&["exec", "-t", "box", "tty"]).ok().trim_end(), "/dev/pts/0");
    let limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null";
    assert_eq!(client(&["exec", "box", "sh", "-c", limit]).run().stdout().trim_end(), (64 << 20).to_string());
    client(&["update", "-m", "96m", "--memory-swap", "192m", "box"]).ok();
    assert_eq!(client(&["exec", "box", "sh", "-c", limit]).run().stdout().trim_end(), (96 << 20).to_string());
    let status = || client(&["inspect", "--format", "{{.State.Status}}", "box"]).ok();
    client(&["pause", "box"]).ok();
    assert_eq!(status(), "paused");
    client(&["unpause", "box"]).ok();
    assert_eq!(status(), "running");
    client(&["stop", "box"]).ok();
    assert_eq!(client(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "box"]).ok(), "exited 5");
    client(&["start", "box"]).ok();
    client(&["kill", "box"]).ok();
    until("it has ended", || status() == "exited");
    client(&["rm", "box"]).ok();
    with(&["-d", "--name", "other"], &["sleep", "1000"]).ok();
    client(&["rm", "-f", "other"]).ok();
}

#[test]
fn dockerd_gives_containers_their_whole_life() {
    let dir = tempfile::tempdir().unwrap();
    let link = link(dir.path());
    let flags = [format!("--add-runtime=other={}", link.display()), "--default-runtime=other".to_owned()];
    let Some(dockerd) = Dockerd::with(&flags) else { return };
    if paths::program("docker").is_none() {
        return skip("the docker client is not installed");
    }
    dockerd.docker(&["load", "-q", "-i", &paths::image("busybox").display().to_string()]).ok();
    a_life(|words| dockerd.docker(words), "busybox", &["--network", "none"]);
}

#[test]
fn podman_gives_containers_their_whole_life() {
    let dir = tempfile::tempdir().unwrap();
    let link = link(dir.path());
    let Some(podman) = peer::containers("podman", dir.path()) else { return };
    let podman = |words: &[&str]| {
        let own = ["--cgroup-manager", "cgroupfs", "--runtime", link.to_str().unwrap()];
        podman(&own.iter().chain(words).copied().collect::<Vec<_>>())
    };
    podman(&["load", "-q", "-i", &paths::image("busybox").display().to_string()]).ok();
    let flags: Vec<&str> = LIMITS.iter().chain(&["--network", "none", "--pull", "never"]).copied().collect();
    a_life(podman, "localhost/busybox:latest", &flags);
}

/// A private containerd. Its processes end with it.
struct Containerd {
    dir: tempfile::TempDir,
    daemon: Child,
}

impl Containerd {
    fn start() -> Option<Self> {
        let (Some(program), Some(_)) = (paths::program("containerd"), paths::program("ctr")) else {
            skip("containerd is not installed");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("dc").tempdir_in("/tmp").unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = {:?}\n[ttrpc]\n  address = {:?}\n",
            at("root"),
            at("state"),
            at("s"),
            at("t")
        );
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("--config").arg(dir.path().join("config.toml")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let containerd = Self { daemon: command.spawn().unwrap(), dir };
        until("containerd answers", || containerd.ctr(&["version"]).run().code == 0);
        Some(containerd)
    }

    fn ctr(&self, words: &[&str]) -> Cmd {
        Cmd::new("ctr").args(["-a", &self.dir.path().join("s").display().to_string()]).args(words)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        engine::kill(self.daemon.id() as i32, 15);
        let _status = self.daemon.wait();
        for line in dhow_tests::leaks::mounts(self.dir.path()).iter().rev() {
            if let Some(target) = line.split(' ').nth(4) {
                let _output = Cmd::new("umount").args(["-l", target]).run();
            }
        }
    }
}

#[test]
fn containerd_gives_containers_their_whole_life() {
    let Some(containerd) = Containerd::start() else { return };
    let link = link(containerd.dir.path()).display().to_string();
    let ctr = |words: &[&str]| containerd.ctr(words);
    ctr(&["images", "import", &paths::image("busybox").display().to_string()]).ok();
    let image = ctr(&["images", "ls", "-q"]).ok();
    let out = ctr(&["run", "--rm", "--runc-binary", &link, &image, "one", "sh", "-c", "echo out; exit 3"]).run();
    assert_eq!((out.code, out.stdout().as_str()), (3, "out\n"), "{out}");
    ctr(&["run", "-d", "--runc-binary", &link, &image, "box", "sleep", "1000"]).ok();
    let task = |column: usize| {
        let table = ctr(&["task", "ls"]).ok();
        let line = table.lines().find(|line| line.starts_with("box")).map(str::to_owned).unwrap_or_default();
        line.split_whitespace().nth(column).unwrap_or_default().to_owned()
    };
    assert_eq!(task(2), "RUNNING");
    let out = ctr(&["task", "exec", "--exec-id", "e1", "box", "sh", "-c", "id -u; exit 4"]).run();
    assert_eq!((out.code, out.stdout().as_str()), (4, "0\n"), "{out}");
    ctr(&["task", "pause", "box"]).ok();
    assert_eq!(task(2), "PAUSED");
    ctr(&["task", "resume", "box"]).ok();
    assert!(ctr(&["task", "ps", "box"]).ok().contains(&task(1)));
    ctr(&["task", "kill", "-s", "KILL", "box"]).ok();
    until("it has ended", || task(2) == "STOPPED");
    // Tells the exit code by its own.
    assert_eq!(ctr(&["task", "rm", "box"]).run().code, 0);
    ctr(&["containers", "rm", "box"]).ok();
    assert!(!ctr(&["containers", "ls", "-q"]).ok().contains("box"));
}
