//! How a process is scheduled, and where its memory comes from: a specification's words in the kernel's numbers. Pure.

use crate::error::{Failure, Result};
use dhow_sys::sched::Attributes;
use oci_spec::runtime::{
    ExecCPUAffinity, IOPriorityClass, LinuxIOPriority, LinuxMemoryPolicy, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType,
    MemoryPolicyModeType, Scheduler,
};

/// Above every number of a processor or a node.
const NUMBERS: u32 = 8192;

/// Processors for a further process: before it enters the container's cgroup, and afterwards. Empty: as it comes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Affinity {
    pub(crate) initial: Vec<u32>,
    pub(crate) last: Vec<u32>,
}

/// `process.scheduler`.
pub(crate) fn scheduler(wanted: &Scheduler) -> Result<Attributes> {
    use LinuxSchedulerPolicy as P;
    let policy = match wanted.policy() {
        P::SchedOther => 0,
        P::SchedFifo => 1,
        P::SchedRr => 2,
        P::SchedBatch => 3,
        P::SchedIso => 4,
        P::SchedIdle => 5,
        P::SchedDeadline => 6,
    };
    let nice = wanted.nice().unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(Failure::invalid("process.scheduler.nice", "must be between -20 and 19"));
    }
    let priority = wanted.priority().unwrap_or(0);
    let real_time = matches!(wanted.policy(), P::SchedFifo | P::SchedRr);
    if priority != 0 && !real_time {
        return Err(Failure::invalid("process.scheduler.priority", "is for SCHED_FIFO and SCHED_RR only"));
    }
    if real_time && !(1..=99).contains(&priority) {
        return Err(Failure::invalid("process.scheduler.priority", "must be between 1 and 99"));
    }
    let times = [("runtime", wanted.runtime()), ("deadline", wanted.deadline()), ("period", wanted.period())];
    for (name, time) in times {
        if time.is_some_and(|time| time != 0) && *wanted.policy() != P::SchedDeadline {
            return Err(Failure::invalid(format!("process.scheduler.{name}"), "is for SCHED_DEADLINE only"));
        }
    }
    let [runtime, deadline, period] = times.map(|(_, time)| time.unwrap_or(0));
    let flags = wanted.flags().iter().flatten().fold(0, |all, flag| all | scheduler_flag(*flag));
    Ok(Attributes { policy, flags, nice, priority: priority.unsigned_abs(), runtime, deadline, period })
}

fn scheduler_flag(flag: LinuxSchedulerFlag) -> u64 {
    use LinuxSchedulerFlag as F;
    match flag {
        F::SchedResetOnFork => 0x01,
        F::SchedFlagReclaim => 0x02,
        F::SchedFlagDLOverrun => 0x04,
        F::SchedFlagKeepPolicy => 0x08,
        F::SchedFlagKeepParams => 0x10,
        F::SchedFlagUtilClampMin => 0x20,
        F::SchedFlagUtilClampMax => 0x40,
    }
}

/// `process.ioPriority`: class and level.
pub(crate) fn io_priority(wanted: &LinuxIOPriority) -> Result<(u16, u16)> {
    let class = match wanted.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let level = u16::try_from(wanted.priority()).ok().filter(|level| *level <= 7);
    level.map(|level| (class, level)).ok_or_else(|| Failure::invalid("process.ioPriority.priority", "must be between 0 and 7"))
}

/// `process.execCPUAffinity`.
pub(crate) fn affinity(wanted: &ExecCPUAffinity) -> Result<Affinity> {
    let of = |name: &str, text: &Option<String>| {
        let text = text.as_deref().unwrap_or_default();
        list(text).ok_or_else(|| Failure::invalid(format!("process.execCPUAffinity.{name}"), format!("{text:?} is no list of processors")))
    };
    Ok(Affinity { initial: of("initial", wanted.initial())?, last: of("final", wanted.cpu_affinity_final())? })
}

/// `linux.memoryPolicy`: mode with its flags, and nodes.
pub(crate) fn memory_policy(wanted: &LinuxMemoryPolicy) -> Result<(i32, Vec<u32>)> {
    use MemoryPolicyModeType as M;
    let mode = match wanted.mode() {
        M::MpolDefault => 0,
        M::MpolPreferred => 1,
        M::MpolBind => 2,
        M::MpolInterleave => 3,
        M::MpolLocal => 4,
        M::MpolPreferredMany => 5,
        M::MpolWeightedInterleave => 6,
    };
    let text = wanted.nodes().as_deref().unwrap_or_default();
    let nodes = list(text);
    let nodes = nodes.ok_or_else(|| Failure::invalid("linux.memoryPolicy.nodes", format!("{text:?} is no list of memory nodes")))?;
    match wanted.mode() {
        M::MpolDefault | M::MpolLocal if !nodes.is_empty() => {
            return Err(Failure::invalid("linux.memoryPolicy.nodes", "must be empty with this mode"));
        }
        M::MpolBind | M::MpolInterleave | M::MpolPreferredMany | M::MpolWeightedInterleave if nodes.is_empty() => {
            return Err(Failure::invalid("linux.memoryPolicy.nodes", "must not be empty with this mode"));
        }
        _ => {}
    }
    let flag = |flag: &MemoryPolicyFlagType| match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
    };
    Ok((wanted.flags().iter().flatten().map(flag).fold(mode, |all, flag| all | flag), nodes))
}

/// Numbers and ranges behind commas, as the kernel writes them; `None` for anything else.
fn list(text: &str) -> Option<Vec<u32>> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n < NUMBERS && text.bytes().all(|b| b.is_ascii_digit()));
    let mut all = Vec::new();
    for part in text.trim().split(',').filter(|_| !text.trim().is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        all.extend(first..=last);
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn field<T>(found: Result<T>) -> String {
        found.err().map(|failure| failure.object).unwrap_or_default()
    }

    #[test]
    fn lists() {
        for (text, expect) in [
            ("", Some(vec![])),
            ("0", Some(vec![0])),
            ("0-3,7", Some(vec![0, 1, 2, 3, 7])),
            ("7,0-1,1", Some(vec![0, 1, 7])),
            ("3-1", None),
            ("1,", None),
            ("a", None),
            ("-1", None),
            ("+1", None),
            ("0-4294967295", None),
        ] {
            assert_eq!(list(text), expect, "{text}");
        }
    }

    #[test]
    fn policies() {
        let of = |value: Value| scheduler(&serde_json::from_value(value).unwrap());
        let plain = of(json!({"policy": "SCHED_BATCH", "nice": 3, "flags": ["SCHED_RESET_ON_FORK"]})).unwrap();
        assert_eq!((plain.policy, plain.nice, plain.flags), (3, 3, 1));
        let deadline = of(json!({"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3})).unwrap();
        assert_eq!((deadline.policy, deadline.runtime, deadline.deadline, deadline.period), (6, 1, 2, 3));
        assert_eq!(of(json!({"policy": "SCHED_FIFO", "priority": 99})).unwrap().priority, 99);
        for (value, expect) in [
            (json!({"policy": "SCHED_OTHER", "nice": 20}), "process.scheduler.nice"),
            (json!({"policy": "SCHED_OTHER", "priority": 1}), "process.scheduler.priority"),
            (json!({"policy": "SCHED_RR", "priority": 100}), "process.scheduler.priority"),
            (json!({"policy": "SCHED_RR"}), "process.scheduler.priority"),
            (json!({"policy": "SCHED_OTHER", "period": 1}), "process.scheduler.period"),
        ] {
            assert_eq!(field(of(value)), expect);
        }
    }

    #[test]
    fn the_rest() {
        let priority = |level: i64| io_priority(&serde_json::from_value(json!({"class": "IOPRIO_CLASS_BE", "priority": level})).unwrap());
        assert_eq!(priority(7).unwrap(), (2, 7));
        assert_eq!(field(priority(8)), "process.ioPriority.priority");
        let policy = |mode: &str, nodes: &str| {
            let value = json!({"mode": mode, "nodes": nodes, "flags": ["MPOL_F_STATIC_NODES"]});
            memory_policy(&serde_json::from_value(value).unwrap())
        };
        assert_eq!(policy("MPOL_BIND", "0-1").unwrap(), (2 | 1 << 15, vec![0, 1]));
        assert_eq!(field(policy("MPOL_BIND", "")), "linux.memoryPolicy.nodes");
        assert_eq!(field(policy("MPOL_LOCAL", "0")), "linux.memoryPolicy.nodes");
    }
}
