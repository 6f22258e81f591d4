//! Which limits this host can set: what a front end must know to refuse or to warn.

use super::Mode;
use super::hierarchy::{Dialect, Layout, layout};
use std::path::PathBuf;

/// One flag for each kind of limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says which limit it is about")]
pub struct Features {
    pub memory: bool,
    pub swap: bool,
    pub swappiness: bool,
    pub reservation: bool,
    pub oom_kill_disable: bool,
    pub pids: bool,
    pub cpu_shares: bool,
    pub cpu_quota: bool,
    pub cpu_realtime: bool,
    pub cpuset: bool,
    pub blkio_weight: bool,
    pub blkio_weight_device: bool,
    /// Read bytes, write bytes, read operations, write operations.
    pub blkio_throttle: [bool; 4],
    /// CPUs that groups may be given, as the kernel lists them (`0-3`); empty where it does not say.
    pub cpus: String,
    /// Memory nodes, likewise.
    pub mems: String,
}

impl Features {
    /// All of them, on two CPUs and one memory node: for tests.
    pub fn all() -> Self {
        Self {
            memory: true,
            swap: true,
            swappiness: true,
            reservation: true,
            oom_kill_disable: true,
            pids: true,
            cpu_shares: true,
            cpu_quota: true,
            cpu_realtime: true,
            cpuset: true,
            blkio_weight: true,
            blkio_weight_device: true,
            blkio_throttle: [true; 4],
            cpus: "0-1".to_owned(),
            mems: "0".to_owned(),
        }
    }
}

/// This host's.
pub fn features() -> Features {
    let read = |path: PathBuf| std::fs::read_to_string(path).ok();
    of(layout(), &read)
}

/// Of a layout, whose files `read` gives.
fn of(layout: &Layout, read: &dyn Fn(PathBuf) -> Option<String>) -> Features {
    let top = |controller: &str| {
        let find = |h: &&super::hierarchy::Hierarchy| h.controllers.split(',').any(|name| name == controller);
        layout.hierarchies.iter().find(find).map(|h| h.mount.clone())
    };
    let unified = layout.hierarchies.iter().find(|h| h.is_unified()).map(|h| h.mount.clone());
    let offered = unified.as_ref().and_then(|dir| read(dir.join("cgroup.controllers"))).unwrap_or_default();
    // v1 has a file for each feature at the top already; v2 has the controller or not.
    let has = |controller: &str, on_v2: bool, files: &[&str]| match layout.dialect(controller) {
        Some(Dialect::V1) => top(controller).is_some_and(|dir| files.iter().any(|file| dir.join(file).exists())),
        Some(Dialect::V2) => {
            let name = if controller == "blkio" { "io" } else { controller };
            on_v2 && offered.split_whitespace().any(|one| one == name)
        }
        None => false,
    };
    let throttle = |file: &str| has("blkio", true, &[&format!("blkio.throttle.{file}_device")]);
    let list = |kind: &str| {
        let dir = if layout.mode() == Mode::V2 { unified.clone() } else { top("cpuset") };
        let names = [format!("cpuset.{kind}.effective"), format!("cpuset.effective_{kind}"), format!("cpuset.{kind}")];
        let found = dir.and_then(|dir| names.iter().find_map(|name| read(dir.join(name)).filter(|text| !text.trim().is_empty())));
        found.map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    Features {
        memory: has("memory", true, &["memory.limit_in_bytes"]),
        swap: has("memory", std::path::Path::new("/proc/swaps").exists(), &["memory.memsw.limit_in_bytes"]),
        swappiness: has("memory", false, &["memory.swappiness"]),
        reservation: has("memory", true, &["memory.soft_limit_in_bytes"]),
        oom_kill_disable: has("memory", false, &["memory.oom_control"]),
        pids: layout.dialect("pids") == Some(Dialect::V1) || has("pids", true, &[]),
        cpu_shares: has("cpu", true, &["cpu.shares"]),
        cpu_quota: has("cpu", true, &["cpu.cfs_quota_us"]),
        cpu_realtime: has("cpu", false, &["cpu.rt_period_us"]),
        cpuset: has("cpuset", true, &["cpuset.cpus"]),
        blkio_weight: has("blkio", true, &["blkio.weight", "blkio.bfq.weight"]),
        blkio_weight_device: has("blkio", true, &["blkio.weight_device", "blkio.bfq.weight_device"]),
        blkio_throttle: ["read_bps", "write_bps", "read_iops", "write_iops"].map(throttle),
        cpus: list("cpus"),
        mems: list("mems"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::hierarchy::parse;
    use super::*;

    #[test]
    fn on_v1_a_feature_is_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        let layout =
            parse(&format!("35 31 0:32 / {path} rw - cgroup cgroup rw,memory,cpu,blkio,pids,cpuset\n41 31 0:38 / /u rw - cgroup2 c rw"));
        let read = |path: PathBuf| std::fs::read_to_string(path).ok();
        let none = of(&layout, &read);
        assert!(none.pids && !none.memory && !none.blkio_weight && none.cpus.is_empty());
        for file in ["memory.limit_in_bytes", "memory.swappiness", "blkio.bfq.weight", "blkio.throttle.write_bps_device", "cpu.shares"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        std::fs::write(dir.path().join("cpuset.cpus"), "0-3\n").unwrap();
        let some = of(&layout, &read);
        assert!(some.memory && some.swappiness && some.blkio_weight && some.cpu_shares && some.cpuset);
        assert!(!some.swap && !some.oom_kill_disable && !some.blkio_weight_device && !some.cpu_quota);
        assert_eq!((some.blkio_throttle, some.cpus.as_str()), ([false, true, false, false], "0-3"));
    }

    #[test]
    fn on_v2_it_is_a_controller() {
        let layout = parse("30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
        let read = |path: PathBuf| match path.to_str() {
            Some("/sys/fs/cgroup/cgroup.controllers") => Some("cpuset cpu io memory pids\n".to_owned()),
            Some("/sys/fs/cgroup/cpuset.cpus.effective") => Some("0-7\n".to_owned()),
            _ => None,
        };
        let features = of(&layout, &read);
        let expect = Features {
            swappiness: false,
            oom_kill_disable: false,
            cpu_realtime: false,
            cpus: "0-7".into(),
            mems: String::new(),
            ..Features::all()
        };
        assert_eq!(Features { swap: true, ..features }, expect);
        let bare = of(&layout, &|_| None);
        assert!(!bare.memory && !bare.pids && !bare.blkio_weight && bare.blkio_throttle == [false; 4]);
    }
}
