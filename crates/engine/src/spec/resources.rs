//! Limits in the specification's words.

use crate::model::{Resources, Ulimit};
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxMemory, LinuxPids, LinuxResources, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

/// Period of a CPU quota in microseconds.
const PERIOD: u64 = 100_000;

/// Limits and device rules. `block` has been looked up on the host.
pub(crate) fn build(limits: &Resources, devices: Vec<LinuxDeviceCgroup>, block: LinuxBlockIo) -> LinuxResources {
    let mut resources = changes(limits);
    resources.set_devices(Some(devices)).set_block_io(Some(block).filter(|block| *block != LinuxBlockIo::default()));
    resources
}

/// Limits of a running container after a change, which may take one away.
pub(crate) fn update(limits: &Resources, change: &Resources) -> LinuxResources {
    let mut resources = changes(limits);
    if change.pids_limit.is_some_and(|n| n <= 0) {
        let mut pids = LinuxPids::default();
        pids.set_limit(-1);
        resources.set_pids(Some(pids));
    }
    resources
}

/// Limits alone.
fn changes(r: &Resources) -> LinuxResources {
    let mut resources = LinuxResources::default();
    resources.set_memory(memory(r)).set_cpu(cpu(r));
    if let Some(limit) = r.pids_limit.filter(|n| *n > 0) {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    if r.blkio_weight != 0 {
        let mut block = LinuxBlockIo::default();
        block.set_weight(Some(r.blkio_weight));
        resources.set_block_io(Some(block));
    }
    resources
}

fn nonzero<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

fn memory(r: &Resources) -> Option<LinuxMemory> {
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(nonzero(r.memory))
        .set_reservation(nonzero(r.memory_reservation))
        .set_swap(nonzero(r.memory_swap))
        .set_swappiness(r.memory_swappiness)
        .set_disable_oom_killer(r.oom_kill_disable.then_some(true));
    (memory != LinuxMemory::default()).then_some(memory)
}

fn cpu(r: &Resources) -> Option<LinuxCpu> {
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(nonzero(r.cpu_shares))
        .set_quota(nonzero(r.cpu_quota))
        .set_period(nonzero(r.cpu_period))
        .set_cpus(nonzero(r.cpuset_cpus.clone()))
        .set_mems(nonzero(r.cpuset_mems.clone()))
        .set_realtime_period(nonzero(r.cpu_realtime_period))
        .set_realtime_runtime(nonzero(r.cpu_realtime_runtime));
    if r.nano_cpus > 0 {
        // The kernel refuses a quota below a millisecond.
        cpu.set_quota(Some((r.nano_cpus / 10_000).max(1000))).set_period(Some(PERIOD));
    }
    (cpu != LinuxCpu::default()).then_some(cpu)
}

/// The limit named by a `--ulimit`.
pub(crate) fn rlimit_type(name: &str) -> Option<PosixRlimitType> {
    use PosixRlimitType as T;
    Some(match name {
        "core" => T::RlimitCore,
        "cpu" => T::RlimitCpu,
        "data" => T::RlimitData,
        "fsize" => T::RlimitFsize,
        "locks" => T::RlimitLocks,
        "memlock" => T::RlimitMemlock,
        "msgqueue" => T::RlimitMsgqueue,
        "nice" => T::RlimitNice,
        "nofile" => T::RlimitNofile,
        "nproc" => T::RlimitNproc,
        "rss" => T::RlimitRss,
        "rtprio" => T::RlimitRtprio,
        "rttime" => T::RlimitRttime,
        "sigpending" => T::RlimitSigpending,
        "stack" => T::RlimitStack,
        _ => return None,
    })
}

/// In the specification's words; -1 is no limit.
pub(crate) fn rlimit(limit: &Ulimit) -> Option<PosixRlimit> {
    let value = |n: i64| u64::try_from(n).unwrap_or(u64::MAX);
    PosixRlimitBuilder::default().typ(rlimit_type(&limit.name)?).hard(value(limit.hard)).soft(value(limit.soft)).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_cpus_become_a_quota() {
        let quota = |nano_cpus| cpu(&Resources { nano_cpus, ..Resources::default() }).and_then(|c| c.quota());
        assert_eq!(quota(1_500_000_000), Some(150_000));
        assert_eq!(quota(1), Some(1000));
        assert_eq!(quota(0), None);
    }

    #[test]
    fn no_limits_say_nothing() {
        assert_eq!(changes(&Resources::default()), LinuxResources::default());
    }
}
