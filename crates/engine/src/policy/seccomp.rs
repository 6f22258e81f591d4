//! The default seccomp profile: at least as tight as Docker's newest.
//!
//! What is not listed fails with EPERM; what is newer than everything listed fails with ENOSYS (the runtime's compiler sees to
//! that), so programs fall back to an older call. `socketcall`, the way in which old 32-bit x86 programs reach all socket calls,
//! has to stay open for them: a filter cannot see the socket family behind its pointer. The families refused below are refused
//! for it by an LSM only.

use super::calls::{ARM, OPEN, TRACING, X86};
use oci_spec::runtime::Capability::{self, *};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall,
};
use std::collections::HashSet;

/// What a capability opens.
const BY_CAPABILITY: [(Capability, &str); 14] = [
    (DacReadSearch, "open_by_handle_at"),
    (
        SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
        lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname
        setns syslog umount umount2 unshare",
    ),
    (SysBoot, "reboot"),
    (SysChroot, "chroot"),
    (SysModule, "delete_module finit_module init_module"),
    (SysPacct, "acct"),
    (SysPtrace, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    (SysRawio, "ioperm iopl"),
    (SysTime, "clock_settime clock_settime64 settimeofday stime"),
    (SysTtyConfig, "vhangup"),
    (SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Syslog, "syslog"),
    (Bpf, "bpf"),
    (Perfmon, "perf_event_open"),
];

/// The kernel's own crypto, reachable by every user: CVE-2026-31431.
const AF_ALG: u64 = 38;
/// Sockets to the hypervisor, which no network namespace confines.
const AF_VSOCK: u64 = 40;

/// `CLONE_NEW*` of the mount, cgroup, uts, ipc, user, pid and network namespaces.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// PER_LINUX, PER_LINUX32, their UNAME26 variants, and the question which one it is.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The profile for a container with these capabilities (its bounding set), on Linux 4.8 or newer.
pub fn default_profile(capabilities: &[Capability]) -> LinuxSeccomp {
    let has: HashSet<Capability> = capabilities.iter().copied().collect();
    let machine = if cfg!(target_arch = "aarch64") { ARM } else { X86 };
    let mut rules: Vec<_> = [OPEN, TRACING, machine].into_iter().map(|names| allow(names, None)).collect();
    // Several conditions on one argument are alternatives, so this is "all but 38 and 40".
    let families = [
        (LinuxSeccompOperator::ScmpCmpLt, AF_ALG),
        (LinuxSeccompOperator::ScmpCmpEq, AF_ALG + 1),
        (LinuxSeccompOperator::ScmpCmpGt, AF_VSOCK),
    ];
    rules.extend(families.map(|(op, family)| allow("socket", Some(argument(op, family, None)))));
    rules.extend(PERSONALITIES.map(|value| allow("personality", Some(argument(LinuxSeccompOperator::ScmpCmpEq, value, None)))));
    rules.extend(BY_CAPABILITY.iter().filter(|(capability, _)| has.contains(capability)).map(|(_, names)| allow(names, None)));
    if !has.contains(&SysAdmin) {
        let no_new = argument(LinuxSeccompOperator::ScmpCmpMaskedEq, NEW_NAMESPACES, Some(0));
        rules.push(allow("clone", Some(no_new)));
        // Its flags lie behind a pointer. ENOSYS makes the C library use clone instead.
        rules.push(rule("clone3", LinuxSeccompAction::ScmpActErrno, Some(rustix::io::Errno::NOSYS.raw_os_error() as u32), None));
    }
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(LinuxSeccompAction::ScmpActErrno)
        .set_default_errno_ret(Some(rustix::io::Errno::PERM.raw_os_error() as u32))
        .set_architectures(Some(architectures()))
        .set_syscalls(Some(rules));
    profile
}

fn architectures() -> Vec<Arch> {
    if cfg!(target_arch = "aarch64") {
        vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]
    } else {
        vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]
    }
}

fn allow(names: &str, argument: Option<LinuxSeccompArg>) -> LinuxSyscall {
    rule(names, LinuxSeccompAction::ScmpActAllow, None, argument)
}

fn rule(names: &str, action: LinuxSeccompAction, errno: Option<u32>, argument: Option<LinuxSeccompArg>) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.split_whitespace().map(str::to_owned).collect())
        .set_action(action)
        .set_errno_ret(errno)
        .set_args(argument.map(|argument| vec![argument]));
    rule
}

/// A condition on the first argument.
fn argument(op: LinuxSeccompOperator, value: u64, second: Option<u64>) -> LinuxSeccompArg {
    let argument = LinuxSeccompArgBuilder::default().index(0usize).value(value).op(op);
    let argument = second.into_iter().fold(argument, |argument, second| argument.value_two(second));
    argument.build().expect("every field has a default")
}

#[cfg(test)]
#[path = "seccomp_tests.rs"]
mod tests;
