//! Limits as tables: refusals, warnings, completions, updates.

use super::*;
use crate::devices::BlockValue;

const MIB: i64 = 1024 * 1024;

fn host() -> Host {
    Host::sample()
}

fn refused(resources: Resources, message: &str) {
    assert_eq!(check(&mut resources.clone(), &host()).unwrap_err().message, message);
}

fn r() -> Resources {
    Resources::default()
}

#[test]
fn refusals_in_dockers_words() {
    refused(Resources { memory: 5 * MIB, ..r() }, "Minimum memory limit allowed is 6MB");
    refused(Resources { memory: -1, ..r() }, "Minimum memory limit allowed is 6MB");
    refused(
        Resources { memory: 64 * MIB, memory_swap: 32 * MIB, ..r() },
        "Minimum memoryswap limit should be larger than memory limit, see usage",
    );
    refused(Resources { memory_swap: 32 * MIB, ..r() }, "You should always set the Memory limit when using Memoryswap limit, see usage");
    refused(Resources { memory_swappiness: Some(101), ..r() }, "Invalid value: 101, valid memory swappiness range is 0-100");
    refused(Resources { memory_reservation: MIB, ..r() }, "Minimum memory reservation allowed is 6MB");
    refused(
        Resources { memory: 64 * MIB, memory_reservation: 65 * MIB, ..r() },
        "Minimum memory limit can not be less than memory reservation limit, see usage",
    );
    refused(Resources { nano_cpus: 2_500_000_000, ..r() }, "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available");
    refused(Resources { nano_cpus: -1, ..r() }, "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available");
    let with_cpus = Resources { nano_cpus: 1, ..r() };
    refused(Resources { cpu_period: 1000, ..with_cpus.clone() }, "Conflicting options: Nano CPUs and CPU Period cannot both be set");
    refused(Resources { cpu_quota: 1000, ..with_cpus }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    let period = "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)";
    refused(Resources { cpu_period: 999, ..r() }, period);
    refused(Resources { cpu_period: 1_000_001, ..r() }, period);
    refused(Resources { cpu_quota: 999, ..r() }, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
    refused(Resources { blkio_weight: 5, ..r() }, "Range of blkio weight is from 10 to 1000");
    refused(Resources { blkio_weight: 1001, ..r() }, "Range of blkio weight is from 10 to 1000");
    refused(Resources { cpuset_cpus: "x".into(), ..r() }, "Invalid value x for cpuset cpus: invalid format: x");
    refused(Resources { cpuset_mems: "2-1".into(), ..r() }, "Invalid value 2-1 for cpuset mems: invalid format: 2-1");
    refused(
        Resources { cpuset_cpus: "0-999999999".into(), ..r() },
        "Invalid value 0-999999999 for cpuset cpus: value of out range, maximum is 8192",
    );
    refused(Resources { cpuset_cpus: "0-5".into(), ..r() }, "Requested CPUs are not available - requested 0-5, available: 0-1");
    refused(Resources { cpuset_mems: "1".into(), ..r() }, "Requested memory nodes are not available - requested 1, available: 0");
}

#[test]
fn a_cpu_between_others_may_be_missing() {
    let with = |cpus: &str| Host { features: Features { cpus: cpus.into(), ..Features::all() }, ..host() };
    let mut asked = Resources { cpuset_cpus: "1,3".into(), ..r() };
    assert!(check(&mut asked, &with("0-3")).is_ok());
    assert!(check(&mut asked, &with("0,2-3")).is_err());
    // A host that does not say is believed to have it.
    assert!(check(&mut asked, &with("")).is_ok());
}

#[test]
fn what_is_left_out_is_filled_in() {
    let mut asked = Resources { memory: 64 * MIB, pids_limit: Some(-1), ..r() };
    assert!(check(&mut asked, &host()).unwrap().is_empty());
    assert_eq!((asked.memory_swap, asked.pids_limit), (128 * MIB, None));
    let mut unlimited = Resources { memory: 64 * MIB, memory_swap: -1, pids_limit: Some(0), ..r() };
    check(&mut unlimited, &host()).unwrap();
    assert_eq!((unlimited.memory_swap, unlimited.pids_limit), (-1, None));
}

/// Everything at once, on a host that can do nothing of it.
#[test]
fn what_the_kernel_lacks_is_dropped_with_a_warning() {
    let features = Features {
        memory: false,
        swap: false,
        swappiness: false,
        reservation: false,
        oom_kill_disable: false,
        pids: false,
        cpu_shares: false,
        cpu_quota: false,
        cpuset: false,
        blkio_weight: false,
        blkio_weight_device: false,
        blkio_throttle: [false; 4],
        ..Features::all()
    };
    let values = || vec![BlockValue { path: "/dev/sda".into(), value: 20 }];
    let mut asked = Resources {
        memory: 64 * MIB,
        memory_reservation: 32 * MIB,
        memory_swappiness: Some(3),
        oom_kill_disable: true,
        cpu_shares: 5,
        cpu_period: 1000,
        cpu_quota: 1000,
        cpuset_cpus: "0".into(),
        cpuset_mems: "0".into(),
        pids_limit: Some(5),
        blkio_weight: 20,
        weight_devices: values(),
        read_bps: values(),
        write_bps: values(),
        read_iops: values(),
        write_iops: values(),
        ..r()
    };
    let warnings = check(&mut asked, &Host { features, ..host() }).unwrap();
    insta::assert_snapshot!(warnings.join("\n"), @"
    Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.
    Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.
    Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.
    Your kernel does not support OomKillDisable. OomKillDisable discarded.
    Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.
    Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.
    Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.
    Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.
    Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.
    Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.
    Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.
    Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.
    Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.
    Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.
    ");
    assert_eq!(asked, Resources { memory_swap: -1, ..r() });
}

#[test]
fn swap_and_the_killer() {
    let no_swap = Host { features: Features { swap: false, ..Features::all() }, ..host() };
    let mut asked = Resources { memory: 64 * MIB, ..r() };
    let warnings = check(&mut asked, &no_swap).unwrap();
    assert_eq!(
        warnings,
        ["Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap."]
    );
    assert_eq!(asked.memory_swap, -1);
    let mut asked = Resources { oom_kill_disable: true, ..r() };
    assert_eq!(
        check(&mut asked, &host()).unwrap(),
        ["OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources."]
    );
}

#[test]
fn updates_change_only_what_they_name() {
    let current = Resources { memory: 64 * MIB, memory_swap: 128 * MIB, cpu_shares: 5, ..r() };
    let (merged, _) = merge_update("c", &current, &Resources { cpu_shares: 7, ..r() }, &host()).unwrap();
    assert_eq!(merged, Resources { cpu_shares: 7, ..current.clone() });
    let (merged, _) = merge_update("c", &r(), &Resources { memory: 64 * MIB, ..r() }, &host()).unwrap();
    assert_eq!(merged.memory_swap, 128 * MIB);
    let (merged, _) = merge_update("c", &current, &Resources { memory_swap: 256 * MIB, ..r() }, &host()).unwrap();
    assert_eq!((merged.memory, merged.memory_swap), (64 * MIB, 256 * MIB));
}

#[test]
fn updates_that_are_refused() {
    let check = |current: &Resources, change: Resources, kind: Kind, expect: &str| {
        let error = merge_update("c", current, &change, &host()).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (kind, expect));
    };
    let limited = Resources { memory: 64 * MIB, memory_swap: 128 * MIB, memory_reservation: 32 * MIB, ..r() };
    check(
        &limited,
        Resources { memory: 256 * MIB, ..r() },
        Kind::Conflict,
        "Cannot update container c: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
    );
    check(
        &limited,
        Resources { memory: 16 * MIB, ..r() },
        Kind::Conflict,
        "Cannot update container c: Minimum memory limit can not be less than memory reservation limit, see usage",
    );
    check(
        &limited,
        Resources { memory_swap: 32 * MIB, ..r() },
        Kind::Conflict,
        "Cannot update container c: Minimum memoryswap limit should be larger than memory limit, see usage",
    );
    check(&limited, Resources { memory: MIB, ..r() }, Kind::Invalid, "Minimum memory limit allowed is 6MB");
    let cases = [
        (Resources { cpu_period: 1000, ..r() }, Resources { nano_cpus: 1, ..r() }, "Nano CPUs cannot be updated as CPU Period"),
        (Resources { cpu_quota: 1000, ..r() }, Resources { nano_cpus: 1, ..r() }, "Nano CPUs cannot be updated as CPU Quota"),
    ];
    for (current, change, words) in cases {
        check(&current, change, Kind::Conflict, &format!("Cannot update container c: Conflicting options: {words} has already been set"));
    }
    let cases = [(Resources { cpu_period: 1000, ..r() }, "Period"), (Resources { cpu_quota: 1000, ..r() }, "Quota")];
    for (change, word) in cases {
        check(
            &Resources { nano_cpus: 1, ..r() },
            change,
            Kind::Conflict,
            &format!("Cannot update container c: Conflicting options: CPU {word} cannot be updated as NanoCPUs has already been set"),
        );
    }
}
