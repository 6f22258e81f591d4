//! Which cgroup hierarchies are mounted, and who governs a controller.

use super::Mode;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Controllers of v1 as they stand among a mount's options.
const V1_CONTROLLERS: [&str; 15] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "net_cls",
    "net_prio",
    "perf_event",
    "hugetlb",
    "rdma",
    "misc",
    "debug",
];

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// `cpu,cpuacct` or `name=systemd` on v1, empty for the unified one.
    pub(crate) controllers: String,
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// The group that is seen there.
    pub(crate) root: PathBuf,
}

impl Hierarchy {
    pub(crate) fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// How a controller is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    V1,
    V2,
}

/// All mounted hierarchies, the unified one last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) hierarchies: Vec<Hierarchy>,
}

impl Layout {
    pub(crate) fn mode(&self) -> Mode {
        let unified = self.hierarchies.iter().any(Hierarchy::is_unified);
        let legacy = self.hierarchies.iter().any(|hierarchy| !hierarchy.is_unified());
        match (legacy, unified) {
            (true, true) => Mode::Hybrid,
            (true, false) => Mode::V1,
            (false, _) => Mode::V2,
        }
    }

    /// A v1 hierarchy wins: where it is mounted, the unified one does not have the controller.
    pub(crate) fn dialect(&self, controller: &str) -> Option<Dialect> {
        let has = |hierarchy: &&Hierarchy| hierarchy.controllers.split(',').any(|name| name == controller);
        if self.hierarchies.iter().find(has).is_some() {
            return Some(Dialect::V1);
        }
        self.hierarchies.iter().any(Hierarchy::is_unified).then_some(Dialect::V2)
    }
}

/// This host's hierarchies, read once per process.
pub(crate) fn layout() -> &'static Layout {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    LAYOUT.get_or_init(|| parse(&mounts().unwrap_or_default()))
}

/// `mountinfo`, read in large pieces: each read makes the kernel look for the place where the last one ended.
fn mounts() -> std::io::Result<String> {
    let mut text = String::with_capacity(1 << 16);
    std::fs::File::open("/proc/self/mountinfo")?.read_to_string(&mut text)?;
    Ok(text)
}

/// Reads `mountinfo`. Of several mounts of one hierarchy the first that shows its root is taken.
pub(crate) fn parse(mountinfo: &str) -> Layout {
    let mut found: Vec<(Hierarchy, bool)> = Vec::new();
    for (hierarchy, whole) in mountinfo.lines().filter_map(parse_line) {
        match found.iter_mut().find(|(known, _)| known.controllers == hierarchy.controllers) {
            None => found.push((hierarchy, whole)),
            Some((known, known_whole)) if whole && !*known_whole => {
                *known = hierarchy;
                *known_whole = true;
            }
            Some(_) => {}
        }
    }
    let mut hierarchies: Vec<_> = found.into_iter().map(|(hierarchy, _)| hierarchy).collect();
    hierarchies.sort_by_key(Hierarchy::is_unified);
    Layout { hierarchies }
}

fn parse_line(line: &str) -> Option<(Hierarchy, bool)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let root = unescape(left.next()?);
    let whole = root == Path::new("/");
    let mount = unescape(left.next()?);
    let mut right = right.split(' ');
    let controllers = match right.next()? {
        "cgroup2" => String::new(),
        "cgroup" => {
            let options: Vec<_> = right.nth(1)?.split(',').collect();
            let named = options.iter().find(|option| option.starts_with("name="));
            let controllers: Vec<_> = options.iter().copied().filter(|option| V1_CONTROLLERS.contains(option)).collect();
            if controllers.is_empty() { (*named?).to_owned() } else { controllers.join(",") }
        }
        _ => return None,
    };
    Some((Hierarchy { controllers, mount, root }, whole))
}

/// Blanks and the like stand in octal.
fn unescape(field: &str) -> PathBuf {
    let replaced = field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    Path::new(&replaced).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mountinfo: &str, mode: Mode, expect: &[(&str, &str)]) {
        let layout = parse(mountinfo);
        let found: Vec<_> = layout.hierarchies.iter().map(|h| (h.controllers.as_str(), h.mount.to_str().unwrap())).collect();
        assert_eq!(found, expect);
        assert_eq!(layout.mode(), mode);
    }

    #[test]
    fn the_unified_hierarchy_alone() {
        check(
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate",
            Mode::V2,
            &[("", "/sys/fs/cgroup")],
        );
    }

    #[test]
    fn hybrid_with_a_joint_mount_and_a_name() {
        check(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
             33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
            Mode::Hybrid,
            &[("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"), ("name=systemd", "/sys/fs/cgroup/systemd"), ("", "/sys/fs/cgroup/unified")],
        );
    }

    #[test]
    fn a_whole_mount_is_preferred_to_a_bind_of_a_part() {
        check(
            "35 31 0:32 /docker/x /a\\040b rw - cgroup cgroup rw,memory\n36 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
            Mode::V1,
            &[("memory", "/sys/fs/cgroup/memory")],
        );
        check("35 31 0:32 /docker/x /a\\040b rw - cgroup cgroup rw,memory", Mode::V1, &[("memory", "/a b")]);
    }

    #[test]
    fn a_controller_is_governed_by_its_v1_hierarchy_first() {
        let layout = parse("35 31 0:32 / /m rw - cgroup cgroup rw,memory\n41 31 0:38 / /u rw - cgroup2 cgroup2 rw");
        assert_eq!(layout.dialect("memory"), Some(Dialect::V1));
        assert_eq!(layout.dialect("pids"), Some(Dialect::V2));
        assert_eq!(parse("35 31 0:32 / /m rw - cgroup cgroup rw,memory").dialect("pids"), None);
    }
}
