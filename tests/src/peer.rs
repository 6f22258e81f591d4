//! The original: a private dockerd of the host's, to compare with.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::wait::{patience, within};
use crate::{Cmd, engine, http, leaks, paths, skip};

/// A running dockerd with everything of it in a directory of its own. It gets no bridge and touches no firewall.
#[derive(Debug)]
pub struct Dockerd {
    dir: PathBuf,
    daemon: Child,
}

impl Dockerd {
    /// Starts one; where that is not possible, the test is counted as skipped.
    pub fn start() -> Option<Self> {
        Self::with(&[])
    }

    /// Starts one with further flags.
    pub fn with(flags: &[String]) -> Option<Self> {
        let Some(program) = paths::program("dockerd") else {
            skip("dockerd is not installed");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("do").tempdir_in("/tmp").expect("a directory").keep();
        let peer = Self { daemon: spawn(&program, &dir, flags), dir };
        peer.answers()
    }

    fn answers(mut self) -> Option<Self> {
        let answer = within(patience(), &mut || {
            if self.daemon.try_wait().expect("wait").is_some() {
                return Some(false);
            }
            http::get(&self.socket(), "/_ping").is_ok_and(|answer| answer.status == 200).then_some(true)
        });
        if answer == Some(true) {
            return Some(self);
        }
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        skip(&format!("dockerd does not start here: {}", log.lines().last().unwrap_or_default()));
        None
    }

    /// Its directory; `h` in it is for the test.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("s")
    }

    /// The docker client against it.
    pub fn docker(&self, words: &[&str]) -> Cmd {
        Cmd::new(paths::program("docker").expect("the docker client"))
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("HOME", &self.dir)
            .args(words)
    }
}

/// `podman`, `buildah` or `skopeo` with a store of its own below a directory; `None`, and counted as skipped, where it is not installed.
pub fn containers(program: &'static str, dir: &Path) -> Option<impl Fn(&[&str]) -> Cmd + use<>> {
    let Some(path) = paths::program(program) else {
        skip(&format!("{program} is not installed"));
        return None;
    };
    let dir = dir.to_path_buf();
    Some(move |words: &[&str]| {
        let below = |name: &str| dir.join(name).display().to_string();
        let mut own = vec!["--root".to_owned(), below("root"), "--runroot".into(), below("run"), "--storage-driver".into(), "vfs".into()];
        match program {
            "podman" => own.extend(["--tmpdir".into(), below("tmp"), "--events-backend".into(), "file".into()]),
            // It keeps nothing.
            "skopeo" => own = vec!["--insecure-policy".into(), "--tmpdir".into(), dir.display().to_string()],
            _ => {}
        }
        Cmd::new(&path).env("HOME", &dir).env("XDG_RUNTIME_DIR", &dir).env("TMPDIR", &dir).args(own).args(words)
    })
}

fn spawn(program: &Path, dir: &Path, flags: &[String]) -> Child {
    let log = std::fs::File::create(dir.join("log")).expect("a log");
    let config = dir.join("config.json");
    std::fs::write(&config, "{}").expect("a configuration that says nothing");
    std::fs::create_dir(dir.join("h")).expect("a home");
    let mut command = Command::new(program);
    command.arg("--data-root").arg(dir.join("dd")).arg("--exec-root").arg(dir.join("x")).arg("--pidfile").arg(dir.join("p"));
    command.arg("-H").arg(format!("unix://{}", dir.join("s").display()));
    command.args(["--bridge", "none", "--iptables=false", "--ip6tables=false"]);
    command.args(["--storage-driver", "overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs"]);
    command.arg("--config-file").arg(&config).args(flags);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a copy")).stderr(log);
    command.spawn().expect("start dockerd")
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // dockerd ends its containerd; both are its own children.
        let children = leaks::family(self.daemon.id() as i32);
        engine::kill(self.daemon.id() as i32, 15);
        let _ended = within(patience(), &mut || self.daemon.try_wait().ok().flatten());
        for (pid, start) in children {
            if leaks::alive(pid) == Some((pid, start)) {
                engine::kill(pid, 9);
            }
        }
        let _status = self.daemon.wait();
        for line in leaks::mounts(&self.dir).iter().rev() {
            if let Some(target) = line.split(' ').nth(4) {
                let _output = Cmd::new("umount").args(["-l", target]).run();
            }
        }
        let _removed = std::fs::remove_dir_all(&self.dir);
    }
}
