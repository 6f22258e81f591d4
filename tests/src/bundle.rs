//! Bundles for an OCI runtime, and the runtime's own command line: `dhow runtime`, or another to compare with.

use crate::{Cmd, Output, leaks, paths};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A directory with a root filesystem of busybox, a root for containers' states, and a runtime. Dropping it removes all containers.
#[derive(Debug)]
pub struct Bundle {
    dir: tempfile::TempDir,
    runtime: Vec<String>,
    /// The specification that [`Bundle::write`] begins with.
    pub config: Value,
}

impl Bundle {
    /// For `dhow runtime`.
    #[track_caller]
    pub fn new() -> Self {
        Self::of(vec![paths::dhow().display().to_string(), "runtime".into()])
    }

    /// For the runtime that these words call.
    #[track_caller]
    pub fn of(runtime: Vec<String>) -> Self {
        let dir = tempfile::Builder::new().prefix("dr").tempdir_in("/tmp").expect("a directory under /tmp");
        let rootfs = dir.path().join("rootfs");
        std::fs::create_dir(&rootfs).expect("a root filesystem");
        unpack(&paths::image("busybox"), &rootfs);
        let bundle = Self { config: config(dir.path()), dir, runtime };
        bundle.write(&bundle.config);
        bundle
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The control group of its containers, of which one at a time may be there.
    pub fn cgroup(&self) -> String {
        cgroup(self.dir())
    }

    /// Writes `config.json`.
    pub fn write(&self, config: &Value) {
        std::fs::write(self.dir().join("config.json"), config.to_string()).expect("config.json");
    }

    /// Writes a specification that runs these words.
    pub fn program(&self, words: &[&str]) {
        let mut config = self.config.clone();
        config["process"]["args"] = json!(words);
        self.write(&config);
    }

    /// The runtime with these words.
    pub fn runtime(&self, words: &[&str]) -> Cmd {
        let (program, first) = self.runtime.split_first().expect("a program");
        Cmd::new(program).dir(self.dir()).args(first).args(["--root".as_ref(), self.dir().join("state").as_os_str()]).args(words)
    }

    /// Runs it; words are separated by blanks.
    pub fn call(&self, words: &str) -> Output {
        self.runtime(&words.split_whitespace().collect::<Vec<_>>()).run()
    }

    /// The same, which must succeed.
    #[track_caller]
    pub fn ok(&self, words: &str) -> String {
        self.call(words).ok()
    }

    /// Runs it with what a container that stays may keep: its output goes nowhere, its errors to a file. Must succeed.
    #[track_caller]
    pub fn leave(&self, words: &[&str]) {
        let call = self.runtime(words).words();
        let out = Cmd::new("sh").dir(self.dir()).args(["-c", "exec \"$@\" </dev/null >/dev/null 2>err", "sh"]).args(call).run();
        assert!(out.code == 0, "{words:?}: {out}{}", std::fs::read_to_string(self.dir().join("err")).unwrap_or_default());
    }

    /// What `state` tells.
    #[track_caller]
    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("state {id}"))).expect("JSON")
    }

    /// Where a container is in its life.
    #[track_caller]
    pub fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().expect("a status").to_owned()
    }

    /// Control groups, mounts, processes and states that are there of it, in words.
    pub fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = leaks::cgroups(&self.cgroup()).iter().map(|dir| format!("cgroup {}", dir.display())).collect();
        left.extend(leaks::mounts(self.dir()).iter().map(|mount| format!("mount {mount}")));
        left.extend(leaks::processes(self.dir()).iter().map(|process| format!("process {process:?}")));
        let states = std::fs::read_dir(self.dir().join("state")).into_iter().flatten().flatten();
        let states = states.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| !name.starts_with('@'));
        left.extend(states.map(|name| format!("state {name}")));
        left
    }
}

impl Default for Bundle {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        for id in self.call("list -q").stdout().lines() {
            let _output = self.call(&format!("delete --force {id}"));
        }
        let mut groups: Vec<PathBuf> = leaks::cgroups(&self.cgroup());
        groups.sort_by_key(|dir| std::cmp::Reverse(dir.components().count()));
        for group in groups {
            let _removed = std::fs::remove_dir(group);
        }
    }
}

/// The layers of an image's archive, one over the other.
fn unpack(archive: &Path, into: &Path) {
    let read = |wanted: &str| {
        let mut tar = tar::Archive::new(std::fs::File::open(archive).expect("the image"));
        let entries = tar.entries().expect("a tar").map(|entry| entry.expect("an entry"));
        let mut found =
            entries.into_iter().find(|entry| entry.path().is_ok_and(|path| path == Path::new(wanted))).expect("an entry of that name");
        let mut body = Vec::new();
        std::io::Read::read_to_end(&mut found, &mut body).expect("its body");
        body
    };
    let manifest: Value = serde_json::from_slice(&read("manifest.json")).expect("a manifest");
    for layer in manifest[0]["Layers"].as_array().expect("layers") {
        let body = read(layer.as_str().expect("a name"));
        let mut tar = tar::Archive::new(body.as_slice());
        tar.set_preserve_permissions(true);
        tar.unpack(into).expect("unpack the layer");
    }
}

fn cgroup(dir: &Path) -> String {
    format!("/dhow-{}", dir.file_name().expect("a name").to_string_lossy())
}

/// A small specification like an engine's. The container's group is named after the directory.
fn config(dir: &Path) -> Value {
    let capabilities = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        ],
        "linux": {
            "cgroupsPath": cgroup(dir),
            "resources": {"devices": [{"allow": false, "access": "rwm"}], "pids": {"limit": 100}},
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": ["/proc/kcore", "/proc/keys"],
            "readonlyPaths": ["/proc/sys"],
        },
    })
}
