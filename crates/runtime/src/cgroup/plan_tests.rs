//! Resources as JSON against the writes they become, as `controller/file=value` lines.

use super::super::hierarchy::{Hierarchy, Layout};
use super::super::write::Present;
use super::*;

fn v1() -> Layout {
    layout(&["cpu,cpuacct", "cpuset", "memory", "devices", "blkio", "pids", "hugetlb", "net_cls,net_prio", "name=systemd"])
}
fn v2() -> Layout {
    layout(&[""])
}
fn layout(names: &[&str]) -> Layout {
    let hierarchy = |name: &&str| Hierarchy { controllers: (*name).to_owned(), mount: "/x".into(), root: "/".into() };
    Layout { hierarchies: names.iter().map(hierarchy).collect() }
}

fn lines(json: &str, layout: &Layout, state: State) -> Result<Vec<String>> {
    let plan = plan(&serde_json::from_str(json).unwrap(), layout, state)?;
    let line = |write: &Write| {
        let choices: Vec<_> = write.choices.iter().map(|(file, value)| format!("{file}={value}")).collect();
        format!("{}/{}{}", write.controller, choices.join("|"), if write.optional { "?" } else { "" })
    };
    Ok(plan.writes.iter().filter(|write| write.controller != "devices").map(line).collect())
}

fn check(json: &str, layout: &Layout, expect: &[&str]) {
    assert_eq!(lines(json, layout, State::Fresh).unwrap(), expect, "{json}");
}

fn check_error(json: &str, layout: &Layout, expect: &str) {
    let error = lines(json, layout, State::Fresh).unwrap_err();
    assert_eq!(format!("{}: {}", error.object, error.message), expect, "{json}");
    assert_eq!((error.step, error.kind), (crate::error::Step::Cgroup, crate::error::Kind::Invalid));
}

const MEMORY: &str = r#"{"memory":{"limit":64000000,"swap":128000000,"reservation":32000000}}"#;

#[test]
fn memory_on_v1() {
    check(
        MEMORY,
        &v1(),
        &[
            "memory/memory.limit_in_bytes=64000000",
            "memory/memory.memsw.limit_in_bytes=128000000?",
            "memory/memory.soft_limit_in_bytes=32000000",
        ],
    );
    check(r#"{"memory":{"limit":-1}}"#, &v1(), &["memory/memory.limit_in_bytes=-1", "memory/memory.memsw.limit_in_bytes=-1?"]);
    check(r#"{"memory":{"swappiness":0,"disableOOMKiller":true}}"#, &v1(), &["memory/memory.oom_control=1", "memory/memory.swappiness=0"]);
    check(r#"{"memory":{"disableOOMKiller":false}}"#, &v1(), &[]);
    check_error(r#"{"memory":{"swappiness":101}}"#, &v1(), "memory: swappiness 101 is above 100");
    check_error(r#"{"memory":{"limit":20,"swap":10}}"#, &v1(), "memory: memory and swap 10 is below memory 20");
}

#[test]
fn the_order_of_memory_and_swap_on_v1_follows_the_direction() {
    let order = |json: &str, limit: u64| {
        let lines = lines(json, &v1(), State::InUse(Present { memory: Some(limit), ..Present::default() })).unwrap();
        lines[0].contains("memsw")
    };
    assert!(order(r#"{"memory":{"limit":200,"swap":400}}"#, 100), "raising: the sum first");
    assert!(!order(r#"{"memory":{"limit":50,"swap":60}}"#, 100), "lowering: memory first");
    assert!(order(r#"{"memory":{"limit":-1,"swap":-1}}"#, 100), "lifting: the sum first");
    assert!(order(r#"{"memory":{"limit":-1}}"#, 100), "lifting memory alone lifts both");
}

#[test]
fn what_is_not_given_stays_as_it_is() {
    let present = Present { memory: Some(100), quota: Some(50_000), period: Some(200_000) };
    let check = |json: &str, layout: &Layout, expect: &[&str]| {
        assert_eq!(lines(json, layout, State::InUse(present)).unwrap(), expect, "{json}");
    };
    check(r#"{"cpu":{"quota":20000}}"#, &v2(), &["cpu/cpu.max=20000 200000"]);
    check(r#"{"cpu":{"period":90000}}"#, &v2(), &["cpu/cpu.max=50000 90000"]);
    check(r#"{"cpu":{"quota":-1}}"#, &v2(), &["cpu/cpu.max=max 200000"]);
    check(r#"{"cpu":{"shares":1024}}"#, &v2(), &["cpu/cpu.weight=100"]);
    check(r#"{"cpu":{"period":90000}}"#, &v1(), &["cpu/cpu.cfs_period_us=90000"]);
    check(r#"{"memory":{"swap":150}}"#, &v2(), &["memory/memory.swap.max=50?"]);
    check(r#"{"memory":{"swap":-1}}"#, &v2(), &["memory/memory.swap.max=max?"]);
    check(r#"{"memory":{"limit":120}}"#, &v2(), &["memory/memory.max=120"]);
    check(r#"{"memory":{"limit":120,"swap":0}}"#, &v2(), &["memory/memory.max=120"]);
    check(r#"{"memory":{"swap":150}}"#, &v1(), &["memory/memory.memsw.limit_in_bytes=150?"]);
    check(r#"{"memory":{"disableOOMKiller":false}}"#, &v1(), &["memory/memory.oom_control=0"]);
    check(r#"{"memory":{"reservation":7}}"#, &v2(), &["memory/memory.low=7"]);
}

#[test]
fn memory_on_v2() {
    check(MEMORY, &v2(), &["memory/memory.swap.max=64000000?", "memory/memory.max=64000000", "memory/memory.low=32000000"]);
    check(r#"{"memory":{"limit":-1}}"#, &v2(), &["memory/memory.swap.max=max?", "memory/memory.max=max"]);
    check(r#"{"memory":{"limit":10,"swap":-1}}"#, &v2(), &["memory/memory.swap.max=max?", "memory/memory.max=10"]);
    check(r#"{"memory":{"limit":10,"swap":10}}"#, &v2(), &["memory/memory.swap.max=0?", "memory/memory.max=10"]);
    check(r#"{"memory":{"limit":10}}"#, &v2(), &["memory/memory.max=10"]);
    check(r#"{"memory":{"swappiness":60}}"#, &v2(), &[]);
    check_error(r#"{"memory":{"limit":20,"swap":10}}"#, &v2(), "memory: memory and swap 10 is below memory 20");
    check_error(r#"{"memory":{"swap":10}}"#, &v2(), "memory: a limit on swap needs one on memory");
}

const CPU: &str = r#"{"cpu":{"shares":512,"quota":150000,"period":100000,"cpus":"0-1","mems":"0"}}"#;

#[test]
fn cpu() {
    check(
        CPU,
        &v1(),
        &[
            "cpu/cpu.shares=512",
            "cpu/cpu.cfs_period_us=100000",
            "cpu/cpu.cfs_quota_us=150000",
            "cpuset/cpuset.cpus=0-1",
            "cpuset/cpuset.mems=0",
        ],
    );
    check(CPU, &v2(), &["cpu/cpu.weight=59", "cpu/cpu.max=150000 100000", "cpuset/cpuset.cpus=0-1", "cpuset/cpuset.mems=0"]);
    check(r#"{"cpu":{"quota":-1}}"#, &v2(), &["cpu/cpu.max=max 100000"]);
    check(r#"{"cpu":{"quota":-1}}"#, &v1(), &["cpu/cpu.cfs_quota_us=-1"]);
    check(r#"{"cpu":{"quota":20000}}"#, &v2(), &["cpu/cpu.max=20000 100000"]);
    check(r#"{"cpu":{"shares":0,"quota":0,"period":0,"cpus":""}}"#, &v1(), &[]);
    check(r#"{"cpu":{"shares":1024,"idle":1}}"#, &v2(), &["cpu/cpu.idle=1"]);
    check_error(r#"{"cpu":{"shares":2}}"#, &layout(&["memory", "devices"]), "cpu: this host has no such cgroup controller");
}

#[test]
fn shares_become_weights_that_keep_the_default() {
    let ends = [(2, 1), (1024, 100), (262_144, 10_000), (0, 1), (1 << 40, 10_000)];
    for (shares, weight) in ends {
        assert_eq!(super::v2::weight(shares), weight, "{shares}");
    }
    let weights: Vec<_> = (2..262_145).step_by(97).map(super::v2::weight).collect();
    assert!(weights.is_sorted(), "more shares never weigh less");
}

#[test]
fn pids() {
    check(r#"{"pids":{"limit":100}}"#, &v1(), &["pids/pids.max=100"]);
    check(r#"{"pids":{"limit":-1}}"#, &v2(), &["pids/pids.max=max"]);
    check(r#"{"pids":{"limit":0}}"#, &v2(), &["pids/pids.max=max"]);
}

const IO: &str = r#"{"blockIO":{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":10}],
    "throttleReadBpsDevice":[{"major":8,"minor":16,"rate":1048576}],"throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":30}]}}"#;

#[test]
fn block_devices() {
    check(
        IO,
        &v1(),
        &[
            "blkio/blkio.weight=500|blkio.bfq.weight=500",
            "blkio/blkio.weight_device=8:0 10|blkio.bfq.weight_device=8:0 10",
            "blkio/blkio.throttle.read_bps_device=8:16 1048576",
            "blkio/blkio.throttle.write_iops_device=8:16 30",
        ],
    );
    check(
        IO,
        &v2(),
        &[
            "io/io.bfq.weight=500|io.weight=4950",
            "io/io.bfq.weight=8:0 10|io.weight=8:0 1",
            "io/io.max=8:16 rbps=1048576",
            "io/io.max=8:16 wiops=30",
        ],
    );
}

#[test]
fn the_rest() {
    let json =
        r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}],"network":{"classID":7,"priorities":[{"name":"eth0","priority":3}]}}"#;
    check(
        json,
        &v1(),
        &[
            "hugetlb/hugetlb.2MB.limit_in_bytes=4194304",
            "hugetlb/hugetlb.2MB.rsvd.limit_in_bytes=4194304?",
            "net_cls/net_cls.classid=7",
            "net_prio/net_prio.ifpriomap=eth0 3",
        ],
    );
    check(json, &v2(), &["hugetlb/hugetlb.2MB.max=4194304", "hugetlb/hugetlb.2MB.rsvd.max=4194304?"]);
    check(r#"{"unified":{"memory.high":"99","cpu.weight":"7"}}"#, &v2(), &["/cpu.weight=7", "/memory.high=99"]);
    check_error(r#"{"unified":{"memory.high":"99"}}"#, &v1(), "unified: raw cgroup v2 settings need a host with cgroup v2 alone");
    check_error(r#"{"unified":{"../x.y":"99"}}"#, &v2(), "unified: \"../x.y\" is not the name of a cgroup file");
}

#[test]
fn a_hybrid_host_mixes_the_dialects() {
    let hybrid = layout(&["memory", "devices", ""]);
    check(
        r#"{"memory":{"limit":10},"pids":{"limit":5},"cpu":{"shares":1024}}"#,
        &hybrid,
        &["memory/memory.limit_in_bytes=10", "cpu/cpu.weight=100", "pids/pids.max=5"],
    );
}

#[test]
fn devices_are_closed_unless_opened() {
    let resources = LinuxResources::default();
    let one = plan(&resources, &v1(), State::Fresh).unwrap();
    assert_eq!(one.writes[0], Write::new("devices", "devices.deny", "a"));
    assert!(plan(&resources, &v2(), State::Fresh).unwrap().program.is_some());
    let in_use = State::InUse(Present::default());
    assert_eq!(plan(&resources, &v1(), in_use).unwrap(), Plan::default());
    let open: LinuxResources = serde_json::from_str(r#"{"devices":[{"allow":true,"access":"rwm"}]}"#).unwrap();
    assert_eq!(plan(&open, &v1(), State::Fresh).unwrap(), Plan::default());
    assert_eq!(plan(&open, &v2(), State::Fresh).unwrap(), Plan::default());
    assert!(plan(&open, &v2(), in_use).unwrap().program.is_some());
}

#[test]
fn what_v2_cannot_say_is_refused() {
    for (json, expect) in [
        (r#"{"memory":{"disableOOMKiller":true}}"#, "memory: disableOOMKiller is not possible with cgroup v2"),
        (r#"{"cpu":{"realtimeRuntime":5}}"#, "cpu: realtimeRuntime or realtimePeriod is not possible with cgroup v2"),
        (r#"{"blockIO":{"leafWeight":5}}"#, "blkio: leafWeight is not possible with cgroup v2"),
        (r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"leafWeight":5}]}}"#, "blkio: leafWeight is not possible with cgroup v2"),
        (r#"{"rdma":{"mlx":{}}}"#, "rdma: mlx: one of hcaHandles and hcaObjects is needed"),
    ] {
        check_error(json, &v2(), expect);
    }
    check(r#"{"memory":{"disableOOMKiller":false},"cpu":{"realtimeRuntime":0}}"#, &v2(), &[]);
}

#[test]
fn each_line_of_a_raw_setting_is_a_write() {
    let json = r#"{"unified":{"io.max":"8:0 rbps=1\n8:16 wbps=2","memory.high":"5"}}"#;
    check(json, &v2(), &["/io.max=8:0 rbps=1", "/io.max=8:16 wbps=2", "/memory.high=5"]);
}
