//! What a profile means for one architecture: verdicts over ranges of call numbers.
//!
//! The rules follow libseccomp and runc, whose profiles these are: names that do not exist are skipped; an unconditional rule
//! for a call beats conditional ones; of several conditional rules the first that applies counts; a rule that names one
//! argument twice is as many rules as it has conditions; and a call that is newer than every call the profile names fails
//! with ENOSYS instead of a strict default, so that programs fall back to an older call.

use super::abi::{Abi, is_narrow};
use super::invalid;
use super::table::Table;
use crate::error::Result;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};
use std::collections::BTreeMap;

const EPERM: u32 = libc::EPERM as u32;
pub(super) const ENOSYS: u32 = libc::ENOSYS as u32;
const MOST_ERRNO: u32 = 4095;

/// `SECCOMP_RET_*` with its data.
pub(super) type Action = u32;
pub(super) const KILL_THREAD: Action = 0;
const ERRNO: Action = 0x0005_0000;

/// One comparison. `narrow`: only the lower half of the argument counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u32,
    pub(super) narrow: bool,
    pub(super) test: Test,
}

/// What is asked of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// `(argument & mask) == value`, or the contrary.
    Masked { mask: u64, value: u64, equal: bool },
    /// `argument >= value`, or the contrary.
    AtLeast { value: u64, holds: bool },
    /// `argument > value`, or the contrary.
    Above { value: u64, holds: bool },
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Always(Action),
    /// The first rule all of whose conditions hold, else the last.
    Depends(Vec<(Vec<Condition>, Action)>, Action),
}

/// The start of each range of numbers with the verdict for it; the first starts at 0, neighbours differ.
pub(super) type Ranges = Vec<(u32, Verdict)>;

/// The ranges of one architecture, whose numbers start at `first` (0, or the x32 bit).
pub(super) fn ranges(profile: &LinuxSeccomp, table: &Table, abi: Abi, first: u32) -> Result<Ranges> {
    let default = default_action(profile)?;
    let mut calls: BTreeMap<u32, Rules> = BTreeMap::new();
    let mut newest = None;
    for rule in profile.syscalls().iter().flatten() {
        let action = action(rule.action(), rule.errno_ret())?;
        for name in rule.names() {
            let Some(number) = abi.number(table, name) else { continue };
            newest = newest.max(Some(number));
            add(calls.entry(number).or_default(), rule, name, abi, action, default)?;
        }
    }
    let mut ranges: Ranges = vec![(first, Verdict::Always(default))];
    for (number, rules) in calls {
        set_from(&mut ranges, number, rules.verdict(default));
        set_from(&mut ranges, number + 1, Verdict::Always(default));
    }
    if let Some(newest) = newest
        && !is_permissive(default)
    {
        set_from(&mut ranges, newest + 1, Verdict::Always(ERRNO | ENOSYS));
    }
    ranges.dedup_by(|next, before| next.1 == before.1);
    Ok(ranges)
}

/// Everything from `number` on; a range that would be empty is replaced.
fn set_from(ranges: &mut Ranges, number: u32, verdict: Verdict) {
    if ranges.last().is_some_and(|(start, _)| *start == number) {
        ranges.pop();
    }
    ranges.push((number, verdict));
}

/// The rules for one call as they come in.
#[derive(Default)]
struct Rules {
    always: Option<Action>,
    conditional: Vec<(Vec<Condition>, Action)>,
}

impl Rules {
    fn verdict(self, default: Action) -> Verdict {
        match self.always {
            Some(action) => Verdict::Always(action),
            None if self.conditional.is_empty() => Verdict::Always(default),
            None => Verdict::Depends(self.conditional, default),
        }
    }
}

fn add(rules: &mut Rules, rule: &LinuxSyscall, name: &str, abi: Abi, action: Action, default: Action) -> Result<()> {
    let arguments = rule.args().as_deref().unwrap_or_default();
    if arguments.is_empty() {
        // A rule that repeats the default says nothing; conditional rules may then still apply.
        if action != default {
            rules.always.get_or_insert(action);
        }
        return Ok(());
    }
    let conditions = arguments.iter().map(|argument| condition(argument, name, abi)).collect::<Result<Vec<_>>>()?;
    let repeats = (1..conditions.len()).any(|n| conditions[..n].iter().any(|one| one.argument == conditions[n].argument));
    if repeats {
        rules.conditional.extend(conditions.into_iter().map(|condition| (vec![condition], action)));
    } else {
        rules.conditional.push((conditions, action));
    }
    Ok(())
}

fn condition(argument: &LinuxSeccompArg, name: &str, abi: Abi) -> Result<Condition> {
    let index = argument.index();
    if index > 5 {
        return Err(invalid(name, format!("argument {index} does not exist, there are 0 to 5")));
    }
    let narrow = abi.is_32_bit() || is_narrow(name, index);
    let reach = if narrow { u64::from(u32::MAX) } else { u64::MAX };
    let value = argument.value() & reach;
    let test = match argument.op() {
        LinuxSeccompOperator::ScmpCmpEq => Test::Masked { mask: reach, value, equal: true },
        LinuxSeccompOperator::ScmpCmpNe => Test::Masked { mask: reach, value, equal: false },
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            Test::Masked { mask: value, value: argument.value_two().unwrap_or(0) & value, equal: true }
        }
        LinuxSeccompOperator::ScmpCmpGe => Test::AtLeast { value, holds: true },
        LinuxSeccompOperator::ScmpCmpLt => Test::AtLeast { value, holds: false },
        LinuxSeccompOperator::ScmpCmpGt => Test::Above { value, holds: true },
        LinuxSeccompOperator::ScmpCmpLe => Test::Above { value, holds: false },
    };
    Ok(Condition { argument: index as u32, narrow, test })
}

pub(super) fn default_action(profile: &LinuxSeccomp) -> Result<Action> {
    action(profile.default_action(), profile.default_errno_ret())
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<Action> {
    let with_errno = |base: Action| match errno.unwrap_or(EPERM) {
        errno if errno <= MOST_ERRNO => Ok(base | errno),
        errno => Err(invalid("seccomp", format!("error number {errno} is above {MOST_ERRNO}"))),
    };
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => Ok(KILL_THREAD),
        LinuxSeccompAction::ScmpActKillProcess => Ok(0x8000_0000),
        LinuxSeccompAction::ScmpActTrap => Ok(0x0003_0000),
        LinuxSeccompAction::ScmpActErrno => with_errno(ERRNO),
        LinuxSeccompAction::ScmpActNotify => Ok(0x7fc0_0000),
        LinuxSeccompAction::ScmpActTrace => with_errno(0x7ff0_0000),
        LinuxSeccompAction::ScmpActLog => Ok(0x7ffc_0000),
        LinuxSeccompAction::ScmpActAllow => Ok(0x7fff_0000),
    }
}

/// The default lets calls through, so there is nothing to fall back from.
pub(super) fn is_permissive(default: Action) -> bool {
    matches!(default, 0x7fff_0000 | 0x7ffc_0000)
}
