//! The `process` of a specification, checked and in the form that system calls take. Pure.

use crate::capmask;
use crate::error::{Failure, Result};
use crate::schedplan::{self, Affinity};
use dhow_sys::caps::Caps;
use dhow_sys::sched::Attributes;
use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Process};
use rustix::process::{Resource, Rlimit};
use std::ffi::CString;
use std::path::PathBuf;

/// What runs, as whom, with which limits.
#[derive(Debug)]
pub(crate) struct ProcessPlan {
    pub(crate) args: Vec<CString>,
    /// `NAME=value`; without HOME it is completed inside the container.
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: PathBuf,
    pub(crate) terminal: bool,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// The caller's supplementary groups stay, since nobody may change them.
    pub(crate) keeps_groups: bool,
    pub(crate) umask: u32,
    pub(crate) caps: Caps,
    pub(crate) rlimits: Vec<(&'static str, Resource, Rlimit)>,
    pub(crate) no_new_privs: bool,
    /// `None`: the caller's own is left, as the specification wants.
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) apparmor: Option<String>,
    pub(crate) selinux: Option<String>,
    pub(crate) scheduler: Option<Attributes>,
    /// Class and level.
    pub(crate) io_priority: Option<(u16, u16)>,
    /// Of a further process only.
    pub(crate) affinity: Affinity,
    /// Rows and columns.
    pub(crate) console_size: Option<(u16, u16)>,
}

impl ProcessPlan {
    /// Its exec enters a security module's domain.
    pub(crate) fn is_labelled(&self) -> bool {
        self.apparmor.is_some() || self.selinux.is_some()
    }
}

/// Checks and converts. Errors name the field.
pub(crate) fn plan(process: &Process) -> Result<ProcessPlan> {
    let args = strings("process.args", process.args().as_deref().unwrap_or_default())?;
    if args.is_empty() {
        return Err(Failure::invalid("process.args", "must not be empty"));
    }
    let env = strings("process.env", process.env().as_deref().unwrap_or_default())?;
    for (n, entry) in env.iter().enumerate() {
        if !entry.as_bytes().iter().skip(1).any(|&b| b == b'=') {
            return Err(Failure::invalid(format!("process.env[{n}]"), "must be NAME=value"));
        }
    }
    if !process.cwd().is_absolute() {
        return Err(Failure::invalid("process.cwd", "must be an absolute path"));
    }
    let user = process.user();
    let groups = user.additional_gids().clone().unwrap_or_default();
    // The largest number means "leave as it is" to the kernel.
    for (field, id) in [("uid", user.uid()), ("gid", user.gid())].into_iter().chain(groups.iter().map(|&g| ("additionalGids", g))) {
        if id == u32::MAX {
            return Err(Failure::invalid(format!("process.user.{field}"), "is not a valid id"));
        }
    }
    let umask = user.umask().unwrap_or(0o022);
    if umask > 0o777 {
        return Err(Failure::invalid("process.user.umask", "must be at most 0777"));
    }
    if process.oom_score_adj().is_some_and(|adj| !(-1000..=1000).contains(&adj)) {
        return Err(Failure::invalid("process.oomScoreAdj", "must be between -1000 and 1000"));
    }
    Ok(ProcessPlan {
        args,
        env,
        cwd: process.cwd().clone(),
        terminal: process.terminal().unwrap_or(false),
        uid: user.uid(),
        gid: user.gid(),
        groups,
        keeps_groups: false,
        umask,
        caps: capmask::sets(process.capabilities().as_ref()),
        rlimits: rlimits(process.rlimits().as_deref().unwrap_or_default())?,
        no_new_privs: process.no_new_privileges().unwrap_or(false),
        oom_score_adj: process.oom_score_adj(),
        apparmor: process.apparmor_profile().clone().filter(|profile| !profile.is_empty()),
        selinux: process.selinux_label().clone().filter(|label| !label.is_empty()),
        scheduler: process.scheduler().as_ref().map(schedplan::scheduler).transpose()?,
        io_priority: process.io_priority().as_ref().map(schedplan::io_priority).transpose()?,
        affinity: process.exec_cpu_affinity().as_ref().map(schedplan::affinity).transpose()?.unwrap_or_default(),
        console_size: process.console_size().filter(|size| size.height() > 0 && size.width() > 0).map(|size| {
            let cells = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
            (cells(size.height()), cells(size.width()))
        }),
    })
}

fn strings(field: &str, values: &[String]) -> Result<Vec<CString>> {
    let convert = |(n, value): (usize, &String)| {
        CString::new(value.as_str()).map_err(|_| Failure::invalid(format!("{field}[{n}]"), "holds a NUL byte"))
    };
    values.iter().enumerate().map(convert).collect()
}

fn rlimits(limits: &[PosixRlimit]) -> Result<Vec<(&'static str, Resource, Rlimit)>> {
    let mut all: Vec<(&'static str, Resource, Rlimit)> = Vec::with_capacity(limits.len());
    for limit in limits {
        let (name, resource) = resource(limit.typ());
        if limit.soft() > limit.hard() {
            return Err(Failure::invalid(format!("process.rlimits.{name}"), "the soft limit is above the hard limit"));
        }
        if all.iter().any(|(other, ..)| *other == name) {
            return Err(Failure::invalid(format!("process.rlimits.{name}"), "is given twice"));
        }
        // The largest number means no limit.
        let number = |n: u64| (n != u64::MAX).then_some(n);
        all.push((name, resource, Rlimit { current: number(limit.soft()), maximum: number(limit.hard()) }));
    }
    Ok(all)
}

fn resource(kind: PosixRlimitType) -> (&'static str, Resource) {
    use PosixRlimitType as P;
    match kind {
        P::RlimitCpu => ("RLIMIT_CPU", Resource::Cpu),
        P::RlimitFsize => ("RLIMIT_FSIZE", Resource::Fsize),
        P::RlimitData => ("RLIMIT_DATA", Resource::Data),
        P::RlimitStack => ("RLIMIT_STACK", Resource::Stack),
        P::RlimitCore => ("RLIMIT_CORE", Resource::Core),
        P::RlimitRss => ("RLIMIT_RSS", Resource::Rss),
        P::RlimitNproc => ("RLIMIT_NPROC", Resource::Nproc),
        P::RlimitNofile => ("RLIMIT_NOFILE", Resource::Nofile),
        P::RlimitMemlock => ("RLIMIT_MEMLOCK", Resource::Memlock),
        P::RlimitAs => ("RLIMIT_AS", Resource::As),
        P::RlimitLocks => ("RLIMIT_LOCKS", Resource::Locks),
        P::RlimitSigpending => ("RLIMIT_SIGPENDING", Resource::Sigpending),
        P::RlimitMsgqueue => ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
        P::RlimitNice => ("RLIMIT_NICE", Resource::Nice),
        P::RlimitRtprio => ("RLIMIT_RTPRIO", Resource::Rtprio),
        P::RlimitRttime => ("RLIMIT_RTTIME", Resource::Rttime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(change: Value) -> Result<ProcessPlan> {
        let mut all = json!({"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"});
        for (key, value) in change.as_object().unwrap() {
            all[key] = value.clone();
        }
        plan(&serde_json::from_value(all).unwrap())
    }

    fn refused(change: Value, field: &str) {
        let failure = of(change).unwrap_err();
        assert_eq!((failure.kind, failure.object.as_str()), (crate::Kind::Invalid, field));
    }

    #[test]
    fn defaults() {
        let plan = of(json!({})).unwrap();
        assert_eq!((plan.umask, plan.oom_score_adj, plan.terminal), (0o022, None, false));
        assert_eq!(plan.caps, Caps::default());
    }

    #[test]
    fn refusals_name_the_field() {
        refused(json!({"args": []}), "process.args");
        refused(json!({"args": ["a", "b\u{0}"]}), "process.args[1]");
        refused(json!({"env": ["A=b", "=x"]}), "process.env[1]");
        refused(json!({"env": ["A"]}), "process.env[0]");
        refused(json!({"cwd": "rel"}), "process.cwd");
        refused(json!({"user": {"uid": u32::MAX, "gid": 0}}), "process.user.uid");
        refused(json!({"user": {"uid": 0, "gid": 0, "additionalGids": [u32::MAX]}}), "process.user.additionalGids");
        refused(json!({"user": {"uid": 0, "gid": 0, "umask": 0o1000}}), "process.user.umask");
        refused(json!({"oomScoreAdj": 1001}), "process.oomScoreAdj");
        refused(json!({"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 9}}), "process.ioPriority.priority");
        refused(json!({"scheduler": {"policy": "SCHED_OTHER", "nice": 40}}), "process.scheduler.nice");
        refused(json!({"execCPUAffinity": {"initial": "0", "final": "9-1"}}), "process.execCPUAffinity.final");
        let limit = json!({"type": "RLIMIT_NOFILE", "soft": 10, "hard": 5});
        refused(json!({"rlimits": [limit]}), "process.rlimits.RLIMIT_NOFILE");
        let limit = json!({"type": "RLIMIT_CPU", "soft": 5, "hard": 5});
        refused(json!({"rlimits": [limit, limit]}), "process.rlimits.RLIMIT_CPU");
    }

    #[test]
    fn unlimited() {
        let plan = of(json!({"rlimits": [{"type": "RLIMIT_CORE", "soft": 5, "hard": u64::MAX}]})).unwrap();
        assert_eq!(plan.rlimits[0].2, Rlimit { current: Some(5), maximum: None });
    }
}
