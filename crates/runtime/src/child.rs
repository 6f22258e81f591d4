//! The container's first process on its way, from clone to the gate and through it to its program.

use crate::become_process::{self as become_, Poised, in_child};
use crate::cgroup::Cgroup;
use crate::error::{At, Failure, Kind, Result, Step};
use crate::hooks::{Hooks, Moment};
use crate::manner::Manner;
use crate::masks::{self, Cover};
use crate::othermounts::NEWNS;
use crate::procfs::Procfs;
use crate::seccomp::Program;
use crate::stdio::Stdio;
use crate::sync::{self, Message};
use crate::timing::Clock;
use crate::validate::Plan;
use crate::{console, devices, enter, listener, mounts, othermounts, spawn, userns};
use dhow_sys::mount::{self, Propagation};
use dhow_sys::{fdpass, net, process};
use rustix::fs::{CWD, Mode, OFlags};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const NEWNET: u64 = libc::CLONE_NEWNET as u64;

/// What the child takes with it from its parent.
#[derive(Debug)]
pub(crate) struct Luggage<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) cgroup: &'a Cgroup,
    /// Namespaces to join; in a user namespace that was done before.
    pub(crate) join: &'a [(u64, OwnedFd)],
    pub(crate) stdio: &'a Stdio,
    pub(crate) filter: Option<&'a Program>,
    pub(crate) socket: &'a OwnedFd,
    pub(crate) hooks: Option<&'a Hooks>,
    /// The parent makes the cgroup meanwhile, and says so when it is there.
    pub(crate) grouped_late: bool,
    /// The parent does something in the network namespace meanwhile.
    pub(crate) tells_network: bool,
    pub(crate) manner: &'a Manner,
    /// User namespaces of the mounts with mappings of their own.
    pub(crate) owners: &'a [Option<OwnedFd>],
    /// Where the root is put among the caller's mounts, which are the container's, too.
    pub(crate) place: Option<&'a Path>,
    /// The root's directory, for a parent that may not mount it.
    pub(crate) dir: Option<&'a Path>,
}

impl Luggage<'_> {
    /// Everything. Returns only with a failure.
    pub(crate) fn run(&self, mut clock: Clock) -> Result<Infallible> {
        // Until the exec nobody in the container, nor in one that shares its pid namespace, may look into this process.
        if !self.plan.unaided {
            process::set_dumpable(false).at(Step::Namespaces, "dumpable")?;
        }
        rustix::process::umask(Mode::empty());
        let in_userns = self.plan.userns.is_some();
        if in_userns {
            userns::wait_for_mappings(self.socket)?;
        }
        if self.plan.unaided {
            // A parent without rights may write the mappings, and this, only of who can be looked into.
            self.plan.process.oom_score_adj.map_or(Ok(()), |adj| spawn::set_oom_score_adj("self", adj))?;
            process::set_dumpable(false).at(Step::Namespaces, "dumpable")?;
        }
        let netns = self.namespaces()?;
        if in_userns {
            userns::become_root(self.plan.unaided)?;
        }
        if says_entered(self.plan, self.hooks) {
            sync::say(self.socket, &Message::Entered, &[])?;
        }
        clock.mark("namespaces");
        self.kernel_settings()?;
        // Only now the loopback is up, at which the parent may bind sockets.
        if self.tells_network {
            sync::say(self.socket, &Message::Network, &[netns.as_fd()])?;
        }
        clock.mark("settings");
        // The parent mounts the root filesystem while all this happens. The other mounts are made after it, because the kernel lists
        // mounts in the order in which they were made, and people expect the root first.
        let root = self.receive_root()?;
        clock.mark("root");
        let given = if in_userns { userns::receive_mounts(self.plan, self.socket)? } else { Vec::new() };
        let prepared = mounts::prepare(self.plan, given, self.owners)?;
        // Before the parent has made the cgroup there may be time for it.
        let blank = masks::Blank::prepare(&self.plan.masked);
        // From here on nothing that is mounted reaches the host, and nothing of the host reaches us.
        match self.plan.joins_mounts() {
            // The caller's own, about which nothing is changed.
            _ if self.plan.shares_mounts => {}
            true => othermounts::enter(self.join.iter().find(|(kind, _)| *kind == NEWNS).map(|(_, namespace)| namespace))?,
            false => mount::propagate_root(true, Propagation::Private).at(Step::Root, "propagation of /")?,
        }
        clock.mark("prepare");
        let root = root.as_fd();
        self.mounts(root, prepared, blank, &mut clock)?;
        rustix::process::setsid().at(Step::Io, "session")?;
        let terminal = open_stdio(root, self.stdio, &self.plan.process, true)?;
        let mut poised = self.settle(root)?;
        clock.mark("user");
        if let Some(filter) = self.filter.filter(|filter| listener::is_wanted(Some(filter))) {
            poised.filter_early(filter, self.socket)?;
        }
        let mut fds = vec![netns.as_fd()];
        fds.extend(terminal.as_ref().map(AsFd::as_fd));
        sync::say(self.socket, &Message::Ready(clock.phases), &fds)?;
        let Some(gate) = &self.manner.gate else {
            self.gate()?;
            return self.leave(poised, self.socket);
        };
        // From here on whoever opens the gate hears how it goes on.
        let opener = gate.wait()?;
        in_child(&opener, || self.leave(poised, &opener))
    }

    /// Through the gate.
    fn leave(&self, poised: Poised<'_>, socket: &OwnedFd) -> Result<Infallible> {
        if let Some(hooks) = self.hooks {
            hooks.run_confined(Moment::StartContainer, own_pid(), || poised.confine(self.filter))?;
        }
        poised.exec(self.filter, self.manner.stub.as_ref(), socket, &[])
    }

    fn receive_root(&self) -> Result<OwnedFd> {
        let message = fdpass::recv(self.socket).at(Step::Io, "root")?;
        let root = message.map(|(_, fds)| fds.into_iter().next());
        match (root, self.dir) {
            (Some(Some(root)), _) => Ok(root),
            // A parent that may not mount leaves it to us.
            (Some(None), Some(dir)) => mount::clone_tree(CWD, dir, true).at_path(Step::Root, dir),
            _ => Err(Failure::new(Step::Io, "root", Kind::Other, "was not sent")),
        }
    }

    /// Cgroups and the namespaces that clone did not make. Returns the network namespace.
    fn namespaces(&self) -> Result<OwnedFd> {
        if !self.grouped_late {
            self.enter_cgroup()?;
        }
        // The mounts come later: those of the caller's namespace are still needed.
        for (kind, namespace) in self.join.iter().filter(|(kind, _)| *kind != NEWNS) {
            let path = self.plan.join.iter().find(|(other, _)| other == kind).map(|(_, path)| path.as_path());
            process::setns(namespace, *kind).at_path(Step::Namespaces, path.unwrap_or(Path::new("namespace")))?;
        }
        if makes_network(self.plan, self.grouped_late) {
            process::unshare(NEWNET).at(Step::Namespaces, "network")?;
        }
        let name = Path::new("/proc/thread-self/ns/net");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open(name, flags, Mode::empty()).at_path(Step::Namespaces, name)
    }

    /// Waits for the cgroup that the parent makes meanwhile, where it does, and enters it.
    fn enter_late(&self, clock: &mut Clock) -> Result<()> {
        if !self.grouped_late {
            return Ok(());
        }
        clock.mark("mounts");
        fdpass::recv(self.socket).at(Step::Io, "cgroup")?.ok_or_else(|| Failure::new(Step::Io, "cgroup", Kind::Other, "was not made"))?;
        self.enter_cgroup()?;
        clock.mark("cgroup");
        Ok(())
    }

    fn enter_cgroup(&self) -> Result<()> {
        enter::enter(self.cgroup)?;
        if self.plan.new_cgroup {
            // Only now: its root is the group in which it is made.
            process::unshare(libc::CLONE_NEWCGROUP as u64).at(Step::Namespaces, "cgroup")?;
        }
        Ok(())
    }

    fn mounts(&self, root: BorrowedFd<'_>, prepared: Vec<Option<OwnedFd>>, blank: Option<masks::Blank>, clock: &mut Clock) -> Result<()> {
        let plan = self.plan;
        // Nobody looks for it but hooks, who were told where.
        let hooked = || self.hooks.filter(|_| !plan.joins_mounts()).map_or_else(|| PathBuf::from("/"), Hooks::rootfs);
        let place = self.place.map_or_else(hooked, Path::to_owned);
        let below = mount::open_path(&place).at_path(Step::Root, &place)?;
        mount::attach(root, &below).at(Step::Root, "attach")?;
        drop(below);
        // A bound directory is still a peer of what it was bound from.
        let peer = if plan.root_listens { Propagation::Slave } else { Propagation::Private };
        mount::set_attr_attached(root, true, 0, 0, Some(peer)).at(Step::Root, "propagation")?;
        let mut grouped = false;
        let procfs = mounts::attach(root, plan, prepared, self.cgroup, &mut || match std::mem::replace(&mut grouped, true) {
            true => Ok(()),
            false => self.enter_late(clock),
        })?;
        if !grouped {
            self.enter_late(clock)?;
        }
        clock.mark("mounts");
        devices::make(root, plan)?;
        let null = Cover::null(root)?;
        clock.mark("devices");
        if let Some(hooks) = self.hooks {
            hooks.run(Moment::CreateContainer, own_pid())?;
        }
        self.exchange_root(root)?;
        clock.mark("pivot");
        self.through_procfs(procfs)?;
        masks::readonly(root, &plan.readonly)?;
        masks::mask(root, &plan.masked, null, blank)?;
        clock.mark("masks");
        crate::path::ensure_dir(root, &plan.process.cwd, crate::path::Links::Follow).at_path(Step::Cwd, &plan.process.cwd).map(drop)
    }

    fn exchange_root(&self, root: BorrowedFd<'_>) -> Result<()> {
        if self.plan.joins_mounts() {
            return mount::change_root(root).at(Step::Root, "chroot");
        }
        if !self.manner.no_pivot {
            return mount::pivot_root(root).at(Step::Root, "pivot_root");
        }
        if self.hooks.is_some() {
            let below = mount::open_path(Path::new("/")).at(Step::Root, "/")?;
            mount::attach(root, &below).at(Step::Root, "move")?;
        }
        mount::change_root(root).at(Step::Root, "chroot")
    }

    /// What is written below /proc, before parts of it are covered or made read-only.
    fn through_procfs(&self, mounted: Option<Procfs>) -> Result<()> {
        let (sysctls, process) = (&self.plan.sysctls, &self.plan.process);
        if sysctls.is_empty() && !process.is_labelled() {
            return Ok(());
        }
        let procfs = match mounted {
            Some(procfs) => procfs,
            None => Procfs::detached()?,
        };
        for (path, value) in sysctls {
            procfs.write(Step::Sysctl, &format!("sys/{path}"), value)?;
        }
        procfs.label_on_exec(process)
    }

    fn kernel_settings(&self) -> Result<()> {
        let plan = self.plan;
        if let Some(name) = &plan.hostname {
            rustix::system::sethostname(name.as_bytes()).at(Step::Hostname, name)?;
        }
        if let Some(name) = &plan.domainname {
            rustix::system::setdomainname(name.as_bytes()).at(Step::Hostname, name)?;
        }
        if plan.new & NEWNET != 0 {
            net::loopback_up().at(Step::Network, "lo")?;
        }
        if let Some(domain) = plan.personality {
            process::personality(domain).at(Step::User, "personality")?;
        }
        Ok(())
    }

    /// The last changes of the root itself, then limits, directory and user.
    fn settle(&self, root: BorrowedFd<'_>) -> Result<Poised<'_>> {
        if self.plan.root_readonly {
            mount::set_attr_attached(root, false, mount::RDONLY, 0, None).at(Step::Root, "read-only")?;
        }
        if let Some((propagation, below)) = self.plan.propagation {
            mount::set_attr_attached(root, below, 0, 0, Some(propagation)).at(Step::Root, "propagation")?;
        }
        if let Some((mode, nodes)) = &self.plan.memory_policy {
            dhow_sys::sched::set_memory_policy(*mode, nodes).at(Step::Rlimit, "linux.memoryPolicy")?;
        }
        become_::detach(&self.plan.process, self.manner.keep)?;
        become_::poise(root, &self.plan.process, self.manner.keep)
    }

    /// Waits for leave. A parent that goes away without a word takes us with it.
    fn gate(&self) -> Result<()> {
        match fdpass::recv(self.socket).at(Step::Io, "gate")? {
            Some(_) => Ok(()),
            None => Err(Failure::new(Step::Io, "gate", Kind::Other, "was closed")),
        }
    }
}

/// Whether the child can do without its cgroup until the mounts are made that show it: nobody looks for it there before, and no namespace is
/// entered whose user may not write there.
pub(crate) fn may_be_grouped_late(plan: &Plan, hooks: Option<&Hooks>) -> bool {
    plan.userns.is_none() && !says_entered(plan, hooks)
}

/// Whether the child makes its network namespace by itself, not clone: it takes longer than all others together, and as long as its parent
/// has the cgroup to make it would wait anyway. Once it is in its cgroup, on the other hand, the namespace's memory would be the container's.
pub(crate) fn makes_network(plan: &Plan, grouped_late: bool) -> bool {
    grouped_late && plan.new & NEWNET != 0
}

/// Whether the child can tell of its network namespace before its mounts are made: nobody else has to do with it until then.
pub(crate) fn may_tell_network(plan: &Plan, hooks: Option<&Hooks>) -> bool {
    plan.userns.is_none() && hooks.is_none() && plan.net_devices.is_empty()
}

/// Whether the child tells when it is in its namespaces, since its parent has something to do then.
pub(crate) fn says_entered(plan: &Plan, hooks: Option<&Hooks>) -> bool {
    !plan.net_devices.is_empty() || hooks.is_some_and(|hooks| hooks.has(Moment::CreateRuntime))
}

/// This process's number in the container.
fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Brings descriptors 0 to 2 in place: given ones, or a new terminal, whose master is returned. The caller leads its session.
pub(crate) fn open_stdio(
    root: BorrowedFd<'_>,
    stdio: &Stdio,
    plan: &crate::procplan::ProcessPlan,
    console: bool,
) -> Result<Option<OwnedFd>> {
    match stdio {
        Stdio::Given { stdin, stdout, stderr } => {
            become_::place_stdio(root, plan, [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
            Ok(None)
        }
        Stdio::Terminal { size } => {
            let (master, slave) = console::open(root, size.or(plan.console_size), plan.uid)?;
            if console {
                console::bind(root, &slave)?;
            }
            console::control(&slave)?;
            become_::place_stdio(root, plan, [slave.as_fd(); 3])?;
            Ok(Some(master))
        }
    }
}
