//! What of the host does not change while the daemon runs.

use rustix::fs::statfs;
use std::path::Path;

/// Kinds of filesystems by the kernel's numbers, with Docker's names.
const FILESYSTEMS: [(u32, &str); 12] = [
    (0xef53, "extfs"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0xca45_1a4e, "bcachefs"),
    (0x2fc1_2fc1, "zfs"),
    (0xf2f5_2010, "f2fs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlayfs"),
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0x0bd0_0bd0, "lustre"),
    (0x5265_4973, "reiserfs"),
];

/// Read once, at the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostFacts {
    pub(crate) kernel: String,
    pub(crate) name: String,
    /// `x86_64`.
    pub(crate) machine: String,
    /// `amd64`.
    pub(crate) go_arch: String,
    pub(crate) os: String,
    pub(crate) os_version: String,
    pub(crate) cpus: i64,
    /// Bytes.
    pub(crate) memory: i64,
    /// The unified hierarchy alone is mounted.
    pub(crate) cgroup2: bool,
    /// Controllers by name.
    pub(crate) controllers: Vec<String>,
    /// Memory limits may count swap.
    pub(crate) swap_limit: bool,
    pub(crate) apparmor: bool,
    /// Directories that tell of thermal throttling, which containers do not see.
    pub(crate) thermal: Vec<String>,
}

impl HostFacts {
    pub(crate) fn read() -> Self {
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (os, os_version) = os_release(&read("/etc/os-release"));
        let machine = text(uname.machine());
        let cgroup2 = is_cgroup2();
        let controllers = if cgroup2 { words(&read("/sys/fs/cgroup/cgroup.controllers")) } else { v1_controllers(&read("/proc/cgroups")) };
        Self {
            kernel: text(uname.release()),
            name: text(uname.nodename()),
            go_arch: go_arch(&machine).into(),
            machine,
            os,
            os_version,
            cpus: rustix::thread::sched_getaffinity(None).map_or(1, |set| i64::from(set.count())),
            memory: memory(&read("/proc/meminfo")),
            swap_limit: if cgroup2 {
                Path::new("/proc/swaps").exists()
            } else {
                Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists()
            },
            apparmor: read("/sys/module/apparmor/parameters/enabled").starts_with('Y'),
            thermal: thermal(),
            controllers,
            cgroup2,
        }
    }

    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

fn is_cgroup2() -> bool {
    const MAGIC: u64 = 0x6367_7270;
    statfs("/sys/fs/cgroup").is_ok_and(|fs| u64::try_from(fs.f_type) == Ok(MAGIC))
}

/// What lies below a directory, in Docker's names.
pub(crate) fn filesystem(dir: &Path) -> &'static str {
    let kind = statfs(dir).ok().and_then(|fs| u32::try_from(fs.f_type).ok());
    let found = kind.and_then(|kind| FILESYSTEMS.iter().find(|(magic, _)| *magic == kind));
    found.map_or("<unknown>", |(_, name)| name)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Controllers that are switched on and mounted on a v1 hierarchy.
fn v1_controllers(text: &str) -> Vec<String> {
    let enabled = |line: &&str| !line.starts_with('#') && line.split_whitespace().nth(3) == Some("1");
    text.lines().filter(enabled).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn go_arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "armv6l" => "arm",
        "i686" | "i386" => "386",
        other => other,
    }
}

/// Name and version.
fn os_release(text: &str) -> (String, String) {
    let find = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\'']).to_owned())
    };
    (find("PRETTY_NAME").or_else(|| find("NAME")).unwrap_or_else(|| "Linux".into()), find("VERSION_ID").unwrap_or_default())
}

fn memory(text: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<i64>().ok()).unwrap_or(0) * 1024
}

fn thermal() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/devices/system/cpu") else { return Vec::new() };
    let mut found: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().join("thermal_throttle")))
        .filter(|path| path.exists())
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        assert_eq!(os_release("NAME=\"Debian\"\nPRETTY_NAME=\"Debian 12\"\nVERSION_ID=\"12\"\n"), ("Debian 12".into(), "12".into()));
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:       2048 kB\n"), 2 << 20);
        assert_eq!(v1_controllers("#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nrdma\t0\t1\t0\n"), ["cpu"]);
    }
}
