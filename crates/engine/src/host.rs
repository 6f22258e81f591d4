//! What this machine is, read once when the engine opens.

use dhow_runtime::cgroup::{self, Mode};
use std::path::Path;

/// Facts that decide what a specification may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// How many CPUs may be used.
    pub(crate) cpus: u32,
    /// The highest CPU that is online.
    pub(crate) last_cpu: u32,
    /// Which control groups there are.
    pub(crate) cgroups: Mode,
    /// The kernel can limit swap.
    pub(crate) swap_limit: bool,
    /// `/sys/devices/system/cpu/cpuN/thermal_throttle` directories, which are masked.
    pub(crate) thermal: Vec<String>,
    /// Major and minor number of the kernel.
    pub(crate) kernel: (u32, u32),
    /// Recursive read-only bind mounts (Linux 5.12).
    pub(crate) recursive_read_only: bool,
}

impl Host {
    /// Reads them.
    pub(crate) fn read() -> Self {
        // Those that may be used, whatever share of them a group of ours is held to.
        let cpus = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
        let cgroups = cgroup::mode();
        let swap_limit = cgroups == Mode::V2
            || Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists()
            || Path::new("/sys/fs/cgroup/memory.memsw.limit_in_bytes").exists();
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
        let last_cpu = highest(&online).unwrap_or(cpus.saturating_sub(1));
        Self {
            cpus,
            last_cpu,
            cgroups,
            swap_limit,
            thermal: thermal(),
            kernel: version(&release),
            recursive_read_only: version(&release) >= (5, 12),
        }
    }
}

/// The last number of a list such as `0-3,7`.
fn highest(list: &str) -> Option<u32> {
    list.trim().rsplit(['-', ',']).next()?.parse().ok()
}

/// The machine's own host name.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn thermal() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/devices/system/cpu") else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .filter(|e| {
            e.file_name().to_string_lossy().strip_prefix("cpu").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
        .map(|e| e.path().join("thermal_throttle"))
        .filter(|p| p.exists())
        .map(|p| p.to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

/// Major and minor number of a kernel release.
fn version(release: &str) -> (u32, u32) {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        assert_eq!(version("6.1.0-13-amd64"), (6, 1));
        assert_eq!(version("5.12"), (5, 12));
        assert_eq!(version(""), (0, 0));
    }

    #[test]
    fn this_machine_has_a_cpu_that_is_online() {
        assert!(rustix::thread::sched_getaffinity(None).unwrap().count() > 0);
        assert_eq!(highest("0-3,7\n"), Some(7));
        assert_eq!(highest(""), None);
    }
}
