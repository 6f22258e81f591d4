//! The compiled default profile against a table of calls: class 21 of the mistakes that engines have made.

use super::super::capabilities::{DEFAULT, all};
use super::*;
use dhow_runtime::seccomp::{Call, Program, compile};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn program(capabilities: &[Capability]) -> Program {
    compile(&default_profile(capabilities)).unwrap()
}

fn answer(program: &Program, name: &str, first: u64) -> u32 {
    let call = Call::native(name, [first, 0, 0, 0, 0, 0].map(Some)).unwrap_or_else(|| panic!("no call {name}"));
    program.evaluate(&call).unwrap()
}

#[track_caller]
fn check(capabilities: &[Capability], names: &str, expect: u32) {
    let program = program(capabilities);
    for name in names.split_whitespace() {
        assert_eq!(answer(&program, name, 0), expect, "{name}");
    }
}

#[test]
fn everyday_calls_are_open() {
    check(
        &DEFAULT,
        "read write openat2 mmap futex clone execve wait4 epoll_wait sendmsg bind listen chroot mknodat io_submit memfd_create rseq
        landlock_restrict_self ptrace process_vm_readv setuid capset seccomp prctl fchmodat2 statmount socketpair arch_prctl",
        ALLOW,
    );
}

#[test]
fn ways_out_of_the_container_are_closed() {
    check(
        &DEFAULT,
        "mount umount2 unshare setns pivot_root open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr bpf perf_event_open
        keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register userfaultfd init_module finit_module delete_module
        kexec_load kexec_file_load reboot swapon swapoff open_by_handle_at acct settimeofday clock_settime stime_or_not iopl ioperm
        syslog quotactl quotactl_fd lookup_dcookie vhangup kcmp pidfd_getfd process_madvise mbind set_mempolicy get_mempolicy
        move_pages migrate_pages fanotify_init sethostname setdomainname lsm_set_self_attr lsm_get_self_attr nfsservctl ustat sysfs
        _sysctl create_module get_kernel_syms query_module uselib"
            .replace("stime_or_not ", "")
            .as_str(),
        EPERM,
    );
    check(&DEFAULT, "clone3 open_tree_attr file_getattr file_setattr", ENOSYS);
}

#[test]
fn socket_families() {
    let program = program(&DEFAULT);
    // Past 45 the kernel knows none.
    for family in (0..64).chain([255, 1 << 20, 0xffff_ffff]) {
        let expect = if [38, 40].contains(&family) { EPERM } else { ALLOW };
        assert_eq!(answer(&program, "socket", family), expect, "{family}");
        // The kernel reads 32 bits: what stands above them must not help.
        assert_eq!(answer(&program, "socket", 7 << 32 | family), expect, "{family} with upper bits");
    }
    let privileged = self::program(&all());
    for family in [38, 40] {
        assert_eq!(answer(&privileged, "socket", family), EPERM, "no capability opens {family}");
    }
}

#[test]
fn new_namespaces_need_a_capability() {
    let program = program(&DEFAULT);
    let flags = [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
    for flag in flags {
        assert_eq!(answer(&program, "clone", flag | 17), EPERM, "{flag:x}");
        assert_eq!(answer(&self::program(&[SysAdmin]), "clone", flag | 17), ALLOW, "{flag:x}");
    }
    // fork, vfork, and a thread.
    for flags in [17, 0x4111, 0x3d_0f00] {
        assert_eq!(answer(&program, "clone", flags), ALLOW, "{flags:x}");
    }
    check(&[SysAdmin], "clone3 unshare setns mount", ALLOW);
}

#[test]
fn personalities() {
    let program = program(&DEFAULT);
    for value in PERSONALITIES {
        assert_eq!(answer(&program, "personality", value), ALLOW, "{value:x}");
    }
    for value in [0x4_0000, 0x40_0000, 1, 0x2_0009] {
        assert_eq!(answer(&program, "personality", value), EPERM, "{value:x}");
        assert_eq!(answer(&program, "personality", 1 << 32 | value), EPERM, "{value:x}");
    }
}

#[test]
fn capabilities_open_their_calls() {
    for (capability, names) in BY_CAPABILITY {
        let with = program(&[capability]);
        let without = program(&[]);
        for name in names.split_whitespace().filter(|name| Call::native(name, [None; 6]).is_some()) {
            assert_eq!(answer(&with, name, 0), ALLOW, "{name} with {capability}");
            let open = TRACING.contains(name) || name == "clone";
            let closed = if name == "clone3" { ENOSYS } else { EPERM };
            assert_eq!(answer(&without, name, 0), if open { ALLOW } else { closed }, "{name} without {capability}");
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn other_ways_into_the_kernel() {
    let program = program(&DEFAULT);
    let ask = |arch: u32, number: u32| program.evaluate(&Call { arch, number, arguments: [Some(0); 6] }).unwrap();
    let i386 = 0x4000_0003;
    let x32 = 0x4000_0000;
    assert_eq!(ask(i386, 3), ALLOW, "read");
    assert_eq!(ask(i386, 102), ALLOW, "socketcall");
    assert_eq!(ask(i386, 21), EPERM, "mount");
    assert_eq!(ask(i386, 310), EPERM, "unshare");
    assert_eq!(ask(i386, 425), EPERM, "io_uring_setup");
    assert_eq!(program.evaluate(&Call { arch: i386, number: 359, arguments: [38, 0, 0, 0, 0, 0].map(Some) }), Some(EPERM), "socket");
    assert_eq!(ask(0xc000_003e, x32 | 1), ALLOW, "write");
    assert_eq!(ask(0xc000_003e, x32 | 165), EPERM, "mount");
    assert_eq!(ask(0xc000_00b7, 63), 0, "another machine's");
    assert_eq!(ask(0xc000_003e, 470), ENOSYS, "a call of the future");
}

#[test]
fn every_name_is_known_or_from_another_machine() {
    let names = [OPEN, TRACING, X86, ARM].into_iter().chain(BY_CAPABILITY.map(|(_, names)| names)).flat_map(str::split_whitespace);
    for name in names {
        assert!(dhow_runtime::seccomp::is_known(name), "{name}");
    }
}

#[test]
fn a_stub_can_work_under_it() {
    let program = program(&DEFAULT);
    for (name, arguments) in dhow_sys::stub::CALLS {
        assert_eq!(program.evaluate(&Call::native(name, arguments).unwrap()), Some(ALLOW), "{name}");
    }
}

#[test]
fn the_program_is_short() {
    let program = program(&DEFAULT);
    let length = program.instructions.len();
    assert!(length < 450, "{length} instructions");
    // The search must not be linear: count the instructions of one call's way.
    let longest = ["read", "openat2", "futex", "statmount"].map(|name| steps(&program, name));
    assert!(longest.iter().all(|steps| *steps <= 16), "{longest:?} of {length}");
}

fn steps(program: &Program, name: &str) -> usize {
    let call = Call::native(name, [None; 6]).unwrap();
    let (mut at, mut count) = (0, 0);
    loop {
        let (code, yes, no, value) = program.instructions[at];
        at += 1;
        count += 1;
        let word = if count <= 2 { call.arch } else { call.number };
        match code {
            0x06 => return count,
            0x05 => at += value as usize,
            0x15 => at += usize::from(if word == value { yes } else { no }),
            0x35 => at += usize::from(if word >= value { yes } else { no }),
            _ => {}
        }
    }
}
