//! OCI runtimes: `run` of `true` from a bundle, whole commands, beside the bare kernel.

use super::candidates::{Candidate, Floor};
use super::measure::{Row, rows};
use crate::shell::{command, find, output};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A bundle whose program is `true`, with what engines ask for.
pub(crate) const BUNDLE: &str = r#"{"ociVersion": "1.0.2", "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "env": ["PATH=/bin"], "cwd": "/",
"noNewPrivileges": true, "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}},
"root": {"path": "rootfs"}, "hostname": "box", "mounts": [
{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}],
"linux": {"cgroupsPath": "/dhow-bench-box", "resources": {"devices": [{"allow": false, "access": "rwm"}], "pids": {"limit": 100}},
"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}],
"maskedPaths": ["/proc/kcore", "/proc/keys"], "readonlyPaths": ["/proc/sys"]}}"#;

/// Names and samples.
pub(crate) struct Runtimes {
    pub(crate) names: Vec<String>,
    pub(crate) row: Row,
}

/// A runtime and its bundle.
struct Runtime {
    name: &'static str,
    call: Vec<PathBuf>,
    bundle: PathBuf,
}

impl Candidate for Runtime {
    fn name(&self) -> &str {
        self.name
    }
    fn version(&self) -> String {
        let mut version = Command::new(&self.call[0]);
        let text = output(version.args(&self.call[1..]).arg("--version")).unwrap_or_default();
        text.lines().next().unwrap_or_default().to_owned()
    }
    fn command(&self, _words: &[&str]) -> Option<Command> {
        let mut command = Command::new(&self.call[0]);
        command.args(&self.call[1..]).arg("--root").arg(self.bundle.join("state")).args(["run", "--bundle"]).arg(&self.bundle).arg("box");
        Some(command)
    }
    fn daemons(&self) -> Vec<i32> {
        Vec::new()
    }
    fn socket(&self) -> Option<PathBuf> {
        None
    }
}

/// Measures `dhow runtime`, and runc where it is installed.
pub(crate) fn all(scratch: &Path, dhow: &Path, floor: &Path, archive: &Path, samples: usize) -> Result<Runtimes> {
    let dir = scratch.join("runtimes");
    std::fs::create_dir(&dir).context("make the runtimes' directory")?;
    let bare = Floor::new(&dir, floor, archive)?;
    let bundle = |name: &str| -> Result<PathBuf> {
        let dir = dir.join(name);
        std::fs::create_dir(&dir).context("make a bundle")?;
        crate::shell::quiet(command("cp", &["-a"]).arg(dir.with_file_name("layer")).arg(dir.join("rootfs")))?;
        std::fs::write(dir.join("config.json"), BUNDLE).context("write a specification")?;
        Ok(dir)
    };
    let own = Runtime { name: "dhow runtime", call: vec![dhow.to_owned(), "runtime".into()], bundle: bundle("own")? };
    let runc = find("runc").map(|path| bundle("runc").map(|bundle| Runtime { name: "runc", call: vec![path], bundle })).transpose()?;
    let mut all: Vec<&dyn Candidate> = vec![&bare, &own];
    all.extend(runc.as_ref().map(|runc| runc as &dyn Candidate));
    let words: &[&str] = &["run", "busybox", "true"];
    let mut measured = rows(&all, &[("run of true", words)], samples)?;
    let names = all.iter().map(|candidate| candidate.name().to_owned()).collect();
    Ok(Runtimes { names, row: measured.pop().context("nothing was measured")? })
}
