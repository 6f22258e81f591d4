//! Each limit of a specification in the kernel's own file, on whichever hierarchies this host has.

use crate::support::Place;
use dhow_runtime::cgroup::{Cgroup, Level, Mode, Notice, warnings};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("limits::each_reaches_its_file", each_reaches_its_file),
    ("limits::of_block_devices", of_block_devices),
    ("limits::raw_ones", raw_ones),
    ("limits::a_refusal_names_the_field", a_refusal_names_the_field),
    ("limits::the_kernels_word", the_kernels_word),
    ("limits::a_group_of_the_users_own", a_group_of_the_users_own),
    ("limits::an_idle_group", an_idle_group),
];

/// Where a controller's files are, and whether they are v1's; `None` where this host lacks it.
fn dir_of(cgroup: &Cgroup, controller: &str) -> Option<(PathBuf, bool)> {
    let v1 = cgroup.dirs.iter().find(|(names, _)| names.split(',').any(|name| name == controller));
    if let Some((_, dir)) = v1 {
        return Some((dir.clone(), true));
    }
    let unified = cgroup.unified_dir()?;
    let there = fs::read_to_string(unified.join("cgroup.controllers")).unwrap();
    let name = if controller == "blkio" { "io" } else { controller };
    there.split_whitespace().any(|one| one == name).then(|| (unified.to_owned(), false))
}

/// Makes a group with these resources and compares one file's text; left out where the host has no such file.
fn check(controller: &str, resources: Value, v1: (&str, &str), v2: (&str, &str)) {
    let probe = Place::new();
    let Some((dir, old)) = dir_of(&probe.cgroup, controller) else { return println!("SKIPPED: no controller {controller}") };
    let (file, expect) = if old { v1 } else { v2 };
    if file.is_empty() || !dir.join(file).exists() {
        return println!("SKIPPED: no file {file:?} of {controller}");
    }
    let place = Place::limited(&resources);
    let (dir, _) = dir_of(&place.cgroup, controller).unwrap();
    assert_eq!(fs::read_to_string(dir.join(file)).unwrap().trim(), expect, "{resources}");
    // The same by an update of a group that has no limits yet.
    probe.cgroup.update(&serde_json::from_value(resources.clone()).unwrap()).unwrap();
    let (dir, _) = dir_of(&probe.cgroup, controller).unwrap();
    assert_eq!(fs::read_to_string(dir.join(file)).unwrap().trim(), expect, "update: {resources}");
}

fn each_reaches_its_file() {
    check("cpu", json!({"cpu": {"shares": 2048}}), ("cpu.shares", "2048"), ("cpu.weight", "174"));
    let time = json!({"cpu": {"quota": 50_000, "period": 200_000}});
    check("cpu", time.clone(), ("cpu.cfs_quota_us", "50000"), ("cpu.max", "50000 200000"));
    check("cpu", time, ("cpu.cfs_period_us", "200000"), ("cpu.max", "50000 200000"));
    let burst = json!({"cpu": {"quota": 50_000, "period": 100_000, "burst": 20_000}});
    check("cpu", burst, ("cpu.cfs_burst_us", "20000"), ("cpu.max.burst", "20000"));
    check("cpuset", json!({"cpu": {"cpus": "0", "mems": "0"}}), ("cpuset.cpus", "0"), ("cpuset.cpus", "0"));
    check("cpuset", json!({"cpu": {"cpus": "0", "mems": "0"}}), ("cpuset.mems", "0"), ("cpuset.mems", "0"));
    let memory = json!({"memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20, "kernel": 5}});
    check("memory", memory.clone(), ("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864"));
    check("memory", memory.clone(), ("memory.memsw.limit_in_bytes", "100663296"), ("memory.swap.max", "33554432"));
    check("memory", memory.clone(), ("memory.soft_limit_in_bytes", "33554432"), ("memory.low", "33554432"));
    assert_eq!(warnings(&serde_json::from_value(memory).unwrap()).len(), 1);
    check("memory", json!({"memory": {"swappiness": 7}}), ("memory.swappiness", "7"), ("", ""));
    check("pids", json!({"pids": {"limit": 77}}), ("pids.max", "77"), ("pids.max", "77"));
    check("pids", json!({"pids": {"limit": -1}}), ("pids.max", "max"), ("pids.max", "max"));
    let pages = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]});
    check("hugetlb", pages.clone(), ("hugetlb.2MB.limit_in_bytes", "4194304"), ("hugetlb.2MB.max", "4194304"));
    check("hugetlb", pages, ("hugetlb.2MB.rsvd.limit_in_bytes", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304"));
    check("net_cls", json!({"network": {"classID": 1_048_577}}), ("net_cls.classid", "1048577"), ("", ""));
    check("blkio", json!({"blockIO": {"weight": 300}}), ("blkio.bfq.weight", "300"), ("io.bfq.weight", "default 300"));
}

/// A block device that is there: number as the kernel writes it.
fn disk() -> Option<(u64, u64)> {
    let mut all: Vec<_> = fs::read_dir("/sys/block").ok()?.flatten().map(|entry| entry.path()).collect();
    all.sort();
    let real = all.into_iter().find(|path| path.join("device").exists())?;
    let text = fs::read_to_string(real.join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn of_block_devices() {
    let Some((major, minor)) = disk() else { return println!("SKIPPED: no block device") };
    let limit = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let line = |value: &str| format!("{major}:{minor} {value}");
    for (field, file, rate, v2) in [
        ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", 1_048_576, "rbps=1048576 wbps=max riops=max wiops=max"),
        ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", 2_097_152, "rbps=max wbps=2097152 riops=max wiops=max"),
        ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", 100, "rbps=max wbps=max riops=100 wiops=max"),
        ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", 200, "rbps=max wbps=max riops=max wiops=200"),
    ] {
        check("blkio", json!({"blockIO": {field: limit(rate)}}), (file, &line(&rate.to_string())), ("io.max", &line(v2)));
    }
}

fn raw_ones() {
    if Place::new().cgroup.mode != Mode::V2 {
        return println!("SKIPPED: this host has more than cgroup v2");
    }
    let place = Place::limited(&json!({"unified": {"memory.high": "33554432", "pids.max": "55"}}));
    let dir = place.cgroup.unified_dir().unwrap();
    assert_eq!(fs::read_to_string(dir.join("memory.high")).unwrap().trim(), "33554432");
    assert_eq!(fs::read_to_string(dir.join("pids.max")).unwrap().trim(), "55");
    let path = format!("/dhow-runtime-raw-{}", std::process::id());
    let resources = serde_json::from_value(json!({"unified": {"nosuch.max": "5"}})).unwrap();
    let failure = Cgroup::create(&path, Some(&resources)).unwrap_err();
    assert!(failure.object.ends_with("nosuch.max"), "{failure}");
    assert!(Cgroup::at(&path).unwrap().dirs.iter().all(|(_, dir)| !dir.exists()), "nothing is left");
}

fn a_refusal_names_the_field() {
    let path = format!("/dhow-runtime-refused-{}", std::process::id());
    for (controller, resources, field) in [
        ("cpu", json!({"cpu": {"quota": 50, "period": 100_000}}), "linux.resources.cpu.quota"),
        ("cpuset", json!({"cpu": {"cpus": "7777"}}), "linux.resources.cpu.cpus"),
    ] {
        if dir_of(&Place::new().cgroup, controller).is_none() {
            println!("SKIPPED: no controller {controller}");
            continue;
        }
        let failure = Cgroup::create(&path, Some(&serde_json::from_value(resources).unwrap())).unwrap_err();
        assert!(failure.message.contains(field), "{failure}");
        assert!(Cgroup::at(&path).unwrap().dirs.iter().all(|(_, dir)| !dir.exists()), "nothing is left");
    }
}

fn the_kernels_word() {
    let mut place = Place::limited(&json!({"memory": {"limit": 16 << 20, "swap": 16 << 20}}));
    let Some(notice) = place.cgroup.oom_notice().unwrap() else { return println!("SKIPPED: no memory controller") };
    // Where the kernel watches it at all.
    drop(place.cgroup.pressure_notice(Level::Low).unwrap());
    let (_, code) = place.run("head -c 64000000 /dev/zero | tail -c 60000000 > /dev/null; exit $?");
    let (fd, flags) = match &notice {
        Notice::Counter(fd) => (fd, PollFlags::IN),
        Notice::File(fd) => (fd, PollFlags::PRI),
    };
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), flags)];
    let limit = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
    assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "exit code {code}");
    assert!(place.cgroup.oom_kills().unwrap() > 0);
}

fn a_group_of_the_users_own() {
    let owner = |writable: bool| {
        let mut place = Place::new();
        place.map();
        let options = if writable { json!(["nosuid", "noexec", "nodev"]) } else { json!(["ro", "nosuid", "noexec", "nodev"]) };
        place.set("/mounts/4/options", options);
        let text =
            place.ok("cd /sys/fs/cgroup; stat -c %u . cgroup.procs cgroup.type 2>/dev/null; mkdir sub 2>/dev/null && echo made || true");
        (place.cgroup.mode, text)
    };
    let (mode, text) = owner(true);
    if mode != Mode::V2 {
        return println!("SKIPPED: only cgroup v2 is handed to its user");
    }
    assert_eq!(text, "0\n0\n65534\nmade\n", "the group and what may be delegated, nothing else");
    assert_eq!(owner(false).1.lines().next(), Some("65534"));
}

fn an_idle_group() {
    check("cpu", json!({"cpu": {"idle": 1}}), ("cpu.idle", "1"), ("cpu.idle", "1"));
}
