//! Limits in the words of cgroup v2. OCI speaks v1, so most numbers are converted.

use super::invalid;
use super::write::{Present, Write};
use crate::error::Result;
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxResources};

const DEFAULT_PERIOD: u64 = 100_000;

/// What cannot be said here and would be missed. `unified` tells which controllers are the unified hierarchy's.
pub(super) fn refuse(resources: &LinuxResources, unified: impl Fn(&str) -> bool) -> Result<()> {
    let no = |object: &str, field: &str| Err(invalid(object, format!("{field} is not possible with cgroup v2")));
    let memory = resources.memory().as_ref().filter(|_| unified("memory"));
    if memory.is_some_and(|memory| memory.disable_oom_killer() == Some(true)) {
        return no("memory", "disableOOMKiller");
    }
    let cpu = resources.cpu().as_ref().filter(|_| unified("cpu"));
    if cpu.is_some_and(|cpu| cpu.realtime_runtime().is_some_and(|n| n != 0) || cpu.realtime_period().is_some_and(|n| n != 0)) {
        return no("cpu", "realtimeRuntime or realtimePeriod");
    }
    let io = resources.block_io().as_ref().filter(|_| unified("blkio"));
    let leaf = |io: &LinuxBlockIo| {
        let devices = io.weight_device().iter().flatten();
        io.leaf_weight().is_some_and(|n| n != 0) || devices.into_iter().any(|device| device.leaf_weight().is_some_and(|n| n != 0))
    };
    if io.is_some_and(leaf) { no("blkio", "leafWeight") } else { Ok(()) }
}

pub(super) fn memory(memory: &LinuxMemory, present: Present) -> Result<Vec<Write>> {
    let limit = memory.limit().filter(|limit| *limit != 0);
    let mut writes = Vec::new();
    // Swap goes first: lowering memory may have to move pages there. The file is missing where swap is not accounted.
    let in_force = limit.or(present.memory.and_then(|limit| i64::try_from(limit).ok()));
    let swap = swap_alone(in_force, memory.swap().unwrap_or(0)).map(|swap| swap.filter(|_| memory.swap().is_some() || limit.is_some()))?;
    writes.extend(swap.map(|swap| Write::new("memory", "memory.swap.max", number(swap)).optional()));
    writes.extend(limit.map(|limit| Write::new("memory", "memory.max", number(limit))));
    let reservation = memory.reservation().filter(|reservation| *reservation != 0);
    writes.extend(reservation.map(|bytes| Write::new("memory", "memory.low", number(bytes))));
    Ok(writes)
}

/// v1 limits the sum of memory and swap, v2 swap alone.
fn swap_alone(limit: Option<i64>, sum: i64) -> Result<Option<i64>> {
    match (limit, sum) {
        (Some(-1), 0) | (_, -1) => Ok(Some(-1)),
        (_, 0) => Ok(None),
        (None | Some(..=0), _) => Err(invalid("memory", "a limit on swap needs one on memory")),
        (Some(limit), sum) if sum < limit => Err(invalid("memory", format!("memory and swap {sum} is below memory {limit}"))),
        (Some(limit), sum) => Ok(Some(sum - limit)),
    }
}

fn number(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

pub(super) fn cpu(cpu: &LinuxCpu, present: Present) -> Vec<Write> {
    let mut writes = Vec::new();
    writes.extend(cpu.idle().map(|idle| Write::new("cpu", "cpu.idle", idle)));
    // An idle group refuses a weight.
    let shares = cpu.shares().filter(|shares| *shares != 0 && cpu.idle() != Some(1));
    writes.extend(shares.map(|shares| Write::new("cpu", "cpu.weight", weight(shares))));
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        // One file has both: what is not given stays.
        let quota = quota.map_or(present.quota, |quota| u64::try_from(quota).ok());
        let quota = quota.map_or("max".to_owned(), |quota| quota.to_string());
        let value = format!("{quota} {}", period.or(present.period).unwrap_or(DEFAULT_PERIOD));
        writes.push(Write::new("cpu", "cpu.max", value).retried());
    }
    writes.extend(cpu.burst().map(|burst| Write::new("cpu", "cpu.max.burst", burst).retried()));
    writes
}

/// Shares 2..=262144 to weight 1..=10000 on a curve that maps 1024, v1's default, to 100, v2's default.
pub(super) fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
        }
    }
}

pub(super) fn block_io(io: &LinuxBlockIo) -> Vec<Write> {
    let mut writes = Vec::new();
    let weight = io.weight().filter(|weight| *weight != 0);
    writes.extend(weight.map(|weight| Write::new("io", "io.bfq.weight", weight).or("io.weight", io_weight(weight))));
    for device in io.weight_device().iter().flatten() {
        writes.extend(device.weight().map(|weight| {
            let line = |weight: u64| format!("{}:{} {weight}", device.major(), device.minor());
            Write::new("io", "io.bfq.weight", line(weight.into())).or("io.weight", line(io_weight(weight)))
        }));
    }
    let throttles = [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ];
    for (key, devices) in throttles {
        writes.extend(
            devices
                .iter()
                .flatten()
                .map(|device| Write::new("io", "io.max", format!("{}:{} {key}={}", device.major(), device.minor(), device.rate()))),
        );
    }
    writes
}

/// 10..=1000 to 1..=10000.
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.clamp(10, 1000) - 10) * 9999 / 990
}

pub(super) fn huge_pages(limit: &LinuxHugepageLimit) -> Vec<Write> {
    let file = |middle: &str| format!("hugetlb.{}.{middle}max", limit.page_size());
    vec![Write::new("hugetlb", file(""), limit.limit()), Write::new("hugetlb", file("rsvd."), limit.limit()).optional()]
}
