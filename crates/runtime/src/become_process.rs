//! The last part of the way, shared by a container's first process and by later ones: from a forked child that stands inside the
//! container to the program.
//!
//! Order matters: limits while we are still root; the user before the program is looked up, so that its own rights count;
//! the filter almost last, because from then on it binds us too; capabilities at the very end, because the filter may need one.

use crate::capmask::SYS_ADMIN;
use crate::error::{At, Failure, Kind, Result, Step};
use crate::listener;
use crate::manner::Keep;
use crate::path::{self, Links};
use crate::procplan::ProcessPlan;
use crate::program::{self, Program as Executable};
use crate::seccomp::Program as Filter;
use crate::sync::{self, Message};
use crate::userns;
use dhow_sys::caps::Caps;
use dhow_sys::stub::Stub;
use dhow_sys::{caps, process, sched, signal};
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A new session and keyring, limits, and the lowest privileges that the rest of the way allows.
pub(crate) fn detach(plan: &ProcessPlan, keep: Keep) -> Result<()> {
    let left = if keep.keyring { Ok(()) } else { process::join_session_keyring() };
    match left {
        Ok(()) => {}
        // No keyrings in this kernel, or a filter around all of us forbids them: then none can leak either.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES)) => {}
        // Keyrings are counted; without room for a new one the old one must not be kept.
        Err(e) => return Err(Failure::io(Step::User, "session keyring", e)),
    }
    for (name, resource, limit) in &plan.rlimits {
        // Descriptors that are inherited, and closed at the exec, may be more than the program may have: what is fewer than now waits.
        let limit = if *resource == Resource::Nofile { at_least(limit, &getrlimit(Resource::Nofile)) } else { *limit };
        setrlimit(*resource, limit).at(Step::Rlimit, name)?;
    }
    // Only ever a nicety: raising priority takes CAP_SYS_NICE.
    match rustix::process::setpriority_process(None, 0) {
        Ok(()) | Err(Errno::ACCESS | Errno::PERM) => {}
        Err(e) => return Err(Failure::io(Step::Rlimit, "nice", e)),
    }
    if let Some((class, level)) = plan.io_priority {
        sched::set_io_priority(class, level).at(Step::Rlimit, "process.ioPriority")?;
    }
    if let Some(attributes) = plan.scheduler {
        sched::set(attributes).at(Step::Rlimit, "process.scheduler")?;
    }
    Ok(())
}

/// Both limits, each the larger of two. `None` is no limit.
fn at_least(one: &Rlimit, other: &Rlimit) -> Rlimit {
    let larger = |a: Option<u64>, b: Option<u64>| Some(a?.max(b?));
    Rlimit { current: larger(one.current, other.current), maximum: larger(one.maximum, other.maximum) }
}

/// Allows as many descriptors as the program may have, now that no more are opened.
fn limit_descriptors(plan: &ProcessPlan) -> Result<()> {
    let mut own = plan.rlimits.iter().filter(|(_, resource, _)| *resource == Resource::Nofile);
    own.try_for_each(|(name, resource, limit)| setrlimit(*resource, *limit).at(Step::Rlimit, name))
}

/// Enters the working directory, found within the root and checked to lie there (a directory outside reads as unreachable).
fn enter_cwd(root: BorrowedFd<'_>, plan: &ProcessPlan) -> Result<()> {
    let cwd = plan.cwd.as_path();
    let dir = path::open(root, cwd, OFlags::PATH | OFlags::DIRECTORY, Links::Follow).at_path(Step::Cwd, cwd)?;
    rustix::process::fchdir(&dir).at_path(Step::Cwd, cwd)?;
    let seen = rustix::process::getcwd(Vec::new()).at_path(Step::Cwd, cwd)?;
    if !seen.as_bytes().starts_with(b"/") {
        return Err(Failure::new(
            Step::Cwd,
            cwd.to_string_lossy(),
            Kind::Invalid,
            "current working directory is outside of container mount namespace root",
        ));
    }
    Ok(())
}

/// Becomes the user. The capabilities that remain are the wanted ones and, for the filter, CAP_SYS_ADMIN.
fn become_user(plan: &ProcessPlan) -> Result<Caps> {
    let have = rustix::thread::capabilities(None).at(Step::Capabilities, "read")?.permitted.bits();
    // What this process itself lacks it cannot give.
    let wanted = Caps {
        effective: plan.caps.effective & plan.caps.permitted & have,
        permitted: plan.caps.permitted & have,
        inheritable: plan.caps.inheritable & have,
        bounding: plan.caps.bounding,
        ambient: plan.caps.ambient & plan.caps.permitted & plan.caps.inheritable & have,
    };
    caps::bound(wanted.bounding).at(Step::Capabilities, "bounding set")?;
    caps::keep_over_setuid(true).at(Step::Capabilities, "keep")?;
    let groups: Vec<Gid> = plan.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    if !plan.keeps_groups {
        userns::set_groups(&groups)?;
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(|e| unmapped(e, "gid", plan.gid))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(|e| unmapped(e, "uid", plan.uid))?;
    let for_filter = SYS_ADMIN & have;
    caps::set(wanted.effective | for_filter, wanted.permitted | for_filter, wanted.inheritable).at(Step::Capabilities, "set")?;
    Ok(wanted)
}

/// The kernel's word for a number that means nobody in this user namespace is not helpful.
fn unmapped(e: Errno, what: &str, number: u32) -> Failure {
    let failure = Failure::io(Step::User, format!("{what} {number}"), e);
    match e {
        Errno::INVAL => Failure { message: format!("cannot set {what} to unmapped user in user namespace"), ..failure },
        _ => failure,
    }
}

/// A child that is ready but for the exec.
#[derive(Debug)]
pub(crate) struct Poised<'p> {
    plan: &'p ProcessPlan,
    keep: Keep,
    wanted: Caps,
    executable: Executable,
    /// The filter is loaded already.
    filtered: bool,
}

/// Working directory, user, umask, program.
pub(crate) fn poise<'p>(root: BorrowedFd<'_>, plan: &'p ProcessPlan, keep: Keep) -> Result<Poised<'p>> {
    let env = program::environment(root, plan);
    // As root first; a directory that only the user may enter (a network filesystem) is tried again as the user.
    let early = enter_cwd(root, plan);
    if let Err(failure) = &early
        && !matches!(failure.errno, libc::EACCES | libc::EPERM)
    {
        return Err(failure.clone());
    }
    let wanted = become_user(plan)?;
    if early.is_err() {
        enter_cwd(root, plan)?;
    }
    rustix::process::umask(Mode::from_raw_mode(plan.umask));
    let executable = program::find(plan, env)?;
    limit_descriptors(plan)?;
    Ok(Poised { plan, keep, wanted, executable, filtered: false })
}

impl Poised<'_> {
    /// Resets what would be inherited, loads the filter, drops the last privileges and executes. `fds` go with the last word.
    /// With a stub, that is what executes, sealed for `socket`.
    pub(crate) fn exec(self, filter: Option<&Filter>, stub: Option<&Stub>, socket: &OwnedFd, fds: &[BorrowedFd<'_>]) -> Result<Infallible> {
        process::cloexec_from(3 + self.keep.descriptors).at(Step::Exec, "descriptors")?;
        signal::reset().at(Step::Exec, "signals")?;
        let word = stub.map_or(Message::Exec, |_| Message::Leap(self.executable.words()));
        // After this the filter may forbid to speak.
        sync::say(socket, &word, fds)?;
        self.confine(filter)?;
        match stub {
            Some(stub) => self.executable.exec_through(stub, self.plan, socket.as_fd()),
            None => self.executable.exec(self.plan),
        }
    }

    /// Loads a filter whose listener has to be told of it while somebody can.
    pub(crate) fn filter_early(&mut self, filter: &Filter, socket: &OwnedFd) -> Result<()> {
        if self.plan.no_new_privs {
            rustix::thread::set_no_new_privs(true).at(Step::Seccomp, "no_new_privs")?;
        }
        listener::load(filter, socket)?;
        self.filtered = true;
        Ok(())
    }

    /// Loads the filter and drops the last privileges.
    pub(crate) fn confine(&self, filter: Option<&Filter>) -> Result<()> {
        if self.plan.no_new_privs {
            rustix::thread::set_no_new_privs(true).at(Step::Seccomp, "no_new_privs")?;
        }
        if let Some(filter) = filter.filter(|_| !self.filtered) {
            dhow_sys::seccomp::load(&filter.instructions, filter.flags).at(Step::Seccomp, "load filter")?;
        }
        caps::set(self.wanted.effective, self.wanted.permitted, self.wanted.inheritable).at(Step::Capabilities, "drop")?;
        if self.wanted.ambient != 0 {
            caps::set_ambient(self.wanted.ambient).at(Step::Capabilities, "ambient set")?;
        }
        Ok(())
    }
}

/// The end of a child that could not become its program: says why, and ends without running anything of the parent's.
pub(crate) fn give_up(socket: &OwnedFd, failure: Failure) -> ! {
    // Where even this cannot be said, the parent sees the stream end.
    let _ = sync::say(socket, &Message::Failed(failure), &[]);
    process::exit_now(1)
}

/// Runs a child's part, in which no panic may unwind into code of the parent.
pub(crate) fn in_child(socket: &OwnedFd, part: impl FnOnce() -> Result<Infallible>) -> ! {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(part));
    let failure = match outcome {
        Ok(Err(failure)) => failure,
        Ok(Ok(never)) => match never {},
        Err(_) => Failure::new(Step::Other, "init process", Kind::Other, "panicked"),
    };
    give_up(socket, failure)
}

/// Places the three descriptors at 0, 1 and 2, hands what is no file of the host to the user, and exchanges the host's `/dev/null`
/// for the container's own.
pub(crate) fn place_stdio(root: BorrowedFd<'_>, plan: &ProcessPlan, given: [BorrowedFd<'_>; 3]) -> Result<()> {
    let fail = |e: Errno| Failure::io(Step::Io, "stdio", e);
    // Out of the way of the numbers that are about to be overwritten.
    let mut high = Vec::with_capacity(3);
    for fd in given {
        high.push(rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(fail)?);
    }
    for fd in &mut high {
        let stat = rustix::fs::fstat(&*fd).map_err(fail)?;
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        if kind == rustix::fs::FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3) {
            if let Ok(own) = path::open(root, "/dev/null".as_ref(), OFlags::RDWR | OFlags::NOCTTY, Links::Refuse)
                && path::is_device(&own, rustix::fs::FileType::CharacterDevice, 1, 3).unwrap_or(false)
            {
                *fd = own;
            }
            continue;
        }
        let theirs = kind == rustix::fs::FileType::RegularFile || kind == rustix::fs::FileType::Directory;
        if !theirs && stat.st_uid != plan.uid {
            // So that the user may open /dev/stdout anew. What cannot be given away (a socket of another kind) stays as it is.
            let _ = rustix::fs::fchown(&*fd, Some(Uid::from_raw(plan.uid)), None);
        }
    }
    rustix::stdio::dup2_stdin(high[0].as_fd()).map_err(fail)?;
    rustix::stdio::dup2_stdout(high[1].as_fd()).map_err(fail)?;
    rustix::stdio::dup2_stderr(high[2].as_fd()).map_err(fail)
}
