//! Seccomp: from the OCI profile to a filter program that searches the system call's number by bisection.

mod abi;
mod interpret;
mod program;
mod rules;
mod table;

pub use interpret::Call;

use crate::error::{Failure, Kind, Result, Step};
use abi::{Abi, X32_BIT};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};
use program::{ARCH, IF_EQUAL, NUMBER, Target, Writer};
use rules::{KILL_THREAD, Ranges, Verdict};
use serde::{Deserialize, Serialize};
use table::Table;

/// The kernel takes no longer program (`BPF_MAXINSNS`).
const MOST_INSTRUCTIONS: usize = 4096;

const FLAG_LOG: u32 = 2;
const FLAG_SPEC_ALLOW: u32 = 4;
const FLAG_NEW_LISTENER: u32 = 8;
const FLAG_WAIT_KILLABLE_RECV: u32 = 32;

/// A compiled classic-BPF program with its load flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Instructions as `(code, jt, jf, k)`.
    pub instructions: Vec<(u16, u8, u8, u32)>,
    /// `SECCOMP_FILTER_FLAG_*`. With `NEW_LISTENER` (8) loading gives a descriptor that has to be sent to `listenerPath`.
    pub flags: u32,
}

impl Program {
    /// Whether it hands calls to somebody, so that loading it needs a [`crate::Listener`].
    pub fn needs_listener(&self) -> bool {
        self.flags & FLAG_NEW_LISTENER != 0
    }
}

/// Compiles a profile for this machine's architectures. Names the kernel headers do not know are skipped, as libseccomp does.
///
/// A call of an architecture that the profile does not name ends its thread.
pub fn compile(profile: &LinuxSeccomp) -> Result<Program> {
    check_notify(profile)?;
    let mut writer = Writer::default();
    let mut otherwise = Target::Return(KILL_THREAD);
    for (audit, ranges) in groups(profile)?.iter().rev() {
        let search = writer.search(ranges);
        let block = writer.load_before(NUMBER, search);
        otherwise = writer.branch(IF_EQUAL, *audit, block, otherwise);
    }
    writer.load_before(ARCH, otherwise);
    let instructions = writer.finish();
    if instructions.len() > MOST_INSTRUCTIONS {
        return Err(invalid(
            "seccomp",
            format!("the profile needs {} instructions, the kernel takes {MOST_INSTRUCTIONS}", instructions.len()),
        ));
    }
    Ok(Program { instructions, flags: flags(profile) })
}

/// There is a system call of this name, on this machine or another.
pub fn is_known(name: &str) -> bool {
    Table::read().numbers(name).is_some()
}

/// The ranges of each architecture as the kernel tells them apart, this machine's own first.
fn groups(profile: &LinuxSeccomp) -> Result<Vec<(u32, Ranges)>> {
    let table = Table::read();
    let mut abis = vec![Abi::NATIVE];
    for abi in profile.architectures().iter().flatten().filter_map(|arch| Abi::from_oci(*arch)) {
        if !abis.contains(&abi) {
            abis.push(abi);
        }
    }
    let x32 = abis.contains(&Abi::X32);
    let mut groups = Vec::new();
    for abi in abis.into_iter().filter(|abi| *abi != Abi::X32) {
        let mut ranges = rules::ranges(profile, &table, abi, 0)?;
        match abi {
            Abi::X86_64 if x32 => ranges.extend(rules::ranges(profile, &table, Abi::X32, X32_BIT)?),
            Abi::X86_64 => refuse_x32(&mut ranges, rules::default_action(profile)?),
            _ => {}
        }
        groups.push((abi.audit(), ranges));
    }
    Ok(groups)
}

/// Without x32 in the profile its calls are of a foreign architecture. They are beyond the newest call already where the
/// default is strict; -1 is what a debugger makes of a call that it skips.
fn refuse_x32(ranges: &mut Ranges, default: u32) {
    let default = Verdict::Always(default);
    if ranges.last().is_some_and(|(_, verdict)| *verdict == default) {
        ranges.push((X32_BIT, Verdict::Always(KILL_THREAD)));
        ranges.push((u32::MAX, default));
    }
}

/// Without flags in the profile speculation stays as fast as it is outside, as runc has it.
fn flags(profile: &LinuxSeccomp) -> u32 {
    let bit = |flag: &LinuxSeccompFilterFlag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => FLAG_LOG,
        // The process that loads the program has one thread.
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => FLAG_SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => FLAG_WAIT_KILLABLE_RECV,
    };
    let asked = profile.flags().as_ref().map_or(FLAG_SPEC_ALLOW, |flags| flags.iter().map(bit).fold(0, |sum, bit| sum | bit));
    asked | if notifies(profile) { FLAG_NEW_LISTENER } else { 0 }
}

fn notifies(profile: &LinuxSeccomp) -> bool {
    profile.syscalls().iter().flatten().any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify)
}

fn check_notify(profile: &LinuxSeccomp) -> Result<()> {
    if profile.listener_metadata().is_some() && profile.listener_path().is_none() {
        return Err(invalid("seccomp", "listenerMetadata needs a listenerPath"));
    }
    if profile.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(invalid("seccomp", "SCMP_ACT_NOTIFY cannot be the default action"));
    }
    let rules = profile.syscalls().iter().flatten().filter(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify);
    if rules.clone().any(|rule| rule.names().iter().any(|name| name == "write")) {
        return Err(invalid("seccomp", "SCMP_ACT_NOTIFY cannot be used for the write syscall"));
    }
    if rules.count() > 0 && profile.listener_path().is_none() {
        return Err(invalid("seccomp", "SCMP_ACT_NOTIFY needs a listenerPath"));
    }
    Ok(())
}

fn invalid(object: impl Into<String>, message: impl Into<String>) -> Failure {
    Failure { step: Step::Seccomp, object: object.into(), kind: Kind::Invalid, errno: 0, message: message.into() }
}

#[cfg(test)]
mod tests;
