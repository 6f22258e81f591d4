//! From a message to a running container, in the order that makes it run soonest.
//!
//! ```text
//! parse > directory > state.json > cgroup > pipes, log > root > runtime: create, start     (the program runs)
//!                            beside the last steps of these two: standby (shim.sock, pin, name, score)
//!       > Hello, Started                                                            (the daemon answers)
//!       > state.json with the pid, memory given back                                (nobody waits)
//! ```
//!
//! Each step's undoing is in [`Undo`], which acts when it is dropped before the start.

use super::ahead::Ahead;
use super::launcher::{Launcher, Mounted};
use super::peers::Peers;
use super::poll::{Poll, Token, Watched};
use super::probes::Monitor;
use super::relay::Relays;
use super::session::{Ends, Session};
use super::sink::Sink;
use super::standby::Standby;
use super::stdio::{self, Wanted};
use super::{Container, Life, Shim, fail, now, volumes};
use crate::config::sink::LOGGING_DRIVER;
use crate::config::{AttachConfig, ShimConfig};
use crate::document;
use crate::files::{self, Record};
use crate::head::Head;
use crate::log::Log;
use crate::protocol::{FromShim, State};
use dhow_runtime::cgroup::{Cgroup, Tally};
use dhow_runtime::idmap::IdMap;
use dhow_runtime::{Failure, Stdio, Step};
use dhow_sys::signal::Signals;
use oci_spec::runtime::{LinuxNamespaceType, Spec, User};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How long each step took.
pub(crate) struct Phases {
    last: Instant,
    list: Vec<(String, u64)>,
}

impl Phases {
    /// Counts from now.
    pub(crate) fn new() -> Self {
        Self { last: Instant::now(), list: Vec::new() }
    }

    fn done(&mut self, name: &str) {
        let at = Instant::now();
        self.list.push((name.to_owned(), at.duration_since(self.last).as_micros() as u64));
        self.last = at;
    }
}

/// What was made so far. Dropped before the daemon knows that the container runs it takes all of it away again.
struct Undo {
    dir: PathBuf,
    cgroup: Option<Cgroup>,
    pin: Option<PathBuf>,
    launcher: Launcher,
    armed: bool,
}

impl Drop for Undo {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        // The failure that led here is what the daemon is told; it cleans up after us if the directory stays.
        let _ = self.launcher.forget(&self.dir);
        let removed = self.cgroup.as_ref().map_or(Ok(()), |cgroup| {
            let killed = cgroup.kill().map_err(io::Error::other);
            killed.and(files::undo(cgroup, self.pin.as_deref()))
        });
        if removed.is_ok() {
            let _ = files::remove_files(&self.dir);
        }
    }
}

/// Why there is no container. Nothing is left of it but, perhaps, our descriptor of its root: that goes when the daemon knows, since the
/// last unmount of an overlay may have to wait for a disk.
pub(crate) struct Stillborn {
    id: String,
    failure: Failure,
    _root: Option<OwnedFd>,
}

impl Stillborn {
    /// Tells the daemon.
    pub(crate) fn announce(self, control: &OwnedFd) {
        for message in [super::greeting(&self.id, State::Starting, None), FromShim::StartFailed { failure: self.failure }] {
            // Nobody else is there to be told.
            let _ = dhow_sys::fdpass::send(control, &super::peers::encode(&message), &[]);
        }
        super::peers::discard_input(control);
    }
}

/// Makes the container that `raw` (a [`ShimConfig`]) describes. `control` is the daemon's connection, `clients` are the sockets of
/// `config.attach`.
pub(crate) fn run(raw: &[u8], control: &OwnedFd, clients: Vec<OwnedFd>, (phases, ahead): (Phases, Ahead)) -> Result<Shim, Box<Stillborn>> {
    let stillborn = |id, failure, root| Box::new(Stillborn { id, failure, _root: root });
    let mut config: ShimConfig = match serde_json::from_slice(raw) {
        Ok(config) => config,
        Err(e) => return Err(stillborn(String::new(), fail(Step::Spec, "the shim's configuration", &e.into()), None)),
    };
    ahead.lend(&mut config);
    let mut root = None;
    let made = make(&mut config, control, clients, phases, &mut root);
    made.map_err(|failure| stillborn(config.id, failure, root))
}

/// The steps. On a failure everything is undone; the root filesystem goes to `root`.
fn make(
    config: &mut ShimConfig,
    control: &OwnedFd,
    mut clients: Vec<OwnedFd>,
    mut phases: Phases,
    root: &mut Option<OwnedFd>,
) -> Result<Shim, Failure> {
    defaults(&mut config.spec);
    let (mut head, ports) = sort(config, &mut clients)?;
    phases.done("received");

    let io_fail = |path: &Path, e: io::Error| fail(Step::Io, &path.display().to_string(), &e);
    files::make_dir(&config.dir).map_err(|e| io_fail(&config.dir, e))?;
    let mut undo = Undo { dir: config.dir.clone(), cgroup: None, pin: None, launcher: Launcher::of(config), armed: true };
    let path = cgroup_path(config);
    let mut record = Record {
        id: config.id.clone(),
        shim_pid: rustix::process::getpid().as_raw_nonzero().get(),
        pid: None,
        start_time: None,
        at: None,
        cgroup: Cgroup::at(&path)?,
        pin: config.pin_netns.clone(),
        runtime: config.runtime.clone(),
        volumes: Vec::new(),
    };
    let found = volumes::find(&config.volumes)?;
    record.volumes.clone_from(&found.record);
    // First the record of what will have to be undone.
    let state = document::write(&config.dir, files::STATE, &record).map_err(|e| io_fail(&config.dir.join(files::STATE), e))?;
    let (mut cgroup, unfinished) = undo.launcher.cgroup(&path, config)?;
    undo.cgroup = Some(cgroup.clone());
    phases.done("cgroup");

    let map = id_map(&config.spec)?;
    config.make_sources.iter().try_for_each(|path| make_source(path, map.as_deref()))?;
    let log = config.log.as_ref().map(|log| Log::open(log).map_err(|e| io_fail(&log.path, e))).transpose()?;
    let poll = Poll::new().map_err(|e| io_fail(&config.dir, e))?;
    let sink = config.sink.as_ref().map(|sink| Sink::open(&poll, sink)).transpose();
    let sink = sink.map_err(|e| fail(Step::Io, LOGGING_DRIVER, &e))?;
    let (stdio, ends) = streams(config, map.as_deref())?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|e| fail(Step::Io, "subreaper", &e.into()))?;
    phases.done("streams");
    let mut mounted = None;
    if config.root_follows {
        mounted = Some(receive_root(control)?);
        phases.done("root");
    }
    undo.pin.clone_from(&config.pin_netns);
    let mut standby = None;
    if mounted.is_none() || !undo.launcher.stands_by(config) {
        greet(&mut head, &clients);
    }
    let mut launched =
        undo.launcher.launch(config, (&mut cgroup, unfinished), stdio, (mounted, &found.trees), root, &mut |cgroup, pid, netns| {
            standby = Some(Standby::make(config, &poll, cgroup, (pid, Some(netns))));
            // Not sooner: a client that is answered takes the processor from those that make the container.
            greet(&mut head, &clients);
        })?;
    let at = now();
    phases.list.append(&mut launched.timings);
    phases.last = Instant::now();
    let netns = launched.netns.as_ref().map(AsFd::as_fd);
    let standby = standby.unwrap_or_else(|| Standby::make(config, &poll, &cgroup, (launched.pid, netns)));
    let standby = standby.map_err(|e| io_fail(&config.dir, e))?;
    let ends = match launched.console.take() {
        Some(console) => stdio::of_console(console, config.open_stdin).map_err(|e| fail(Step::Console, "terminal", &e))?,
        None => ends,
    };

    rustix::net::listen(&standby.socket, 16).map_err(|e| io_fail(&config.dir.join(files::SOCKET), e.into()))?;
    let listener = Watched::new(&poll, standby.socket, Token::Listener);
    let mut shim = assemble(config, poll, (launched.pid, launched.start_time, at), cgroup, (standby.signals, listener), ends, log);
    if let Some((session, sink)) = shim.sessions.get_mut(&0).zip(sink) {
        session.send_to(sink);
    }
    shim.container.pidfd = Some(launched.pidfd);
    shim.container.root = Some(launched.root);
    shim.container.layers = launched.layers;
    shim.container.layers.extend(found.held);
    shim.container.map = map;
    shim.container.listener = config.listener.take();
    shim.resolver = launched.resolver.take();
    greet(&mut head, &clients);
    attach(&mut shim, std::mem::take(&mut config.attach), clients);
    if let Some(network) = config.network.take().filter(|network| !network.relays.is_empty()) {
        shim.relays = Some(Box::new(Relays::new(&shim.poll, network.relays, ports)));
    }
    phases.done("announce");
    announce(&mut shim, control, phases.list)?;
    undo.armed = false;
    shim.launcher = std::mem::replace(&mut undo.launcher, Launcher::Own(None));

    let hooked = launched.complaint.map_or(Ok(()), |failure| Err(io::Error::other(failure)));
    shim.warn(hooked, "run the hooks after the start");
    record.pid = Some(shim.container.pid);
    record.start_time = Some(shim.container.start_time);
    record.at = Some(at);
    record.cgroup.clone_from(&shim.container.cgroup);
    shim.warn(document::rewrite(&state, &record), "record the start");
    shim.container.mntns = standby.mntns;
    match standby.memory {
        Ok(memory) => shim.memory = memory,
        Err(error) => shim.warn(Err(error), "watch the memory controller"),
    }
    shim.container.pin = config.pin_netns.take();
    shim.warn(standby.pinned, "pin the network namespace");
    shim.warn(standby.named, "set the shim's name");
    if let Some(health) = config.health.take() {
        shim.health = Some(Box::new(Monitor::new(health, config.seccomp.take())));
    }
    shim.soon_idle();
    Ok(shim)
}

/// What came with the configuration, in its order: the clients stay, the head of one of them comes by its number, then the ports.
fn sort(config: &ShimConfig, clients: &mut Vec<OwnedFd>) -> Result<(Option<(usize, Head)>, Vec<OwnedFd>), Failure> {
    let ports = config.network.as_ref().map_or(0, |network| network.relays.len());
    let (attached, heads) = (config.attach.len(), usize::from(config.head.is_some()));
    if clients.len() != attached + heads + ports || config.head.is_some_and(|at| at >= attached) {
        let what = format!("{} descriptors for {attached} clients, {heads} of them with a head, and {ports} ports", clients.len());
        return Err(fail(Step::Io, &config.id, &io::Error::new(io::ErrorKind::InvalidInput, what)));
    }
    let mut behind = clients.split_off(attached).into_iter();
    let head = config.head.zip(behind.by_ref().take(heads).next().map(Head::from));
    Ok((head, behind.collect()))
}

/// Gives a client its head, once. One that does not take it has gone, which shows when it is served.
fn greet(head: &mut Option<(usize, Head)>, clients: &[OwnedFd]) {
    if let Some((at, head)) = head.take()
        && let Some(client) = clients.get(at)
    {
        let _ = head.give(client);
    }
}

/// The root filesystem, or why the daemon could not mount it. A daemon that goes before has not started anything.
fn receive_root(control: &OwnedFd) -> Result<Mounted, Failure> {
    let broken = |e: io::Error| fail(Step::Root, "from the daemon", &e);
    let received = dhow_sys::fdpass::recv(control).and_then(|message| message.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()));
    let (body, fds) = received.map_err(broken)?;
    serde_json::from_slice::<Result<(), Failure>>(&body).map_err(|e| broken(e.into()))??;
    let mut fds = fds.into_iter();
    let root = fds.next().ok_or_else(|| broken(io::ErrorKind::InvalidData.into()))?;
    Ok((root, fds.collect()))
}

/// A directory where there is nothing yet. It belongs to the container's root.
fn make_source(path: &Path, map: Option<&IdMap>) -> Result<(), Failure> {
    let owner = map.and_then(|map| map.host_uid(0).zip(map.host_gid(0)));
    let missing = path.ancestors().take_while(|path| path.symlink_metadata().is_err());
    let missing: Vec<_> = missing.collect();
    for dir in missing.into_iter().rev() {
        let fail = |e| Failure::io(Step::Source, path.to_string_lossy(), e);
        match std::fs::DirBuilder::new().mode(0o755).create(dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made.map_err(fail)?,
        }
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::lchown(dir, Some(uid), Some(gid)).map_err(fail)?;
        }
    }
    Ok(())
}

/// The ids of the container's user namespace, where it has one of its own.
fn id_map(spec: &Spec) -> Result<Option<Box<IdMap>>, Failure> {
    let Some(linux) = spec.linux() else { return Ok(None) };
    Ok(IdMap::of(linux.uid_mappings().as_deref(), linux.gid_mappings().as_deref())?.map(Box::new))
}

/// What an absent field means to us: the container does not inherit the shim's own score.
fn defaults(spec: &mut Spec) {
    if let Some(process) = spec.process_mut()
        && process.oom_score_adj().is_none()
    {
        process.set_oom_score_adj(Some(0));
    }
}

fn cgroup_path(config: &ShimConfig) -> String {
    let path = config.spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    path.map_or_else(|| format!("/{}", config.id), |path| path.display().to_string())
}

fn streams(config: &ShimConfig, map: Option<&IdMap>) -> Result<(Stdio, Ends), Failure> {
    let wanted = Wanted { tty: config.tty, size: config.console_size, stdin: config.open_stdin, stdout: true, stderr: true };
    let root = User::default();
    let user = config.spec.process().as_ref().map_or(&root, |process| process.user());
    stdio::make(wanted, user, map).map_err(|e| fail(Step::Io, "standard streams", &e))
}

/// The running shim, without what the launch still owns.
fn assemble(
    config: &ShimConfig,
    poll: Poll,
    (pid, start_time, at): (i32, u64, i64),
    cgroup: Cgroup,
    (signals, listener): (Watched<Signals>, Watched),
    ends: Ends,
    log: Option<Log>,
) -> Shim {
    let session = Session::new(&poll, 0, ends, config.tty, config.stdin_once, log);
    Shim {
        peers: Peers::new(&poll),
        poll,
        signals,
        listener: Some(listener),
        memory: None,
        id: config.id.clone(),
        dir: config.dir.clone(),
        launcher: Launcher::Own(None),
        container: Container {
            pid,
            pidfd: None,
            start_time,
            at,
            cgroup,
            root: None,
            mntns: None,
            layers: Vec::new(),
            pin: None,
            shares_pids: shares_pids(&config.spec),
            map: None,
            listener: None,
            paused: false,
            oom: Tally::default(),
            life: Life::Running,
        },
        sessions: BTreeMap::from([(0, session)]),
        execs: Vec::new(),
        health: None,
        relays: None,
        resolver: None,
        next: 1,
        scratch: Vec::new(),
        idle_after: None,
        released: None,
    }
}

/// Whether the end of the first process leaves the others alive.
fn shares_pids(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let own = |namespaces: &Vec<oci_spec::runtime::LinuxNamespace>| {
        namespaces.iter().any(|ns| ns.typ() == LinuxNamespaceType::Pid && ns.path().is_none())
    };
    !namespaces.is_some_and(own)
}

fn attach(shim: &mut Shim, configs: Vec<AttachConfig>, clients: Vec<OwnedFd>) {
    for (config, socket) in configs.into_iter().zip(clients) {
        shim.attach(0, socket, config);
    }
}

fn announce(shim: &mut Shim, control: &OwnedFd, timings: Vec<(String, u64)>) -> Result<(), Failure> {
    let copy = rustix::io::fcntl_dupfd_cloexec(control, 3).map_err(|e| fail(Step::Io, "control socket", &e.into()))?;
    let greeting = shim.greeting(State::Starting);
    shim.peers.add(copy, &greeting).map_err(|e| fail(Step::Io, "control socket", &e))?;
    let (pid, start_time, at) = (shim.container.pid, shim.container.start_time, shim.container.at);
    shim.peers.announce(&FromShim::Started { pid, start_time, at, timings }, false);
    Ok(())
}
