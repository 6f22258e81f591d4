//! What this machine is, read once when the engine opens.

use dhow_runtime::cgroup::{self, Features, Mode};

/// Facts that decide what a specification may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// How many CPUs may be used.
    pub(crate) cpus: u32,
    /// Which control groups there are.
    pub(crate) cgroups: Mode,
    /// Which limits they can set.
    pub(crate) features: Features,
    /// AppArmor is on.
    pub(crate) apparmor: bool,
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
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Self {
            cpus,
            cgroups: cgroup::mode(),
            features: features(),
            apparmor: std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y')),
            thermal: thermal(),
            kernel: version(&release),
            recursive_read_only: version(&release) >= (5, 12),
        }
    }
}

/// What the groups can limit, with the CPUs that are online where they do not say which ones they have.
fn features() -> Features {
    let mut features = cgroup::features();
    if features.cpus.is_empty() {
        let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
        features.cpus = online.trim().to_owned();
    }
    features
}

#[cfg(test)]
impl Host {
    /// Two CPUs, every limit, Linux 6.1: for tests.
    pub(crate) fn sample() -> Self {
        Self {
            cpus: 2,
            cgroups: Mode::Hybrid,
            features: Features::all(),
            apparmor: false,
            thermal: vec![],
            kernel: (6, 1),
            recursive_read_only: true,
        }
    }
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
        let host = Host::read();
        assert!(host.cpus > 0 && host.features.cpus.starts_with(|c: char| c.is_ascii_digit()));
    }
}
