//! What outlives an engine that was ended in the midst of things: its containers, the shims that watch them, and its cgroups. Only what is
//! known for the engine's own goes: processes in the cgroups of its own parent, and shims that name its containers or its directory.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest that all of it may take to go.
const LIMIT: Duration = Duration::from_secs(30);

/// By what the remains of one engine are known.
pub(super) struct Remains {
    /// The directory with everything of the engine.
    dir: PathBuf,
    /// Where the directories of its containers are.
    containers: PathBuf,
    /// The parent of its containers' cgroups, without a slash.
    cgroup: String,
}

impl Remains {
    /// Of an engine in `dir` that has its containers in `dir/root/containers`. No other engine of the machine has the same cgroup parent.
    pub(super) fn new(dir: &Path, root: &str) -> Self {
        let below = dir.strip_prefix(std::env::temp_dir()).unwrap_or(dir);
        let parts: Vec<_> = below.iter().chain([OsStr::new(root)]).map(OsStr::to_string_lossy).filter(|part| part != "/").collect();
        Self { dir: dir.into(), containers: dir.join(root).join("containers"), cgroup: parts.join("-") }
    }

    /// For the daemon's `--cgroup-parent`.
    pub(super) fn cgroup_parent(&self) -> String {
        format!("/{}", self.cgroup)
    }

    /// Ends and removes them, once the daemon has ended.
    pub(super) fn clear(&self) -> Result<()> {
        let end = Instant::now() + LIMIT;
        loop {
            let left = self.processes();
            if left.is_empty() && self.cgroups().iter().rev().all(|dir| std::fs::remove_dir(dir).is_ok()) {
                return Ok(());
            }
            for dir in self.cgroups() {
                // What cgroup v1 has frozen dies only when it thaws; other hierarchies have no such file.
                let _thawed =
                    std::fs::OpenOptions::new().write(true).open(dir.join("freezer.state")).map(|mut file| file.write_all(b"THAWED"));
            }
            for pid in left.iter().filter_map(|pid| rustix::process::Pid::from_raw(*pid)) {
                // It may just have ended by itself.
                let _sent = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            if Instant::now() > end {
                bail!("{} processes and the cgroups {:?} do not go", left.len(), self.cgroups());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Directories of its cgroups in every hierarchy, each before what is below it.
    fn cgroups(&self) -> Vec<PathBuf> {
        let base = Path::new("/sys/fs/cgroup");
        let mut found: Vec<PathBuf> = directories(base).into_iter().chain([base.to_path_buf()]).map(|dir| dir.join(&self.cgroup)).collect();
        found.retain(|dir| dir.is_dir());
        let mut next = 0;
        while let Some(dir) = found.get(next) {
            found.extend(directories(dir));
            next += 1;
        }
        found
    }

    /// Containers' processes, and shims.
    fn processes(&self) -> Vec<i32> {
        let listed: Vec<String> = self.cgroups().iter().filter_map(|dir| std::fs::read_to_string(dir.join("cgroup.procs")).ok()).collect();
        let mut found: Vec<i32> = listed.iter().flat_map(|text| text.lines()).filter_map(|line| line.parse().ok()).collect();
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        found.extend(pids.filter(|pid| self.is_shim(*pid).unwrap_or(false)));
        found.sort_unstable();
        found.dedup();
        found
    }

    fn is_shim(&self, pid: i32) -> Result<bool> {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).context("it has ended")?;
        let words: Vec<&str> = line.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok()).collect();
        Ok(self.names(&words, &directories(&self.containers)))
    }

    /// Whether a command line is that of a shim of one of these containers: `dhow-shim ID`, or containerd's with the engine's directory.
    fn names(&self, words: &[&str], containers: &[PathBuf]) -> bool {
        let first = words.first().copied().unwrap_or_default();
        if let Some(id) = first.strip_prefix("dhow-shim ").map(str::trim).filter(|id| id.len() >= 12) {
            return containers.iter().any(|dir| dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(id)));
        }
        let program = first.rsplit('/').next().unwrap_or_default();
        program.starts_with("containerd") && words.iter().any(|word| Path::new(word).starts_with(&self.dir))
    }
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::Remains;
    use std::path::{Path, PathBuf};

    #[test]
    fn only_what_is_its_own_is_known() {
        let remains = Remains::new(&std::env::temp_dir().join("cl-7-0/d-suite"), "dd");
        assert_eq!(remains.cgroup_parent(), "/cl-7-0-d-suite-dd");
        let containers = [PathBuf::from("/x/dd/containers/0123456789abcdef")];
        let check = |words: &[&str], expect: bool| assert_eq!(remains.names(words, &containers), expect, "{words:?}");
        check(&["dhow-shim 0123456789ab"], true);
        check(&["dhow-shim 0123456789ab   "], true);
        check(&["dhow-shim 1123456789ab"], false);
        check(&["dhow-shim "], false);
        check(&["sh", "dhow-shim 0123456789ab"], false);
        let (own, other) = (remains.dir.join("ox/containerd/containerd.sock"), Path::new("/run/containerd/containerd.sock"));
        check(&["/usr/bin/containerd-shim-runc-v2", "-address", &own.to_string_lossy()], true);
        check(&["/usr/bin/containerd-shim-runc-v2", "-address", &other.to_string_lossy()], false);
        check(&["tail", "-f", &own.to_string_lossy()], false);
        check(&[], false);
    }
}
