//! Limits: what is refused, what is filled in, what this kernel cannot do and is left out with a warning.

use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::model::Resources;
use dhow_runtime::cgroup::Mode;

/// 6 MiB: below that a container cannot even start.
const MEMORY_MIN: i64 = 6 * 1024 * 1024;

fn bad<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::Invalid, message))
}

/// Checks and completes limits; answers warnings about those that were dropped.
pub(crate) fn check(resources: &mut Resources, host: &Host) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    memory(resources, host, &mut warnings)?;
    cpu(resources, host)?;
    if resources.pids_limit.is_some_and(|n| n <= 0) {
        resources.pids_limit = None;
    }
    if resources.blkio_weight != 0 && !(10..=1000).contains(&resources.blkio_weight) {
        return bad("Range of blkio weight is from 10 to 1000");
    }
    Ok(warnings)
}

fn memory(r: &mut Resources, host: &Host, warnings: &mut Vec<String>) -> Result<()> {
    if r.memory != 0 && r.memory < MEMORY_MIN {
        return bad("Minimum memory limit allowed is 6MB");
    }
    if r.memory > 0 && r.memory_swap > 0 && r.memory_swap < r.memory {
        return bad("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if r.memory == 0 && r.memory_swap > 0 {
        return bad("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if r.memory_swap < -1 {
        return bad("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if let Some(value) = r.memory_swappiness
        && value > 100
    {
        return bad(format!("Invalid value: {value}, valid memory swappiness range is 0-100"));
    }
    if r.memory_reservation != 0 && r.memory_reservation < MEMORY_MIN {
        return bad("Minimum memory reservation allowed is 6MB");
    }
    if r.memory > 0 && r.memory_reservation > 0 && r.memory < r.memory_reservation {
        return bad("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    if r.memory > 0 && r.memory_swap != -1 && !host.swap_limit {
        warnings
            .push("Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.".into());
        r.memory_swap = -1;
    } else if r.memory > 0 && r.memory_swap == 0 {
        r.memory_swap = r.memory.saturating_mul(2);
    }
    if host.cgroups == Mode::V2 {
        if r.memory_swappiness.take().is_some() {
            warnings.push(
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded."
                    .into(),
            );
        }
        if std::mem::take(&mut r.oom_kill_disable) {
            warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".into());
        }
    } else if r.oom_kill_disable && r.memory == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources."
                .into(),
        );
    }
    Ok(())
}

fn cpu(r: &Resources, host: &Host) -> Result<()> {
    if r.nano_cpus > 0 && r.cpu_period > 0 {
        return bad("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if r.nano_cpus > 0 && r.cpu_quota > 0 {
        return bad("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    if r.nano_cpus < 0 || r.nano_cpus > i64::from(host.cpus) * 1_000_000_000 {
        return bad(format!("range of CPUs is from 0.01 to {0}.00, as there are only {0} CPUs available", host.cpus));
    }
    if r.cpu_period != 0 && !(1000..=1_000_000).contains(&r.cpu_period) {
        return bad("CPU cfs period cannot be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    }
    if r.cpu_quota > 0 && r.cpu_quota < 1000 {
        return bad("CPU cfs quota cannot be less than 1ms (i.e. 1000)");
    }
    for (what, value) in [("cpus", &r.cpuset_cpus), ("mems", &r.cpuset_mems)] {
        let highest = list_highest(value).ok_or_else(|| Error::new(Kind::Invalid, format!("Invalid value {value} for cpuset {what}")))?;
        if what == "cpus" && highest.is_some_and(|n| n > host.last_cpu) {
            return bad(format!("Requested CPUs are not available - requested {value}, available: 0-{}", host.last_cpu));
        }
    }
    Ok(())
}

/// The highest number of a list such as `0-2,7`; `None` where it is not such a list.
fn list_highest(text: &str) -> Option<Option<u32>> {
    if text.is_empty() {
        return Some(None);
    }
    let mut highest = 0;
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.trim().parse::<u32>().ok()?, to.trim().parse::<u32>().ok()?);
        if from > to || to > 8192 {
            return None;
        }
        highest = highest.max(to);
    }
    Some(Some(highest))
}

/// Puts changed limits over those in force. Zero and `None` change nothing. Answers the whole set, checked.
pub(crate) fn merge_update(current: &Resources, change: &Resources, host: &Host) -> Result<(Resources, Vec<String>)> {
    let mut merged = current.clone();
    if change.memory > 0 && change.memory_swap == 0 && current.memory_swap > 0 && change.memory > current.memory_swap {
        return bad("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
    }
    if change.nano_cpus > 0 && (current.cpu_period > 0 || current.cpu_quota > 0) {
        return bad("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set");
    }
    if (change.cpu_period > 0 || change.cpu_quota > 0) && current.nano_cpus > 0 {
        return bad("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set");
    }
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
        cpuset_cpus,
        cpuset_mems,
        pids_limit,
        blkio_weight
    );
    let warnings = check(&mut merged, host)?;
    Ok((merged, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: i64 = 1024 * 1024;

    fn host() -> Host {
        Host { cpus: 2, last_cpu: 1, cgroups: Mode::Hybrid, swap_limit: true, thermal: vec![], kernel: (6, 1), recursive_read_only: true }
    }

    fn refused(resources: Resources, message: &str) {
        assert_eq!(check(&mut resources.clone(), &host()).unwrap_err().message, message);
    }

    #[test]
    fn refusals_in_dockers_words() {
        refused(Resources { memory: 5 * MIB, ..Default::default() }, "Minimum memory limit allowed is 6MB");
        refused(Resources { memory: -1, ..Default::default() }, "Minimum memory limit allowed is 6MB");
        refused(
            Resources { memory: 64 * MIB, memory_swap: 32 * MIB, ..Default::default() },
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        );
        refused(
            Resources { memory_swap: 32 * MIB, ..Default::default() },
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
        refused(
            Resources { nano_cpus: 2_500_000_000, ..Default::default() },
            "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        );
        refused(
            Resources { nano_cpus: 1, cpu_period: 1000, ..Default::default() },
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        );
        refused(Resources { blkio_weight: 5, ..Default::default() }, "Range of blkio weight is from 10 to 1000");
        refused(Resources { cpuset_cpus: "x".into(), ..Default::default() }, "Invalid value x for cpuset cpus");
        refused(
            Resources { cpuset_cpus: "0-5".into(), ..Default::default() },
            "Requested CPUs are not available - requested 0-5, available: 0-1",
        );
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let mut r = Resources { memory: 64 * MIB, pids_limit: Some(-1), ..Default::default() };
        assert!(check(&mut r, &host()).unwrap().is_empty());
        assert_eq!((r.memory_swap, r.pids_limit), (128 * MIB, None));
        let mut r = Resources { memory: 64 * MIB, ..Default::default() };
        let warnings = check(&mut r, &Host { swap_limit: false, ..host() }).unwrap();
        assert_eq!((r.memory_swap, warnings.len()), (-1, 1));
        let mut r = Resources { memory_swappiness: Some(3), ..Default::default() };
        assert_eq!(check(&mut r, &Host { cgroups: Mode::V2, ..host() }).unwrap().len(), 1);
        assert_eq!(r.memory_swappiness, None);
    }

    #[test]
    fn updates_change_only_what_they_name() {
        let current = Resources { memory: 64 * MIB, memory_swap: 128 * MIB, cpu_shares: 5, ..Default::default() };
        let (merged, _) = merge_update(&current, &Resources { cpu_shares: 7, ..Default::default() }, &host()).unwrap();
        assert_eq!(merged, Resources { cpu_shares: 7, ..current.clone() });
        let error = merge_update(&current, &Resources { memory: 256 * MIB, ..Default::default() }, &host()).unwrap_err();
        assert!(error.message.starts_with("Memory limit should be smaller"));
    }
}
