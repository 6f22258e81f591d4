//! From an OCI specification to a running process.

use crate::become_process::in_child;
use crate::cgroup::Cgroup;
use crate::child::{Luggage, makes_network, may_be_grouped_late, may_tell_network, says_entered};
use crate::error::{At, Failure, Kind, Result, Step};
use crate::hooks::{Hooks, Moment};
use crate::itself::Itself;
use crate::listener::{self, Listener};
use crate::manner::{Manner, Root};
use crate::seccomp::{self, Program};
use crate::stdio::{Stdio, agree};
use crate::sync;
use crate::timing::Clock;
use crate::validate::{self, Plan};
use crate::{enter, hostmounts, idmount, labels, netdevices, nsnames, rootless, spawn, timens, userns};
use dhow_sys::clone::Forked;
use dhow_sys::mount;
use dhow_sys::{fdpass, idmapped, process};
use oci_spec::runtime::Spec;
use rustix::fs::CWD;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What [`Create::run`] needs. The specification decides everything else.
#[derive(Debug)]
pub struct Create<'a> {
    /// The specification. `linux.seccomp` is compiled here unless `seccomp` brings the program; `process.terminal` must agree with `stdio`.
    pub spec: &'a Spec,
    /// The root filesystem.
    pub root: Root,
    /// The container's cgroup: made, with limits applied but for what [`Manner::group`] still has to do, not yet entered.
    pub cgroup: &'a Cgroup,
    /// A filter compiled beforehand.
    pub seccomp: Option<&'a Program>,
    /// Descriptors 0 to 2.
    pub stdio: Stdio,
    /// Binds that the caller has made, detached, by their places: their sources in the specification are only for show.
    pub trees: &'a [(PathBuf, OwnedFd)],
    /// The specification's hooks, which need a bundle. Those of the creation and of the start are run here; the others are the caller's.
    pub hooks: Option<&'a Hooks>,
    /// What the caller's own command line changes.
    pub manner: Manner,
}

/// A container whose first process stands before its exec.
#[derive(Debug)]
pub struct Created {
    /// Process id as the caller sees it.
    pub pid: i32,
    /// Stable handle.
    pub pidfd: OwnedFd,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// The terminal's master, if one was asked for.
    pub console: Option<OwnedFd>,
    /// The root mount (O_PATH): as long as it is open, the overlay's last unmount is put off.
    pub root: OwnedFd,
    /// Layers of the root that somebody else held mounted, too: kept open, they can be found here when that process is gone.
    pub layers: Vec<OwnedFd>,
    /// Of a container without a mount namespace of its own, what its root among the caller's mounts is known by: see [`hostmounts::find`].
    pub shared_root: Option<u64>,
    /// The network namespace that the process lives in.
    pub netns: OwnedFd,
    /// How long each phase took, in microseconds: the caller's (`plan`, `clone`, `overlay`), then the child's, from `namespaces` on. The
    /// child's run beside `overlay`; `root` is how long it waited for that.
    pub timings: Vec<(String, u64)>,
    /// The gate: closing it without a word ends the child. `None` once it was opened, and where it has a place of its own.
    pub(crate) gate: Option<OwnedFd>,
}

impl Root {
    /// The root as a detached mount, and layers of it that somebody else holds.
    fn mount(&self, attended: Option<&userns::Attended>) -> Result<(OwnedFd, Vec<OwnedFd>)> {
        match (self, attended) {
            (Self::Mapped(overlay), Some(attended)) => {
                idmapped::overlay(overlay, attended.namespace.as_fd(), attended.root).at(Step::Root, "overlay")
            }
            (Self::Overlay(overlay) | Self::Mapped(overlay), _) => overlay.mount_held().at(Step::Root, "overlay"),
            (Self::Mounted(_), Some(_)) => Err(Failure::invalid("root", "has not the ids of the user namespace")),
            (Self::Mounted(mounted), None) => {
                let layers = mounted.1.iter().map(OwnedFd::try_clone).collect::<std::io::Result<_>>();
                Ok((mounted.0.try_clone().at(Step::Root, "root")?, layers.at(Step::Root, "layers")?))
            }
            (Self::Dir(path), _) => Ok((mount::clone_tree(CWD, path, true).at_path(Step::Root, path)?, Vec::new())),
        }
    }
}

impl Create<'_> {
    /// Makes the container up to, and not including, the exec of its program. On an error nothing is left: no process, no mount.
    /// The cgroup stays the caller's. A [`Created`] that is dropped unstarted ends its process, which the caller still reaps.
    pub fn run(self) -> Result<Created> {
        self.make(false, None)
    }

    /// [`Create::run`], and beside the child's later steps `work` is called once with the network namespace, where the loopback of a new one is
    /// up. Where it answers that the program may run, that is also started, as by [`Create::run_and_start`], and `rest` is called with the
    /// process's number and that namespace when the program is all that is waited for. Not where the container has hooks, devices to be moved
    /// in or a user namespace, which come first: a caller that finds it was not called does its work afterwards.
    pub fn run_beside(self, work: &mut dyn FnMut(BorrowedFd<'_>) -> bool, rest: &mut dyn FnMut(i32, BorrowedFd<'_>)) -> Result<Created> {
        self.make(false, Some(Beside { work, rest }))
    }

    /// [`Create::run`] and [`Created::start`] in one: without a stop in between, which is two switches between processes less.
    pub fn run_and_start(self) -> Result<Created> {
        self.make(true, None)
    }

    fn make(self, mut start: bool, beside: Option<Beside<'_>>) -> Result<Created> {
        let mut clock = Clock::start();
        let mut plan = validate::plan(self.spec)?;
        rootless::settle(&mut plan)?;
        let dir = rootless::dir(&self.root, plan.unaided)?;
        take_trees(&mut plan, self.trees)?;
        agree(plan.process.terminal, &self.stdio)?;
        plan.itself = self.manner.stub.as_ref().map(|_| Itself::find()).transpose().at(Step::Mount, "/proc/self/exe")?;
        labels::agree("process.selinuxLabel", plan.process.selinux.as_ref())?;
        labels::agree("linux.mountLabel", plan.mount_label.as_ref())?;
        if self.hooks.is_none() && Hooks::of(self.spec, "", Path::new(""))?.is_some() {
            return Err(Failure::invalid("hooks", "need a bundle"));
        }
        if self.manner.rdt.is_none() && self.spec.linux().as_ref().is_some_and(|linux| linux.intel_rdt().is_some()) {
            return Err(Failure::invalid("linux.intelRdt", "is not supported here"));
        }
        if self.manner.stub.is_some() && self.manner.gate.is_some() {
            return Err(Failure::invalid("stub", "tells one parent alone how it goes on"));
        }
        let compiled = self.compile()?;
        let filter = self.seccomp.or(compiled.as_ref());
        let listener = listener::agree(filter, self.manner.listener.as_ref())?;
        let place = hostmounts::place(&plan, &self.root)?;
        let (join, pid_namespace) = open_namespaces(&plan)?;
        let grouped_late = self.manner.group.is_something() && may_be_grouped_late(&plan, self.hooks);
        if !grouped_late {
            self.manner.group.finish(self.cgroup)?;
        }
        let beside = beside.filter(|_| may_tell_network(&plan, self.hooks));
        let by_clone = if makes_network(&plan, grouped_late) { plan.new & !(libc::CLONE_NEWNET as u64) } else { plan.new };
        let cgroup = enter::for_clone(self.cgroup)?;
        let owners = idmount::namespaces(&plan)?;
        let (ours, theirs) = fdpass::pair().at(Step::Io, "sync")?;
        self.manner.stub.as_ref().map_or(Ok(()), |stub| stub.seal(theirs.as_fd())).at(Step::Exec, "seal the stub")?;
        clock.mark("plan");
        let time = timens::enter(plan.time.as_deref())?;
        let forked = match &plan.userns {
            None => spawn::clone(by_clone, cgroup, pid_namespace.as_ref().map(spawn::PidNamespace::Path)),
            Some(userns) => userns::clone(userns, &plan, cgroup, &join, pid_namespace.as_ref()),
        };
        let Forked::Parent { pid, pidfd } = home(forked, time)? else {
            drop(ours);
            let (plan, cgroup, stdio, hooks) = (&plan, self.cgroup, &self.stdio, self.hooks);
            let join = if plan.userns.is_some() { &[][..] } else { &join };
            let (socket, manner, owners) = (&theirs, &self.manner, owners.as_slice());
            let tells_network = beside.is_some();
            let luggage =
                Luggage { plan, cgroup, join, stdio, filter, socket, hooks, grouped_late, tells_network, manner, owners, place, dir };
            in_child(&theirs, || luggage.run(Clock::start()));
        };
        drop(theirs);
        clock.mark("clone");
        let child = Child { plan: &plan, pid, pidfd: &pidfd, socket: &ours, owners: &owners, listener, grouped_late };
        let mut shared = None;
        match self.accompany(&child, (&mut start, beside), &mut clock, &mut shared) {
            Ok(((root, layers), ready)) => {
                clock.phases.extend(ready.timings);
                let (netns, console, start_time) = (ready.netns, ready.console, ready.start_time);
                let gate = (!start && self.manner.gate.is_none()).then_some(ours);
                let shared_root = shared.map(|(_, id)| id);
                Ok(Created { pid, pidfd, start_time, console, root, layers, netns, shared_root, timings: clock.phases, gate })
            }
            // Only now nobody puts it there any more.
            Err(failure) => Err(hostmounts::undo(shared.map(|(root, _)| root), sync::bury(&pidfd, failure))),
        }
    }

    /// Mounts the root filesystem and hands it to the child, or leaves that to the child where only that one may mount. Where the child has
    /// failed meanwhile, the second result says so, and its own words follow.
    #[expect(clippy::type_complexity, reason = "two results that are taken apart at once")]
    fn bring_root(
        &self,
        plan: &Plan,
        attended: Option<&userns::Attended>,
        socket: &OwnedFd,
    ) -> Result<((OwnedFd, Vec<OwnedFd>), std::io::Result<()>)> {
        let mounted = if plan.unaided { None } else { Some(self.root.mount(attended)) };
        match (mounted, rootless::dir(&self.root, plan.unaided)?) {
            // Its mount namespace is somebody else's than its user namespace: only a new one is its own.
            (Some(Err(Failure { errno: libc::EPERM, .. })) | None, Some(dir)) if !plan.shares_mounts => {
                Ok(((mount::open_path(dir).at_path(Step::Root, dir)?, Vec::new()), fdpass::send(socket, b"root", &[])))
            }
            (Some(mounted), _) => {
                let (root, layers) = mounted?;
                let sent = fdpass::send(socket, b"root", &[root.as_fd()]);
                Ok(((root, layers), sent))
            }
            (None, _) => Err(Failure::invalid("linux.namespaces", "rootless container requires a mount namespace")),
        }
    }

    fn compile(&self) -> Result<Option<Program>> {
        let profile = self.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        match (self.seccomp, profile) {
            (None, Some(profile)) => seccomp::compile(profile).map(Some),
            _ => Ok(None),
        }
    }

    /// The parent's part while the child works: the root filesystem, and what must be done from outside. `Err(None)`: the child
    /// ended without a word.
    fn accompany(
        &self,
        child: &Child<'_>,
        (start, beside): (&mut bool, Option<Beside<'_>>),
        clock: &mut Clock,
        shared: &mut Option<(OwnedFd, u64)>,
    ) -> std::result::Result<((OwnedFd, Vec<OwnedFd>), Ready), Option<Failure>> {
        let Child { plan, pid, socket, .. } = *child;
        let attend = |ns| userns::attend(ns, plan, pid, self.cgroup, socket, child.owners);
        let attended = plan.userns.as_ref().map(attend).transpose()?.flatten();
        if says_entered(plan, self.hooks) {
            sync::until_entered(socket)?.ok_or(None)?;
            netdevices::give(&plan.net_devices, pid)?;
            self.hooks.map_or(Ok(()), |hooks| hooks.run(Moment::CreateRuntime, pid))?;
        }
        let ((root, layers), mut sent) = self.bring_root(plan, attended.as_ref(), socket)?;
        if plan.shares_mounts {
            *shared = Some((root.try_clone().at(Step::Root, "root")?, hostmounts::id(&root)?));
        }
        clock.mark("overlay");
        if child.grouped_late {
            self.manner.group.finish(self.cgroup)?;
            sent = sent.and_then(|()| fdpass::send(socket, b"cgroup", &[]));
            clock.mark("cgroup");
        }
        for mounts in attended.iter().flat_map(|attended| attended.mounts.chunks(fdpass::MAX_FDS)) {
            let mounts: Vec<_> = mounts.iter().map(AsFd::as_fd).collect();
            sent = sent.and_then(|()| fdpass::send(socket, b"mounts", &mounts));
        }
        drop(attended);
        if let Some(adj) = plan.process.oom_score_adj.filter(|_| !plan.unaided) {
            spawn::set_oom_score_adj(&pid.to_string(), adj)?;
        }
        self.manner.rdt.as_ref().map_or(Ok(()), |rdt| rdt.enter(pid))?;
        let mut rest = None;
        if let Some(Beside { work, rest: later }) = beside {
            let netns = sync::until_network(socket)?.ok_or(None)?;
            *start |= work(netns.as_fd());
            clock.mark("network");
            rest = Some((later, netns));
        }
        if let Some(listener) = child.listener {
            listener.attend(socket, pid, child.pidfd)?;
        }
        if *start {
            sent = sent.and_then(|()| fdpass::send(socket, b"go", &[]));
        }
        let start_time = process::start_time(pid);
        if let Some((rest, netns)) = rest.filter(|_| *start) {
            rest(pid, netns.as_fd());
            clock.mark("rest");
        }
        let ready = if *start { sync::until_exec(socket)?.ready } else { sync::until_ready(socket)? };
        let (timings, fds) = ready.ok_or(None)?;
        sent.at(Step::Io, "sync")?;
        let start_time = start_time.at(Step::Other, "start time")?;
        let mut fds = fds.into_iter();
        let netns = fds.next().ok_or_else(|| Failure::new(Step::Io, "sync", Kind::Other, "descriptors are missing"))?;
        Ok(((root, layers), Ready { timings, netns, console: fds.next(), start_time }))
    }
}

/// Hands each bind that is made its tree.
fn take_trees(plan: &mut Plan, trees: &[(PathBuf, OwnedFd)]) -> Result<()> {
    for (place, tree) in trees {
        let bind = plan.mounts.iter_mut().find(|m| m.destination == *place && matches!(m.source, validate::Source::Bind(..)));
        let bind = bind.ok_or_else(|| Failure::invalid("mounts", format!("no bind at {}", place.display())))?;
        bind.tree = Some(tree.try_clone().at_path(Step::Mount, place)?);
    }
    Ok(())
}

/// In the parent, back in its own time namespace. One that cannot go back must beget nobody.
fn home(forked: Result<Forked>, time: Option<timens::Own>) -> Result<Forked> {
    match (forked, time) {
        (Ok(Forked::Child), _) => Ok(Forked::Child),
        (forked, None) => forked,
        (Ok(Forked::Parent { pid, pidfd }), Some(own)) => match own.back() {
            Ok(()) => Ok(Forked::Parent { pid, pidfd }),
            Err(failure) => Err(sync::bury(&pidfd, Some(failure))),
        },
        (Err(failure), Some(own)) => own.back().and(Err(failure)),
    }
}

/// What is done beside the child's steps.
struct Beside<'a> {
    /// In its network namespace. Whether its program may run then.
    work: &'a mut dyn FnMut(BorrowedFd<'_>) -> bool,
    /// While that is waited for.
    rest: &'a mut dyn FnMut(i32, BorrowedFd<'_>),
}

/// The child as its parent knows it.
#[derive(Clone, Copy)]
struct Child<'a> {
    plan: &'a Plan,
    pid: i32,
    pidfd: &'a OwnedFd,
    socket: &'a OwnedFd,
    owners: &'a [Option<OwnedFd>],
    listener: Option<&'a Listener>,
    grouped_late: bool,
}

struct Ready {
    timings: Vec<(String, u64)>,
    netns: OwnedFd,
    console: Option<OwnedFd>,
    start_time: u64,
}

/// Opens the namespaces to join. The pid namespace comes apart: it is entered by being born in it.
fn open_namespaces(plan: &Plan) -> Result<(Vec<(u64, OwnedFd)>, Option<OwnedFd>)> {
    let (mut join, mut pid) = (Vec::new(), None);
    for (kind, path) in &plan.join {
        let namespace = nsnames::open(*kind, path)?;
        if *kind == libc::CLONE_NEWPID as u64 {
            pid = Some(namespace);
        } else {
            join.push((*kind, namespace));
        }
    }
    Ok((join, pid))
}

impl Created {
    /// Opens the gate and returns once exec has succeeded, or with the reason why it did not (the child is then reaped).
    pub fn start(&mut self) -> Result<()> {
        let Some(gate) = self.gate.take() else {
            return Err(Failure::new(Step::Exec, "start", Kind::Invalid, "was already called"));
        };
        let outcome =
            fdpass::send(&gate, b"go", &[]).at(Step::Io, "gate").and_then(|()| sync::until_exec(&gate)).map(|heard| heard.executed);
        match outcome {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(sync::bury(self.pidfd.as_fd(), None)),
            // The gate is broken because the child has gone: how it ended says more.
            Err(failure) if failure.errno == libc::EPIPE => Err(sync::bury(self.pidfd.as_fd(), None)),
            Err(failure) => Err(sync::bury(self.pidfd.as_fd(), Some(failure))),
        }
    }
}
