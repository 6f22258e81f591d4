//! System calls made only to see whether they are refused: harmless where they are not.

use std::io;

/// An address that no process has mapped (`vm.mmap_min_addr`): the kernel answers `EFAULT`.
const NOWHERE: i64 = 1;

/// Calls by name, number and arguments. Each takes only numbers, a bad descriptor, or [`NOWHERE`] for every address;
/// none changes the system, ends the process or returns twice, even for a caller with every capability.
const CALLS: &[(&str, i64, [i64; 5])] = &[
    ("acct", libc::SYS_acct, [NOWHERE, 0, 0, 0, 0]),
    ("add_key", libc::SYS_add_key, [NOWHERE, NOWHERE, NOWHERE, 1, 0]),
    ("bpf", libc::SYS_bpf, [0, NOWHERE, 8, 0, 0]),
    ("clock_settime", libc::SYS_clock_settime, [0, NOWHERE, 0, 0, 0]),
    // A new user namespace with a shared file system context: refused by the kernel too, so it never makes a process.
    ("clone(CLONE_NEWUSER)", libc::SYS_clone, [libc::CLONE_NEWUSER as i64 | libc::CLONE_FS as i64, 0, 0, 0, 0]),
    ("clone(CLONE_NEWNS)", libc::SYS_clone, [libc::CLONE_NEWNS as i64 | libc::CLONE_FS as i64, 0, 0, 0, 0]),
    ("clone3", libc::SYS_clone3, [NOWHERE, 0, 0, 0, 0]),
    ("delete_module", libc::SYS_delete_module, [NOWHERE, 0, 0, 0, 0]),
    ("fanotify_init", libc::SYS_fanotify_init, [-1, -1, 0, 0, 0]),
    ("finit_module", libc::SYS_finit_module, [-1, NOWHERE, 0, 0, 0]),
    ("fsconfig", libc::SYS_fsconfig, [-1, 0, 0, 0, 0]),
    ("fsmount", libc::SYS_fsmount, [-1, 0, 0, 0, 0]),
    ("fsopen", libc::SYS_fsopen, [NOWHERE, 0, 0, 0, 0]),
    ("fspick", libc::SYS_fspick, [-1, NOWHERE, 0, 0, 0]),
    ("get_mempolicy", libc::SYS_get_mempolicy, [NOWHERE, 0, 0, 0, 0]),
    ("init_module", libc::SYS_init_module, [NOWHERE, 1, NOWHERE, 0, 0]),
    ("io_uring_enter", libc::SYS_io_uring_enter, [-1, 0, 0, 0, 0]),
    ("io_uring_register", libc::SYS_io_uring_register, [-1, 0, 0, 0, 0]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [1, NOWHERE, 0, 0, 0]),
    ("kcmp", libc::SYS_kcmp, [0, 0, 0, 0, 0]),
    ("kexec_load", libc::SYS_kexec_load, [0, 1000, NOWHERE, 0xffff, 0]),
    ("keyctl", libc::SYS_keyctl, [-1, 0, 0, 0, 0]),
    ("mbind", libc::SYS_mbind, [NOWHERE, 0, -1, 0, 0]),
    ("mount", libc::SYS_mount, [NOWHERE, NOWHERE, NOWHERE, 0, 0]),
    ("mount_setattr", libc::SYS_mount_setattr, [-1, NOWHERE, 0, NOWHERE, 32]),
    ("move_mount", libc::SYS_move_mount, [-1, NOWHERE, -1, NOWHERE, 0]),
    ("move_pages", libc::SYS_move_pages, [0, 1, NOWHERE, NOWHERE, NOWHERE]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [-1, NOWHERE, 0, 0, 0]),
    ("open_tree", libc::SYS_open_tree, [-1, NOWHERE, 0, 0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [NOWHERE, 0, -1, -1, 0]),
    ("personality", libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0]),
    ("pivot_root", libc::SYS_pivot_root, [NOWHERE, NOWHERE, 0, 0, 0]),
    ("quotactl", libc::SYS_quotactl, [-1, NOWHERE, 0, NOWHERE, 0]),
    ("reboot", libc::SYS_reboot, [0, 0, 0, 0, 0]),
    ("request_key", libc::SYS_request_key, [NOWHERE, NOWHERE, 0, 0, 0]),
    ("set_mempolicy", libc::SYS_set_mempolicy, [-1, NOWHERE, 1, 0, 0]),
    ("setdomainname", libc::SYS_setdomainname, [NOWHERE, 1, 0, 0, 0]),
    ("sethostname", libc::SYS_sethostname, [NOWHERE, 1, 0, 0, 0]),
    ("setns", libc::SYS_setns, [-1, 0, 0, 0, 0]),
    ("settimeofday", libc::SYS_settimeofday, [NOWHERE, 0, 0, 0, 0]),
    ("swapoff", libc::SYS_swapoff, [NOWHERE, 0, 0, 0, 0]),
    ("swapon", libc::SYS_swapon, [NOWHERE, 0, 0, 0, 0]),
    ("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
    ("umount2", libc::SYS_umount2, [NOWHERE, 0, 0, 0, 0]),
    ("unshare(CLONE_NEWUSER)", libc::SYS_unshare, [libc::CLONE_NEWUSER as i64, 0, 0, 0, 0]),
    ("unshare(CLONE_NEWNS)", libc::SYS_unshare, [libc::CLONE_NEWNS as i64, 0, 0, 0, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0, 0, 0]),
];

/// Names of the calls that [`call`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|(name, _, _)| *name)
}

/// Makes one of the calls with arguments that cannot do harm. `EPERM` or `ENOSYS` tell that it is refused, `EFAULT`,
/// `EBADF`, `EINVAL` or success that it is open to the caller. `InvalidInput` for a name that is not in the table.
pub fn call(name: &str) -> io::Result<i64> {
    let Some((_, number, arguments)) = CALLS.iter().find(|(known, _, _)| *known == name) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let [a, b, c, d, e] = *arguments;
    // SAFETY: number and arguments come from the table above. Every argument that the kernel takes as an address is 0 or
    // NOWHERE, which is never mapped, so no memory of ours is read or written; `clone` gets flags that the kernel refuses
    // together, so control returns once, here.
    let answer = unsafe { libc::syscall(*number, a, b, c, d, e, 0_i64) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Serial number of the session keyring, made where there is none.
pub fn session_keyring() -> io::Result<i64> {
    const GET_KEYRING_ID: i64 = 0;
    const SESSION: i64 = -3;
    // SAFETY: KEYCTL_GET_KEYRING_ID takes two numbers and touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION, 1_i64, 0_i64, 0_i64) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_refused() {
        assert_eq!(call("exit").map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
    }

    #[test]
    fn calls_come_back() {
        // A bad descriptor, or a seccomp filter around the tests.
        let error = call("setns").expect_err("a bad descriptor");
        assert!(matches!(error.raw_os_error(), Some(libc::EBADF | libc::EPERM | libc::ENOSYS)), "{error}");
        assert!(names().count() > 40);
    }
}
