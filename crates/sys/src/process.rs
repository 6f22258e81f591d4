//! Processes by pidfd and start time; what a process changes about itself before it executes another program.

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags};
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By exit, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Ended {
    /// The code that a shell would show: 128 more than the signal's number.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

fn pid(pid: i32) -> io::Result<Pid> {
    if pid < 1 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

/// Opens a pidfd (close-on-exec). `ESRCH` when there is no such process.
pub fn pidfd_open(number: i32) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(pid(number)?, PidfdFlags::empty())?)
}

/// Sends a signal by pidfd. `ESRCH` when it has ended, `EINVAL` for a number that is no signal.
pub fn pidfd_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // Every number is passed on, the real-time ones included, for which rustix has no safe name.
    // SAFETY: plain numbers, a borrowed descriptor and a null siginfo, which the kernel documents as "as kill(2) does".
    let ret =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0) };
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`): with the pid it names a process for good.
pub fn start_time(number: i32) -> io::Result<u64> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid(number)?.as_raw_nonzero()))?;
    parse_start_time(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/PID/stat"))
}

/// The name in parentheses may hold anything, parentheses too: what counts comes after the last one.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|&b| b == b')')?;
    let field = stat.get(end + 1..)?.split(|b| b.is_ascii_whitespace()).filter(|f| !f.is_empty()).nth(19)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Waits until the child has ended, and reaps it.
pub fn wait(pidfd: impl AsFd) -> io::Result<Ended> {
    loop {
        if let Some(ended) = wait_with(pidfd.as_fd(), WaitIdOptions::EXITED)? {
            return Ok(ended);
        }
    }
}

/// Reaps the child if it has ended; `None` while it runs.
pub fn try_wait(pidfd: impl AsFd) -> io::Result<Option<Ended>> {
    wait_with(pidfd.as_fd(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

fn wait_with(pidfd: std::os::fd::BorrowedFd<'_>, options: WaitIdOptions) -> io::Result<Option<Ended>> {
    let status = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd), options))?;
    Ok(status.as_ref().and_then(ended))
}

/// Reaps any one child that has ended (orphans that came to a subreaper included): its number and how.
/// `None` when no child has ended, or there is none at all.
pub fn reap_any() -> io::Result<Option<(i32, Ended)>> {
    use rustix::process::{WaitOptions, wait as wait_any};
    match rustix::io::retry_on_intr(|| wait_any(WaitOptions::NOHANG)) {
        Ok(Some((pid, status))) => {
            let ended = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ended::Code(code),
                (_, Some(signal)) => Ended::Signal(signal),
                _ => return Ok(None),
            };
            Ok(Some((pid.as_raw_nonzero().get(), ended)))
        }
        Ok(None) | Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn ended(status: &rustix::process::WaitIdStatus) -> Option<Ended> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Ended::Code(code)),
        (_, Some(signal)) => Some(Ended::Signal(signal)),
        _ => None,
    }
}

/// Ends this process at once, without destructors or buffers: the way out of a forked child.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Takes a descriptor that this process was started with, by its number (3 to 66), and marks it close-on-exec. Each can be taken once.
///
/// # Errors
/// The number is out of range, is not open, or was taken before.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    static TAKEN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let bit = fd.checked_sub(3).filter(|shift| (0..64).contains(shift)).map(|shift| 1_u64 << shift);
    let bit = bit.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: F_SETFD with a plain number; one that is not open gives EBADF.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if TAKEN.fetch_or(bit, std::sync::atomic::Ordering::SeqCst) & bit != 0 {
        return Err(io::Error::other(format!("descriptor {fd} was taken before")));
    }
    // SAFETY: it is open, as the call above showed. The caller names one that came with the process, which no type of Rust owns, and the
    // mask keeps a second owner away.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Marks every descriptor from `first` up close-on-exec (`CLOSE_RANGE_CLOEXEC`, Linux 5.11; else one by one from `/proc/self/fd`).
pub fn cloexec_from(first: u32) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: three numbers; the call only sets a flag on descriptors, which stay open and with their owners.
    if unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) } == 0 {
        return Ok(());
    }
    each_descriptor(first, |fd| {
        // SAFETY: F_SETFD with a plain number; a descriptor that is gone meanwhile gives EBADF.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    })
}

/// Closes every descriptor from `first` up, whoever owns it. For the beginning of a program, before it owns any: a descriptor
/// type of Rust that is alive would close a number that may by then be another's.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: three numbers. That nobody owns these descriptors is what the function's text asks of its caller.
    if unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } == 0 {
        return Ok(());
    }
    each_descriptor(first, |fd| {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    })
}

fn each_descriptor(first: u32, mut act: impl FnMut(RawFd)) -> io::Result<()> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        if let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) {
            found.push(fd);
        }
    }
    found.into_iter().filter(|&fd| fd as u32 >= first).for_each(&mut act);
    Ok(())
}

/// Joins several namespaces (`CLONE_NEW*`) of the process behind a pidfd at once. The pid namespace takes effect for later children.
pub fn setns_pidfd(pidfd: impl AsFd, namespaces: u64) -> io::Result<()> {
    let types = ThreadNameSpaceType::from_bits_retain(namespaces as u32);
    Ok(rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), types)?)
}

/// Joins one namespace by its descriptor; `kind` (`CLONE_NEW*`) is what it must be.
pub fn setns(namespace: impl AsFd, kind: u64) -> io::Result<()> {
    let kind = match kind as i32 {
        libc::CLONE_NEWNS => LinkNameSpaceType::Mount,
        libc::CLONE_NEWCGROUP => LinkNameSpaceType::ControlGroup,
        libc::CLONE_NEWUTS => LinkNameSpaceType::HostNameAndNISDomainName,
        libc::CLONE_NEWIPC => LinkNameSpaceType::InterProcessCommunication,
        libc::CLONE_NEWUSER => LinkNameSpaceType::User,
        libc::CLONE_NEWPID => LinkNameSpaceType::ProcessID,
        libc::CLONE_NEWNET => LinkNameSpaceType::Network,
        libc::CLONE_NEWTIME => LinkNameSpaceType::Time,
        _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind))?)
}

/// Of which kind (`CLONE_NEW*`) a namespace is (`NS_GET_NSTYPE`). `ENOTTY` for a descriptor of something else.
pub fn namespace_kind(namespace: impl AsFd) -> io::Result<u64> {
    use std::os::fd::AsRawFd;
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: the call takes a descriptor, which is borrowed for it, and no argument.
    let kind = unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_NSTYPE) };
    if kind < 0 { Err(io::Error::last_os_error()) } else { Ok(u64::from(kind.unsigned_abs())) }
}

/// Moves this thread into new namespaces (`CLONE_NEW*`; other flags are refused with `EINVAL`).
pub fn unshare(namespaces: u64) -> io::Result<()> {
    if namespaces & !crate::clone::NAMESPACES != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the danger of unshare is CLONE_FILES, which the check above excludes.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::from_bits_retain(namespaces as u32)) }?)
}

/// Gives this thread its own working directory and umask (`CLONE_FS`), so that it can change them while others run.
pub fn unshare_fs() -> io::Result<()> {
    // SAFETY: CLONE_FILES is not among the flags.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?)
}

/// Leaves the caller's session keyring for a new one without a name, which nobody can join. `ENOSYS` and `EPERM` (a filter above
/// us) are for the caller to judge.
pub fn join_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: the second argument is the null pointer that the kernel documents as "a new keyring without a name".
    let ret = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A copy of another process's descriptor, by its number there (pidfd_getfd, Linux 5.6). Needs the right to trace that process.
pub fn descriptor_of(pidfd: impl AsFd, number: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_getfd(pidfd, number, rustix::process::PidfdGetfdFlags::empty())?)
}

/// Sets the execution domain (`personality(2)`); returns the former one.
pub fn personality(domain: u32) -> io::Result<u32> {
    // SAFETY: one number in, one number out.
    let ret = unsafe { libc::personality(domain.into()) };
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret as u32) }
}

/// Does something on this thread as another owner of files (fsuid, fsgid), with all the rights over files that it has now. What it opens or
/// mounts meanwhile remembers that owner. `EPERM` without CAP_SETUID and CAP_SETGID.
pub fn as_file_owner<T>(uid: u32, gid: u32, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = rustix::thread::capabilities(None)?;
    let was = (set_fsuid(u32::MAX), set_fsgid(u32::MAX));
    let become_owner = |uid: u32, gid: u32| {
        set_fsgid(gid);
        set_fsuid(uid);
        // The calls tell of no failure, and another user loses rights in the effective set.
        let changed = (set_fsuid(u32::MAX), set_fsgid(u32::MAX)) == (uid, gid);
        let rights = rustix::thread::set_capabilities(None, before).map_err(io::Error::from);
        if changed { rights } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
    };
    let done = become_owner(uid, gid).and_then(|()| work());
    become_owner(was.0, was.1).and(done)
}

/// Answers the former one; the largest number changes nothing.
fn set_fsuid(uid: u32) -> u32 {
    // SAFETY: one number in, one number out; it concerns this thread alone.
    unsafe { libc::setfsuid(uid) as u32 }
}

fn set_fsgid(gid: u32) -> u32 {
    // SAFETY: as above.
    unsafe { libc::setfsgid(gid) as u32 }
}

/// Whether other processes may look into this one (ptrace, `/proc/PID/*`); off until the next exec.
pub fn set_dumpable(yes: bool) -> io::Result<()> {
    use rustix::process::DumpableBehavior::{Dumpable, NotDumpable};
    Ok(rustix::process::set_dumpable_behavior(if yes { Dumpable } else { NotDumpable })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::process::Command;

    fn sleeper() -> std::process::Child {
        Command::new("sleep").arg("100").spawn().unwrap()
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "reaped by pidfd, which is what is tested")]
    fn a_process_is_known_signalled_and_reaped_by_pidfd() {
        let child = sleeper();
        let pidfd = pidfd_open(child.id() as i32).unwrap();
        assert!(try_wait(&pidfd).unwrap().is_none());
        assert_eq!(pidfd_signal(&pidfd, 9999).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        pidfd_signal(&pidfd, libc::SIGRTMAX() - 1).unwrap();
        let ended = wait(&pidfd).unwrap();
        assert_eq!(ended, Ended::Signal(libc::SIGRTMAX() - 1));
        assert_eq!(ended.code(), 128 + libc::SIGRTMAX() - 1);
        assert_eq!(pidfd_signal(&pidfd, 9).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        for bad in [0, -1, i32::MIN] {
            assert_eq!(pidfd_open(bad).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        }
    }

    #[test]
    fn files_of_another_owner() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("theirs");
        let before = rustix::thread::capabilities(None).unwrap();
        as_file_owner(1234, 567, || {
            // The directory is not theirs, so this takes the right to override.
            std::fs::write(&path, b"")?;
            assert_eq!(rustix::thread::capabilities(None)?, before);
            Ok(())
        })
        .unwrap();
        let meta = path.metadata().unwrap();
        assert_eq!((meta.uid(), meta.gid()), (1234, 567));
        let failed = as_file_owner(1234, 567, || Err::<(), _>(io::ErrorKind::Other.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::Other);
        std::fs::write(dir.path().join("ours"), b"").unwrap();
        assert_eq!(dir.path().join("ours").metadata().unwrap().uid(), 0);
        assert_eq!(rustix::thread::capabilities(None).unwrap(), before);
    }

    #[test]
    fn start_times() {
        assert!(start_time(std::process::id() as i32).unwrap() > 0);
        let line = |name: &str| format!("12 ({name}) S {} 777 0 0", "1 ".repeat(18));
        for name in ["sh", "a b", ") R 1 (", "x) S 1 2 3"] {
            assert_eq!(parse_start_time(line(name).as_bytes()), Some(777), "{name}");
        }
        assert_eq!(parse_start_time(b""), None);
        assert_eq!(parse_start_time(b"1 (x) S 1"), None);
    }

    #[test]
    fn descriptors_are_marked() {
        let fd = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        let high = rustix::io::fcntl_dupfd_cloexec(&fd, 900).unwrap();
        rustix::io::fcntl_setfd(&high, rustix::io::FdFlags::empty()).unwrap();
        cloexec_from(900).unwrap();
        assert!(rustix::io::fcntl_getfd(&high).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        let mut seen = Vec::new();
        each_descriptor(900, |fd| seen.push(fd)).unwrap();
        assert!(seen.contains(&high.as_raw_fd()));
    }

    #[test]
    fn only_namespace_flags() {
        assert_eq!(unshare(libc::CLONE_FILES as u64).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        let fd = std::fs::File::open("/proc/self/ns/uts").unwrap();
        assert_eq!(setns(&fd, libc::CLONE_FILES as u64).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert!(setns(&fd, libc::CLONE_NEWNET as u64).is_err(), "the kind is checked");
        // In a thread of its own, which ends with the test.
        std::thread::spawn(move || {
            unshare(libc::CLONE_NEWUTS as u64).unwrap();
            setns(&fd, libc::CLONE_NEWUTS as u64).unwrap();
            join_session_keyring().unwrap();
        })
        .join()
        .unwrap();
    }
}
