//! Limits: what is refused, what is filled in, what this kernel cannot do and is left out with a warning.
//! The order is Docker's, because the first complaint is the one that people see.

use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::model::Resources;
use dhow_runtime::cgroup::Features;
use std::collections::BTreeSet;

/// 6 MiB: below that a container cannot even start.
const MEMORY_MIN: i64 = 6 * 1024 * 1024;

/// Longest list of CPUs or memory nodes that is looked at.
const MOST_IN_LIST: u32 = 8192;

fn bad<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::Invalid, message))
}

/// Drops a wish that the kernel cannot grant, with Docker's words for it.
fn discard(warnings: &mut Vec<String>, asked: bool, possible: bool, words: &str) -> bool {
    let drop = asked && !possible;
    if drop {
        warnings.push(format!("Your kernel does not support {words} discarded."));
    }
    drop
}

/// Checks and completes the limits of a new container; answers warnings about those that were dropped.
pub(crate) fn check(resources: &mut Resources, host: &Host) -> Result<Vec<String>> {
    let warnings = verify(resources, host, false)?;
    fill(resources);
    resources.pids_limit = resources.pids_limit.filter(|n| *n > 0);
    Ok(warnings)
}

fn fill(resources: &mut Resources) {
    if resources.memory > 0 && resources.memory_swap == 0 {
        resources.memory_swap = resources.memory.saturating_mul(2);
    }
}

/// `update`: a change that need not be whole.
fn verify(resources: &mut Resources, host: &Host, update: bool) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    memory(resources, &host.features, update, &mut warnings)?;
    cpu(resources, host, &mut warnings)?;
    block(resources, &host.features, &mut warnings)?;
    Ok(warnings)
}

fn memory(r: &mut Resources, features: &Features, update: bool, warnings: &mut Vec<String>) -> Result<()> {
    if r.memory != 0 && r.memory < MEMORY_MIN {
        return bad("Minimum memory limit allowed is 6MB");
    }
    if discard(warnings, r.memory > 0, features.memory, "memory limit capabilities or the cgroup is not mounted. Limitation") {
        (r.memory, r.memory_swap) = (0, -1);
    }
    if r.memory > 0 && r.memory_swap != -1 && !features.swap {
        warnings
            .push("Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.".into());
        r.memory_swap = -1;
    }
    let small_swap = "Minimum memoryswap limit should be larger than memory limit, see usage";
    if r.memory > 0 && r.memory_swap > 0 && r.memory_swap < r.memory {
        return bad(small_swap);
    }
    if r.memory == 0 && r.memory_swap > 0 && !update {
        return bad("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if r.memory_swap < -1 {
        return bad(small_swap);
    }
    let swappiness = "memory swappiness capabilities or the cgroup is not mounted. Memory swappiness";
    if discard(warnings, r.memory_swappiness.is_some(), features.swappiness, swappiness) {
        r.memory_swappiness = None;
    }
    if let Some(value) = r.memory_swappiness
        && value > 100
    {
        return bad(format!("Invalid value: {value}, valid memory swappiness range is 0-100"));
    }
    let soft = "memory soft limit capabilities or the cgroup is not mounted. Limitation";
    if discard(warnings, r.memory_reservation > 0, features.reservation, soft) {
        r.memory_reservation = 0;
    }
    // Less than nothing is none.
    r.memory_reservation = r.memory_reservation.max(0);
    if r.memory_reservation != 0 && r.memory_reservation < MEMORY_MIN {
        return bad("Minimum memory reservation allowed is 6MB");
    }
    if r.memory > 0 && r.memory_reservation > 0 && r.memory < r.memory_reservation {
        return bad("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    if discard(warnings, r.oom_kill_disable, features.oom_kill_disable, "OomKillDisable. OomKillDisable") {
        r.oom_kill_disable = false;
    }
    if r.oom_kill_disable && r.memory == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources."
                .into(),
        );
    }
    let pids = "PIDs limit capabilities or the cgroup is not mounted. PIDs limit";
    if discard(warnings, r.pids_limit.is_some_and(|n| n > 0), features.pids, pids) {
        r.pids_limit = None;
    }
    Ok(())
}

fn cpu(r: &mut Resources, host: &Host, warnings: &mut Vec<String>) -> Result<()> {
    let features = &host.features;
    if r.nano_cpus > 0 && r.cpu_period > 0 {
        return bad("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if r.nano_cpus > 0 && r.cpu_quota > 0 {
        return bad("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    if r.nano_cpus > 0 && !features.cpu_quota {
        return bad("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted");
    }
    if r.nano_cpus < 0 || r.nano_cpus > i64::from(host.cpus) * 1_000_000_000 {
        return bad(format!("range of CPUs is from 0.01 to {0}.00, as there are only {0} CPUs available", host.cpus));
    }
    if discard(warnings, r.cpu_shares > 0, features.cpu_shares, "CPU shares or the cgroup is not mounted. Shares") {
        r.cpu_shares = 0;
    }
    if discard(warnings, r.cpu_period != 0 || r.cpu_quota != 0, features.cpu_quota, "CPU CFS scheduler. CPU period/quota") {
        (r.cpu_period, r.cpu_quota) = (0, 0);
    }
    if r.cpu_period != 0 && !(1000..=1_000_000).contains(&r.cpu_period) {
        return bad("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    }
    if r.cpu_quota > 0 && r.cpu_quota < 1000 {
        return bad("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    let sets = !r.cpuset_cpus.is_empty() || !r.cpuset_mems.is_empty();
    if discard(warnings, sets, features.cpuset, "cpuset or the cgroup is not mounted. Cpuset") {
        r.cpuset_cpus.clear();
        r.cpuset_mems.clear();
    }
    for (short, long, asked, there) in
        [("cpus", "CPUs", &r.cpuset_cpus, &features.cpus), ("mems", "memory nodes", &r.cpuset_mems, &features.mems)]
    {
        let asked_set = list(asked).or_else(|why| bad(format!("Invalid value {asked} for cpuset {short}: {why}")))?;
        let there_set = list(there).unwrap_or_default();
        if !there_set.is_empty() && !asked_set.is_subset(&there_set) {
            return bad(format!("Requested {long} are not available - requested {asked}, available: {there}"));
        }
    }
    Ok(())
}

/// The numbers of a list such as `0-2,7`.
fn list(text: &str) -> Result<BTreeSet<u32>, String> {
    let mut numbers = BTreeSet::new();
    if text.is_empty() {
        return Ok(numbers);
    }
    let wrong = || format!("invalid format: {text}");
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u32, u32) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
        if from > to {
            return Err(wrong());
        }
        if to > MOST_IN_LIST {
            return Err(format!("value of out range, maximum is {MOST_IN_LIST}"));
        }
        numbers.extend(from..=to);
    }
    Ok(numbers)
}

fn block(r: &mut Resources, features: &Features, warnings: &mut Vec<String>) -> Result<()> {
    if discard(warnings, r.blkio_weight > 0, features.blkio_weight, "Block I/O weight or the cgroup is not mounted. Weight") {
        r.blkio_weight = 0;
    }
    if r.blkio_weight != 0 && !(10..=1000).contains(&r.blkio_weight) {
        return bad("Range of blkio weight is from 10 to 1000");
    }
    let [read_bps, write_bps, read_iops, write_iops] = features.blkio_throttle;
    let kinds = [
        (&mut r.weight_devices, features.blkio_weight_device, "Block I/O weight_device", "Weight-device"),
        (&mut r.read_bps, read_bps, "BPS Block I/O read limit", "Block I/O BPS read limit"),
        (&mut r.write_bps, write_bps, "BPS Block I/O write limit", "Block I/O BPS write limit"),
        (&mut r.read_iops, read_iops, "IOPS Block read limit", "Block I/O IOPS read limit"),
        (&mut r.write_iops, write_iops, "IOPS Block write limit", "Block I/O IOPS write limit"),
    ];
    for (given, possible, what, dropped) in kinds {
        if discard(warnings, !given.is_empty(), possible, &format!("{what} or the cgroup is not mounted. {dropped}")) {
            given.clear();
        }
    }
    Ok(())
}

/// Puts changed limits over those in force. Zero and `None` change nothing. Answers the whole set, checked.
pub(crate) fn merge_update(id: &str, current: &Resources, change: &Resources, host: &Host) -> Result<(Resources, Vec<String>)> {
    let mut change = change.clone();
    let warnings = verify(&mut change, host, true)?;
    let refuse = |why: &str| Error::new(Kind::Conflict, format!("Cannot update container {id}: {why}"));
    conflicts(current, &change).map_or(Ok(()), |why| Err(refuse(why)))?;
    let mut merged = current.clone();
    let none = Resources::default();
    macro_rules! take {
        ($($field:ident),*) => { $( if change.$field != none.$field { merged.$field = change.$field.clone(); } )* };
    }
    take!(
        memory,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        nano_cpus,
        cpu_shares,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        pids_limit,
        blkio_weight
    );
    // Docker shows a limit that was taken away as 0.
    merged.pids_limit = merged.pids_limit.map(|n| n.max(0));
    // Each may be right alone and wrong together: the kernel would refuse it or kill.
    let mut unheard = Vec::new();
    memory(&mut merged, &host.features, false, &mut unheard).map_err(|e| refuse(&e.message))?;
    fill(&mut merged);
    Ok((merged, warnings))
}

/// What cannot go with what is in force.
fn conflicts(current: &Resources, change: &Resources) -> Option<&'static str> {
    let (now, then) = (current, change);
    Some(if then.nano_cpus > 0 && now.cpu_period > 0 {
        "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set"
    } else if then.nano_cpus > 0 && now.cpu_quota > 0 {
        "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"
    } else if then.cpu_period > 0 && now.nano_cpus > 0 {
        "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set"
    } else if then.cpu_quota > 0 && now.nano_cpus > 0 {
        "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"
    } else if then.memory > 0 && then.memory_swap == 0 && now.memory_swap > 0 && then.memory > now.memory_swap {
        "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
    } else {
        return None;
    })
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
