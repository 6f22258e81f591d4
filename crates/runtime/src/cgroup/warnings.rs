//! What a set of resources asks for in vain: told to whoever asked, and left out.

use super::hierarchy::{Dialect, Layout, layout};
use oci_spec::runtime::LinuxResources;

/// One line for each thing that this host's cgroups have no place for. What must be refused instead is refused by the limits themselves.
pub fn warnings(resources: &LinuxResources) -> Vec<String> {
    of(resources, layout())
}

fn of(resources: &LinuxResources, layout: &Layout) -> Vec<String> {
    let unified = |controller| layout.dialect(controller) == Some(Dialect::V2);
    let mut all = Vec::new();
    let mut ignored = |asked: bool, field: &str, why: &str| {
        if asked {
            all.push(format!("linux.resources.{field} is ignored: {why}"));
        }
    };
    if let Some(memory) = resources.memory() {
        let set = |value: Option<i64>| value.is_some_and(|value| value > 0);
        ignored(set(memory.kernel()), "memory.kernel", "kernel memory has no limit of its own any more");
        let unified = unified("memory");
        ignored(unified && set(memory.kernel_tcp()), "memory.kernelTCP", "cgroup v2 has no such limit");
        ignored(unified && memory.swappiness().is_some(), "memory.swappiness", "cgroup v2 has no such setting");
        ignored(memory.use_hierarchy() == Some(false), "memory.useHierarchy", "memory is always counted with what is below");
    }
    if let Some(network) = resources.network() {
        let v1 = |controller| layout.dialect(controller) == Some(Dialect::V1);
        ignored(!v1("net_cls") && network.class_id().is_some_and(|id| id != 0), "network.classID", "there is no net_cls controller");
        let priorities = network.priorities().as_ref().is_some_and(|list| !list.is_empty());
        ignored(!v1("net_prio") && priorities, "network.priorities", "there is no net_prio controller");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::hierarchy::parse;
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_ignored_where() {
        let resources = json!({
            "memory": {"kernel": 5, "kernelTCP": 5, "swappiness": 3},
            "network": {"classID": 7, "priorities": [{"name": "eth0", "priority": 1}]},
        });
        let resources = serde_json::from_value(resources).unwrap();
        let fields = |mountinfo: &str| {
            let all = of(&resources, &parse(mountinfo));
            all.iter().map(|line| line.split(' ').next().unwrap().rsplit_once("resources.").unwrap().1.to_owned()).collect::<Vec<_>>()
        };
        let unified = "30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let old = "35 31 0:32 / /m rw - cgroup cgroup rw,memory\n36 31 0:33 / /n rw - cgroup cgroup rw,net_cls,net_prio";
        assert_eq!(fields(unified), ["memory.kernel", "memory.kernelTCP", "memory.swappiness", "network.classID", "network.priorities"]);
        assert_eq!(fields(old), ["memory.kernel"]);
        assert!(of(&LinuxResources::default(), &parse(old)).is_empty());
    }
}
