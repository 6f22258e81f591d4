//! The same commands, by the same docker client, on the original and on us.

use dhow_tests::wait::within;
use dhow_tests::{Cmd, Engine, engine, http, paths, skip};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A private dockerd. It gets no bridge and touches no firewall.
struct Original {
    dir: PathBuf,
    daemon: Child,
}

impl Original {
    fn start() -> Option<Self> {
        let Some(program) = paths::program("dockerd") else {
            skip("dockerd is not installed");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("do").tempdir_in("/tmp").expect("a directory").keep();
        let log = std::fs::File::create(dir.join("log")).expect("a log");
        let config = dir.join("config.json");
        std::fs::write(&config, "{}").expect("a configuration that says nothing");
        let mut daemon = Command::new(program)
            .arg("--data-root")
            .arg(dir.join("dd"))
            .arg("--exec-root")
            .arg(dir.join("x"))
            .arg("--pidfile")
            .arg(dir.join("p"))
            .arg("-H")
            .arg(format!("unix://{}", dir.join("s").display()))
            .args([
                "--bridge",
                "none",
                "--iptables=false",
                "--ip6tables=false",
                "--storage-driver",
                "overlay2",
                "--exec-opt",
                "native.cgroupdriver=cgroupfs",
            ])
            .arg("--config-file")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a copy"))
            .stderr(log)
            .spawn()
            .expect("start dockerd");
        let answers = within(dhow_tests::wait::patience(), &mut || {
            if daemon.try_wait().expect("wait").is_some() {
                return Some(false);
            }
            http::get(&dir.join("s"), "/_ping").is_ok_and(|answer| answer.status == 200).then_some(true)
        });
        let original = Self { dir, daemon };
        if answers == Some(true) {
            return Some(original);
        }
        skip(&format!(
            "dockerd does not start here: {}",
            std::fs::read_to_string(original.dir.join("log")).unwrap_or_default().lines().last().unwrap_or_default()
        ));
        None
    }

    fn docker(&self, words: &[&str]) -> Cmd {
        Cmd::new(paths::program("docker").expect("checked before"))
            .env("DOCKER_HOST", format!("unix://{}", self.dir.join("s").display()))
            .env("HOME", &self.dir)
            .args(words)
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        // dockerd ends its containerd; both are its own children.
        let children = dhow_tests::leaks::family(self.daemon.id() as i32);
        engine::kill(self.daemon.id() as i32, 15);
        let _ended = within(dhow_tests::wait::patience(), &mut || self.daemon.try_wait().ok().flatten());
        for (pid, start) in children {
            if dhow_tests::leaks::alive(pid) == Some((pid, start)) {
                engine::kill(pid, 9);
            }
        }
        let _status = self.daemon.wait();
        for line in dhow_tests::leaks::mounts(&self.dir).iter().rev() {
            if let Some(target) = line.split(' ').nth(4) {
                let _output = Cmd::new("umount").args(["-l", target]).run();
            }
        }
        let _removed = std::fs::remove_dir_all(&self.dir);
    }
}

/// Commands whose outputs must agree, in order; `ID` and times are filtered.
const SESSION: &[&[&str]] = &[
    &["create", "--name", "box", "-e", "A=1", "busybox", "sh", "-c", "echo out; sleep 0.2; echo err >&2; exit 3"],
    &["ps", "-a", "--format", "{{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Status}}"],
    &["start", "-a", "box"],
    &["logs", "box"],
    &["logs", "--tail", "1", "box"],
    &["wait", "box"],
    &["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}|{{.Path}}|{{.Args}}|{{.Name}}", "box"],
    &[
        "inspect",
        "-f",
        "{{json .Config.Env}} {{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Config.Labels}} {{.Config.Image}} {{.Config.Tty}} {{.Config.WorkingDir}}",
        "box",
    ],
    &[
        "inspect",
        "-f",
        "{{json .HostConfig.LogConfig.Type}} {{.HostConfig.ShmSize}} {{.HostConfig.RestartPolicy}} {{json .HostConfig.Binds}} {{.HostConfig.Privileged}} {{.HostConfig.IpcMode}}",
        "box",
    ],
    &["rm", "box"],
    &["rm", "box"],
    &["start", "nosuch"],
    &["run", "--rm", "busybox", "id"],
    &["run", "--rm", "-u", "1000:2000", "busybox", "id"],
    &["run", "--rm", "-u", "operator", "busybox", "id"],
    &["run", "--rm", "-w", "/made", "busybox", "pwd"],
    &["run", "--rm", "--entrypoint", "/bin/echo", "busybox", "entry", "point"],
    &["run", "--rm", "busybox", "sh", "-c", "env | grep -v HOSTNAME | sort"],
    &["run", "--rm", "--hostname", "h1", "busybox", "hostname"],
    &["run", "--rm", "busybox", "sh", "-c", "grep -E '^(Cap|Sig|Seccomp:|NoNew|Umask|Groups|Uid|Gid)' /proc/self/status"],
    &["run", "--rm", "-u", "33", "busybox", "sh", "-c", "grep -E '^(Cap|NoNew|Groups|Uid|Gid)' /proc/self/status"],
    &["run", "--rm", "--cap-drop", "ALL", "--cap-add", "NET_RAW", "busybox", "grep", "CapEff", "/proc/self/status"],
    &["run", "--rm", "busybox", "ls", "-l", "/dev/fd", "/dev/stdin", "/dev/core", "/dev/ptmx"],
    &["run", "--rm", "busybox", "sh", "-c", "ls /dev | sort; ls -a / | sort"],
    &["run", "--rm", "busybox", "sh", "-c", "cut -d' ' -f2,3 /proc/mounts | grep -v cgroup | sort -u"],
    &[
        "run",
        "--rm",
        "busybox",
        "sh",
        "-c",
        "grep -E ' (/dev|/proc|/dev/shm|/dev/pts|/sys|/dev/mqueue) ' /proc/mounts | cut -d' ' -f2,3,4 | sed 's/,inode64//;s/,seclabel//'",
    ],
    &["run", "--rm", "busybox", "cat", "/etc/hosts"],
    &["run", "--rm", "--read-only", "busybox", "touch", "/x"],
    &["run", "--rm", "--tmpfs", "/t", "busybox", "sh", "-c", "grep ' /t ' /proc/mounts | cut -d' ' -f2,3,4 | sed 's/,inode64//'"],
    &["run", "--rm", "busybox", "sh", "-c", "exit 77"],
    &["run", "--rm", "busybox", "sh", "-c", "kill -TERM $$"],
    &["run", "--rm", "busybox", "nosuch"],
    &["run", "--rm", "busybox", "/etc/passwd"],
    &["run", "--rm", "-e", "=x", "busybox", "true"],
    &["run", "--rm", "-m", "1m", "busybox", "true"],
    &["run", "--rm", "--cap-add", "NOSUCH", "busybox", "true"],
    &["run", "-d", "--name", "dd", "--label", "a=b", "busybox", "sleep", "1000"],
    &["run", "-d", "--name", "dd", "busybox", "sleep", "1000"],
    &["exec", "dd", "sh", "-c", "echo out; echo err >&2; exit 5"],
    &["exec", "-w", "/tmp", "-e", "B=2", "-u", "33", "dd", "sh", "-c", "pwd; echo $B; id"],
    &["exec", "dd", "nosuch"],
    &["ps", "--filter", "label=a=b", "--format", "{{.Names}} {{.Labels}} {{.Ports}}|{{.Networks}}"],
    &["ps", "--filter", "bogus=1"],
    &["pause", "dd"],
    &["inspect", "-f", "{{.State.Status}} {{.State.Paused}} {{.State.Running}}", "dd"],
    &["unpause", "dd"],
    &["rename", "dd", "ee"],
    &["rm", "ee"],
    &["kill", "-s", "NOSUCH", "ee"],
    &["kill", "ee"],
    &["wait", "ee"],
    &["kill", "ee"],
    &["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "ee"],
    &["rm", "-f", "ee"],
    &["tag", "busybox", "other:tag"],
    &["images", "--format", "{{.Repository}}:{{.Tag}}", "other"],
    &["image", "inspect", "-f", "{{json .RepoTags}} {{.Os}}/{{.Architecture}} {{json .Config.Cmd}} {{json .RootFS}}", "busybox"],
    &["rmi", "other:tag"],
    &["rmi", "nosuch"],
    &["inspect", "nosuch"],
];

/// Where we differ from 20.10 on purpose, or because 28 changed it (the server's words are 28's here).
fn agreed(words: &[&str]) -> bool {
    let line = words.join(" ");
    let newer = [
        "run --rm busybox cat /etc/hosts", // 28: "fe00::" for "fe00::0"
        "run --rm busybox sh -c cut -d' ' -f2,3 /proc/mounts | grep -v cgroup | sort -u", // 28 masks /proc/interrupts too
        "rm ee",                           // 28: "cannot remove container \"ee\": container is running: ..."
        "kill ee",                         // 28: "cannot kill container: ee: container ... is not running"
        "kill -s NOSUCH ee",               // 28: "invalid signal: NOSUCH"
        "ps --filter bogus=1",             // 28: "invalid filter 'bogus'"
        "run --rm busybox nosuch",         // the runtime's own words moved: "unable to start container process: exec: ..."
        "run --rm busybox /etc/passwd",
        "exec dd nosuch",
        "run --rm -u 33 busybox sh -c grep -E '^(Cap|NoNew|Groups|Uid|Gid)' /proc/self/status", // inheritable sets (CVE-2022-24769)
        "run --rm busybox sh -c grep -E '^(Cap|Sig|Seccomp:|NoNew|Umask|Groups|Uid|Gid)' /proc/self/status",
    ];
    newer.contains(&line.as_str())
}

fn filter(text: &str) -> String {
    let mut shown = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
            continue;
        }
        let is_id = (word.len() == 64 || word.len() == 12) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        shown.push_str(if is_id { "ID" } else { &word });
        word.clear();
        shown.push(letter);
    }
    shown.lines().map(str::trim_end).filter(|line| !line.contains("seconds ago")).collect::<Vec<_>>().join("\n")
}

#[test]
fn slow_the_same_session_on_docker_and_on_us() {
    if paths::program("docker").is_none() {
        return skip("the docker client is not installed");
    }
    let Some(original) = Original::start() else { return };
    let engine = Engine::new();
    let archive = paths::image("busybox");
    original.docker(&["load", "-q", "-i"]).args([&archive]).ok();
    let mut differences = Vec::new();
    for words in SESSION {
        let theirs = original.docker(words).run();
        let ours = engine.docker(words.iter()).expect("checked before").run();
        if agreed(words) {
            assert_eq!(ours.code == 0, theirs.code == 0, "{words:?}: {ours}\n{theirs}");
            continue;
        }
        let show = |out: &dhow_tests::Output| format!("{}\n{}\n{}", out.code, filter(&out.stdout()), filter(&out.stderr()));
        if show(&theirs) != show(&ours) {
            differences.push(format!("== {}\n-- docker {}\n-- dhow {}", words.join(" "), show(&theirs), show(&ours)));
        }
    }
    engine.finish();
    drop(original);
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}
