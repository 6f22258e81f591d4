//! A further process in a running container.

use crate::become_process::{self as become_, in_child};
use crate::cgroup::Cgroup;
use crate::child::open_stdio;
use crate::error::{At, Failure, Kind, Result, Step};
use crate::listener::{self, Listener};
use crate::manner::Keep;
use crate::procfs::Procfs;
use crate::procplan::{self, ProcessPlan};
use crate::seccomp::Program;
use crate::stdio::{Stdio, agree};
use crate::timens::NEWTIME;
use crate::{enter, hostmounts, labels, nsnames, rootless, schedplan, spawn, sync, userns, validate};
use dhow_sys::clone::Forked;
use dhow_sys::{fdpass, mount, process, sched};
use oci_spec::runtime::{Process, Spec};
use rustix::fs::Mode;
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What [`Exec::run`] needs.
#[derive(Debug)]
pub struct Exec<'a> {
    /// What to run and as whom. Capabilities are taken as given.
    pub process: &'a Process,
    /// The container's first process.
    pub init: BorrowedFd<'a>,
    /// Its number.
    pub init_pid: i32,
    /// The container lives in a user namespace of its own.
    pub user_namespace: bool,
    /// The container's cgroup, which the process enters.
    pub cgroup: &'a Cgroup,
    /// The container's filter; `None` for none.
    pub seccomp: Option<&'a Program>,
    /// Descriptors 0 to 2.
    pub stdio: Stdio,
    /// What the program keeps of the caller's.
    pub keep: Keep,
    /// Who is told of the calls that the filter hands to somebody else; needed if it does so.
    pub listener: Option<&'a Listener>,
    /// The execution domain (`linux.personality`), checked by [`personality`].
    pub personality: Option<u32>,
    /// The root of a container without a mount namespace of its own.
    pub root: Option<&'a OwnedFd>,
}

/// A process that is now running its program.
#[derive(Debug)]
pub struct ExecStarted {
    /// Process id as the caller sees it; the process is the caller's child.
    pub pid: i32,
    /// Stable handle.
    pub pidfd: OwnedFd,
    /// The terminal's master, if one was asked for.
    pub console: Option<OwnedFd>,
}

/// All that a container's process lives in, but for the pid namespace, in which one must be born.
const NAMESPACES: u64 = (libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP) as u64;

/// What is entered before a process is born in a container whose caller has no rights but there.
const USER_AND_PID: u64 = (libc::CLONE_NEWUSER | libc::CLONE_NEWPID) as u64;

/// The processors that a further process begins on: those of `process.execCPUAffinity.initial`, else the caller's own.
pub fn first_processors(process: &Process) -> Result<Vec<u32>> {
    let wanted = process.exec_cpu_affinity().as_ref().map(schedplan::affinity).transpose()?.unwrap_or_default();
    if wanted.initial.is_empty() { sched::processors().at(Step::Rlimit, "the own processors") } else { Ok(wanted.initial) }
}

/// The execution domain of a container's processes.
pub fn personality(spec: &Spec) -> Result<Option<u32>> {
    spec.linux().as_ref().and_then(|linux| linux.personality().as_ref()).map(validate::personality).transpose()
}

impl Exec<'_> {
    /// Joins all the container's namespaces (setns by pidfd), its cgroup and its root, and executes. Returns after the exec succeeded.
    /// [`Kind::NotRunning`] when the container's first process has ended. On an error nothing is left.
    pub fn run(self) -> Result<ExecStarted> {
        let mut plan = procplan::plan(self.process)?;
        plan.keeps_groups = rootless::unaided();
        if plan.keeps_groups {
            rootless::groups(&plan.groups)?;
        }
        agree(plan.terminal, &self.stdio)?;
        labels::agree("process.selinuxLabel", plan.selinux.as_ref())?;
        let listener = listener::agree(self.seccomp, self.listener)?;
        let (ours, theirs) = fdpass::pair().at(Step::Io, "sync")?;
        let Forked::Parent { pid, pidfd } = self.fork_on(&plan)? else {
            drop(ours);
            in_child(&theirs, || self.child(&plan, &theirs));
        };
        drop(theirs);
        let outside =
            plan.oom_score_adj.filter(|_| !plan.keeps_groups).map_or(Ok(()), |adj| spawn::set_oom_score_adj(&pid.to_string(), adj));
        if let Some(Err(failure)) = listener.map(|listener| listener.attend(&ours, pid, &pidfd)) {
            return Err(self.ended(sync::bury(&pidfd, failure)));
        }
        match sync::until_exec(&ours).and_then(|heard| outside.map(|()| heard.executed)) {
            Ok(Some(fds)) => Ok(ExecStarted { pid, pidfd, console: fds.into_iter().next() }),
            Ok(None) => Err(self.ended(sync::bury(&pidfd, None))),
            Err(failure) => Err(self.ended(sync::bury(&pidfd, Some(failure)))),
        }
    }

    /// On these processors, from which the caller returns to its own.
    fn fork_on(&self, plan: &ProcessPlan) -> Result<Forked> {
        let processors = plan.affinity.initial.as_slice();
        if processors.is_empty() {
            return self.fork(plan);
        }
        let object = "process.execCPUAffinity.initial";
        let own = sched::processors().at(Step::Rlimit, object)?;
        sched::set_processors(processors).at(Step::Rlimit, object)?;
        let forked = self.fork(plan);
        if matches!(forked, Ok(Forked::Child)) {
            return forked;
        }
        let back = sched::set_processors(&own).at(Step::Rlimit, "the own processors");
        match (forked, back) {
            (Ok(Forked::Parent { pidfd, .. }), Err(failure)) => Err(sync::bury(&pidfd, Some(failure))),
            (forked, _) => forked,
        }
    }

    fn fork(&self, plan: &ProcessPlan) -> Result<Forked> {
        if plan.keeps_groups && self.user_namespace {
            // Only in the container's user namespace the caller has the right to enter the others.
            let enter = || {
                // Its child has it too; nobody could set it there.
                plan.oom_score_adj.map_or(Ok(()), |adj| spawn::set_oom_score_adj("self", adj))?;
                process::set_dumpable(false).at(Step::Namespaces, "dumpable")?;
                enter::enter(self.cgroup)?;
                process::setns_pidfd(self.init, USER_AND_PID & nsnames::foreign(self.init_pid)?).map_err(spawn::not_running)
            };
            return userns::by_midwife(enter, 0, enter::for_clone(self.cgroup)?).map_err(|failure| self.ended(failure));
        }
        let own = || Some(spawn::PidNamespace::Of(self.init));
        match spawn::clone(0, enter::for_clone(self.cgroup)?, own()) {
            // The container has divided its group (a systemd inside does): then only its leaves take processes, and the one of its
            // first process is where a new one belongs.
            Err(failure) if failure.errno == libc::EBUSY => {
                let leaf = enter::leaf_of(self.cgroup, self.init_pid)?;
                spawn::clone(0, Some(leaf), own()).map_err(|failure| self.ended(failure))
            }
            other => other.map_err(|failure| self.ended(failure)),
        }
    }

    /// A failure in a container that is no more has that for its cause.
    fn ended(&self, failure: Failure) -> Failure {
        match process::pidfd_signal(self.init, 0) {
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {
                Failure::new(Step::Namespaces, self.init_pid.to_string(), Kind::NotRunning, "is not running")
            }
            _ => failure,
        }
    }

    /// Kernels before 5.6 have no time namespaces.
    fn join_namespaces(&self) -> std::io::Result<()> {
        match process::setns_pidfd(self.init, NAMESPACES | NEWTIME) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => process::setns_pidfd(self.init, NAMESPACES),
            other => other,
        }
    }

    fn child(&self, plan: &ProcessPlan, socket: &OwnedFd) -> Result<Infallible> {
        // Before anything in the container can see this process.
        process::set_dumpable(false).at(Step::Namespaces, "dumpable")?;
        // Where nobody helps, the user namespace was entered before the birth, and gives the right to enter the others.
        let inside = plan.keeps_groups && self.user_namespace;
        if !inside {
            enter::enter(self.cgroup)?;
        }
        if !plan.affinity.last.is_empty() {
            sched::set_processors(&plan.affinity.last).at(Step::Rlimit, "process.execCPUAffinity.final")?;
        }
        let mut procfs = None;
        if self.user_namespace && !inside {
            // What nobody inside may do: raise limits, and make a procfs beside one that is masked.
            userns::raise_limits(None, plan)?;
            procfs = plan.is_labelled().then(Procfs::detached).transpose()?;
        }
        if inside {
            let others = nsnames::foreign(self.init_pid)? & !USER_AND_PID;
            process::setns_pidfd(self.init, others).map_err(spawn::not_running)?;
            userns::become_root(true)?;
        } else {
            self.join_namespaces().map_err(spawn::not_running)?;
            if self.user_namespace {
                userns::join(self.init)?;
            }
        }
        self.root.map_or(Ok(()), hostmounts::enter)?;
        self.personality.map_or(Ok(()), |domain| process::personality(domain).map(drop)).at(Step::User, "personality")?;
        rustix::process::umask(Mode::empty());
        let root = mount::open_path(Path::new("/")).at(Step::Root, "/")?;
        rustix::process::setsid().at(Step::Io, "session")?;
        let master = open_stdio(root.as_fd(), &self.stdio, plan, false)?;
        if plan.is_labelled() {
            procfs.map_or_else(Procfs::detached, Ok)?.label_on_exec(plan)?;
        }
        become_::detach(plan, self.keep)?;
        let mut poised = become_::poise(root.as_fd(), plan, self.keep)?;
        if let Some(filter) = self.seccomp.filter(|filter| listener::is_wanted(Some(filter))) {
            poised.filter_early(filter, socket)?;
        }
        let fds: Vec<BorrowedFd<'_>> = master.iter().map(AsFd::as_fd).collect();
        poised.exec(self.seccomp, None, socket, &fds)
    }
}
