//! clone3 and fork: the only ways in which a process of ours begets another.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Which of the two processes returned from [`fork`] or [`clone3`].
#[derive(Debug)]
pub enum Forked {
    /// In the parent: the child, known by number and by pidfd.
    Parent {
        /// Process id in the caller's pid namespace.
        pid: i32,
        /// Stable handle of the child (pidfd, close-on-exec).
        pidfd: OwnedFd,
    },
    /// In the child.
    Child,
}

/// What [`clone3`] is to do beyond a plain fork.
#[derive(Debug, Default)]
pub struct CloneArgs {
    /// `CLONE_NEW*` flags; every other flag is refused.
    pub namespaces: u64,
    /// A cgroup v2 directory to start in (`CLONE_INTO_CGROUP`).
    pub cgroup: Option<OwnedFd>,
    /// The child is not the caller's but its parent's (`CLONE_PARENT`).
    pub sibling: bool,
}

/// The flags that [`CloneArgs::namespaces`] may hold.
pub const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64
    | CLONE_NEWTIME;

const CLONE_NEWTIME: u64 = 0x80;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks. The caller must be single-threaded: the child may then run any code.
/// Fails with `EBUSY` if `/proc/self/task` shows more than one thread.
pub fn fork() -> io::Result<Forked> {
    clone3(&CloneArgs::default())
}

/// As [`fork`], with new namespaces and a cgroup (Linux 5.7 for the latter).
pub fn clone3(args: &CloneArgs) -> io::Result<Forked> {
    if args.namespaces & !NAMESPACES != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    if threads()? != 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let mut pidfd: RawFd = -1;
    let mut raw = libc::clone_args {
        flags: args.namespaces | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if args.sibling {
        raw.flags |= libc::CLONE_PARENT as u64;
        // It has the caller's own.
        raw.exit_signal = 0;
    }
    if let Some(dir) = &args.cgroup {
        raw.flags |= CLONE_INTO_CGROUP;
        raw.cgroup = dir.as_raw_fd() as u64;
    }
    // SAFETY: `raw` is a whole, initialised clone_args whose only pointer is `pidfd`, which outlives the call. Without CLONE_VM
    // the child has its own copy of memory and, with no stack given, goes on with the same stack, as after fork(2). There is one
    // thread (checked above), so no lock of the C library or of ours can be held by a thread that the child lacks.
    let ret = unsafe { libc::syscall(libc::SYS_clone3, &raw const raw, size_of::<libc::clone_args>()) };
    match ret {
        // Docker's filter answers so to every container without CAP_SYS_ADMIN, and our init runs in one.
        -1 if plain(args) && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) => clone_plain(),
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: the call succeeded with CLONE_PIDFD, so `pidfd` is a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: pid as i32, pidfd })
        }
    }
}

fn plain(args: &CloneArgs) -> bool {
    args.namespaces == 0 && args.cgroup.is_none() && !args.sibling
}

/// The older call, for what needs nothing of clone3. The caller has made sure that there is one thread.
fn clone_plain() -> io::Result<Forked> {
    let mut pidfd: RawFd = -1;
    let flags = (libc::CLONE_PIDFD | libc::SIGCHLD) as libc::c_long;
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: as for clone3 above: no CLONE_VM, no stack, one thread. With CLONE_PIDFD the third argument is where the descriptor
    // goes, on every architecture; the last two are not used without their flags.
    let ret = unsafe { libc::syscall(libc::SYS_clone, flags, none, &raw mut pidfd, none, none) };
    match ret {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: the call succeeded with CLONE_PIDFD, so `pidfd` is a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: pid as i32, pidfd })
        }
    }
}

/// Does something on a thread of its own, which is gone when this returns: callers fork afterwards.
pub(crate) fn in_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let before = threads()?;
    let done = std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
    // A joined thread may still be listed for a moment.
    for _ in 0..2000 {
        if threads()? <= before {
            break;
        }
        std::thread::yield_now();
    }
    done
}

/// Number of threads in this process: the link count of `/proc/self/task` is two more.
pub fn threads() -> io::Result<u64> {
    let stat = rustix::fs::stat("/proc/self/task")?;
    Ok((stat.st_nlink as u64).saturating_sub(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_several_threads_and_foreign_flags() {
        // The test harness runs this test beside its main thread.
        assert_eq!(fork().unwrap_err().raw_os_error(), Some(libc::EBUSY));
        let args = CloneArgs { namespaces: libc::CLONE_VM as u64, ..CloneArgs::default() };
        assert_eq!(clone3(&args).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert!(threads().unwrap() > 1);
    }
}
