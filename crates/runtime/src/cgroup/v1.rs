//! Limits in the words of cgroup v1.

use super::invalid;
use super::write::{State, Write};
use crate::error::Result;
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxThrottleDevice};

const LIMIT: &str = "memory.limit_in_bytes";
const SWAP: &str = "memory.memsw.limit_in_bytes";

/// The kernel refuses a memory limit above that of memory and swap, so the order depends on the direction of the change.
pub(super) fn memory(memory: &LinuxMemory, state: State) -> Result<Vec<Write>> {
    let limit = memory.limit().filter(|limit| *limit != 0);
    // Without limit on memory, one on the sum would only be in the way.
    let swap = memory.swap().filter(|swap| *swap != 0).or(if limit == Some(-1) { Some(-1) } else { None });
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap > 0
        && (swap < limit || limit < 0)
    {
        return Err(invalid("memory", format!("memory and swap {swap} is below memory {limit}")));
    }
    let limit = limit.map(|limit| Write::new("memory", LIMIT, limit));
    // The file is missing where swap is not accounted.
    let sum = swap.map(|swap| Write::new("memory", SWAP, swap).optional());
    let mut writes: Vec<_> = if sum_first(swap, state) { [sum, limit] } else { [limit, sum] }.into_iter().flatten().collect();
    let reservation = memory.reservation().filter(|reservation| *reservation != 0);
    writes.extend(reservation.map(|bytes| Write::new("memory", "memory.soft_limit_in_bytes", bytes)));
    let tcp = memory.kernel_tcp().filter(|tcp| *tcp != 0);
    writes.extend(tcp.map(|bytes| Write::new("memory", "memory.kmem.tcp.limit_in_bytes", bytes)));
    match memory.disable_oom_killer() {
        Some(true) => writes.push(Write::new("memory", "memory.oom_control", 1)),
        Some(false) if state != State::Fresh => writes.push(Write::new("memory", "memory.oom_control", 0)),
        _ => {}
    }
    if let Some(swappiness) = memory.swappiness() {
        if swappiness > 100 {
            return Err(invalid("memory", format!("swappiness {swappiness} is above 100")));
        }
        writes.push(Write::new("memory", "memory.swappiness", swappiness));
    }
    Ok(writes)
}

fn sum_first(swap: Option<i64>, state: State) -> bool {
    match (swap, state) {
        (_, State::Fresh) | (None, _) => false,
        (Some(swap), State::InUse(present)) => swap < 0 || present.memory.is_some_and(|limit| swap as u64 >= limit),
    }
}

pub(super) fn asks_time(cpu: &LinuxCpu) -> bool {
    cpu.shares().is_some_and(|shares| shares != 0)
        || cpu.quota().is_some_and(|quota| quota != 0)
        || cpu.period().is_some_and(|period| period != 0)
        || cpu.idle().is_some()
        || cpu.burst().is_some()
        || cpu.realtime_period().is_some_and(|period| period != 0)
        || cpu.realtime_runtime().is_some_and(|runtime| runtime != 0)
}

pub(super) fn asks_sets(cpu: &LinuxCpu) -> bool {
    [cpu.cpus(), cpu.mems()].into_iter().flatten().any(|list| !list.is_empty())
}

pub(super) fn cpu(cpu: &LinuxCpu) -> Vec<Write> {
    let mut writes = Vec::new();
    let some = |value: Option<u64>| value.filter(|value| *value != 0);
    writes.extend(some(cpu.shares()).map(|shares| Write::new("cpu", "cpu.shares", shares)));
    // The kernel compares period, quota and burst with each other at each write.
    writes.extend(some(cpu.period()).map(|period| Write::new("cpu", "cpu.cfs_period_us", period).retried()));
    let quota = cpu.quota().filter(|quota| *quota != 0);
    writes.extend(quota.map(|quota| Write::new("cpu", "cpu.cfs_quota_us", quota)));
    writes.extend(cpu.burst().map(|burst| Write::new("cpu", "cpu.cfs_burst_us", burst).retried()));
    writes.extend(cpu.idle().map(|idle| Write::new("cpu", "cpu.idle", idle)));
    writes.extend(some(cpu.realtime_period()).map(|period| Write::new("cpu", "cpu.rt_period_us", period).retried()));
    let runtime = cpu.realtime_runtime().filter(|runtime| *runtime != 0);
    writes.extend(runtime.map(|runtime| Write::new("cpu", "cpu.rt_runtime_us", runtime)));
    writes
}

/// The same on v1 and v2.
pub(super) fn cpuset(cpu: &LinuxCpu) -> Vec<Write> {
    let lists = [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())];
    lists
        .into_iter()
        .filter_map(|(file, list)| Some((file, list.as_deref().filter(|list| !list.is_empty())?)))
        .map(|(file, list)| Write::new("cpuset", file, list))
        .collect()
}

pub(super) fn block_io(io: &LinuxBlockIo) -> Vec<Write> {
    let mut writes = Vec::new();
    let weight = io.weight().filter(|weight| *weight != 0);
    writes.extend(weight.map(|weight| Write::new("blkio", "blkio.weight", weight).or("blkio.bfq.weight", weight)));
    let leaf = io.leaf_weight().filter(|weight| *weight != 0);
    writes.extend(leaf.map(|weight| Write::new("blkio", "blkio.leaf_weight", weight)));
    for device in io.weight_device().iter().flatten() {
        let line = |weight: u16| format!("{}:{} {weight}", device.major(), device.minor());
        writes.extend(
            device
                .weight()
                .map(|weight| Write::new("blkio", "blkio.weight_device", line(weight)).or("blkio.bfq.weight_device", line(weight))),
        );
        let leaf = device.leaf_weight();
        writes.extend(leaf.map(|weight| Write::new("blkio", "blkio.leaf_weight_device", line(weight))));
    }
    let throttles = [
        ("blkio.throttle.read_bps_device", io.throttle_read_bps_device()),
        ("blkio.throttle.write_bps_device", io.throttle_write_bps_device()),
        ("blkio.throttle.read_iops_device", io.throttle_read_iops_device()),
        ("blkio.throttle.write_iops_device", io.throttle_write_iops_device()),
    ];
    for (file, devices) in throttles {
        writes.extend(devices.iter().flatten().map(|device| Write::new("blkio", file, throttle(device))));
    }
    writes
}

fn throttle(device: &LinuxThrottleDevice) -> String {
    format!("{}:{} {}", device.major(), device.minor(), device.rate())
}

pub(super) fn huge_pages(limit: &LinuxHugepageLimit) -> Vec<Write> {
    let file = |middle: &str| format!("hugetlb.{}.{middle}limit_in_bytes", limit.page_size());
    vec![Write::new("hugetlb", file(""), limit.limit()), Write::new("hugetlb", file("rsvd."), limit.limit()).optional()]
}
