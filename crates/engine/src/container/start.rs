//! Starts: everything is computed here, the shim does the rest.

use super::actor::{Actor, Live};
use super::command::By;
use super::machine::Move;
use super::machine::is_active;
use super::sinks;
use super::slot::is_restarting;
use crate::burials::PATIENCE;
use crate::create::{log, validate};
use crate::error::{Error, Kind, Result};
use crate::failure::{self, NotRun};
use crate::model::network::Held;
use crate::model::{Container, IpcMode, Mount, MountKind, NamespaceMode, NetworkMode, Restarts, Sandbox, Status};
use crate::parts::Parts;
use crate::paths::clean;
use crate::spec::{self, Inputs, Joins, user};
use crate::volumes::{Mounted, Ready};
use crate::{clock, devices, health, links, network, policy, sandbox, userns, volumes};
use dhow_db::Durability;
use dhow_runtime::{Listener, Step};
use dhow_shim::ShimConfig;
use dhow_shim::config::{Foreign, VolumeConfig};
use dhow_shim::handle::{self, Running};
use dhow_shim::protocol;
use dhow_storage::SnapshotKey;
use dhow_sys::overlay::Overlay;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What the engine found out for one start.
struct Prepared {
    config: ShimConfig,
    sandbox: Sandbox,
    user: user::Resolved,
    log_path: String,
}

impl Actor {
    /// Starts the container, or says why it does not run.
    pub(super) async fn start(&mut self, by: By) -> Result<()> {
        match self.container.state.status {
            Status::Restarting if by == By::Policy => {}
            status if by == By::Engine && status != Status::Exited => return Ok(()),
            Status::Running | Status::Restarting => return Err(Error::new(Kind::NotModified, "container is already running")),
            Status::Paused => return Err(Error::new(Kind::Conflict, "cannot start a paused container, try unpause instead")),
            Status::Removing | Status::Dead => {
                return Err(Error::new(Kind::Conflict, "container is marked for removal and cannot be started"));
            }
            Status::Created | Status::Exited => {}
        }
        if self.parts.is_closing() {
            return Err(Error::new(Kind::Unavailable, "the engine is closing"));
        }
        if let Some(cleanup) = self.take_cleanup()
            && let Err(error) = cleanup.await
        {
            tracing::error!(container = self.container.id, %error, "clean-up failed");
        }
        if by != By::Policy {
            self.container.state.restarts = Restarts::default();
        }
        let begun = Instant::now();
        self.parts.burials.lull.ask();
        let linkable = links::check(&self.parts.registry, &self.container);
        let attached = match linkable.and_then(|()| network::attach(&self.parts.networks, &self.container)) {
            Ok(attached) => attached.map(|mut attached| {
                self.hold(std::mem::take(&mut attached.held));
                attached
            }),
            Err(error) => {
                let not_run = NotRun { message: error.message.clone(), code: 128, kind: error.kind };
                self.start_failed(not_run, by).await;
                return Err(error);
            }
        };
        let prepared = match volumes::ready(&self.parts, &self.container).await {
            Ok(ready) => self.prepared(ready).await,
            Err(error) => Err(error),
        };
        let prepared = match prepared {
            Ok(mut prepared) => sinks::resolve(prepared.0.config.sink.as_mut()).await.map(|()| prepared),
            Err(error) => Err(error),
        };
        // It was being written all the while.
        let prepared = match prepared {
            Ok(prepared) => self.recorded().await.map(|()| prepared),
            Err(error) => Err(error),
        };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                super::links::close(&self.parts, &self.container);
                network::detach(&self.parts.networks, &mut self.container);
                let not_run = NotRun { message: error.message.clone(), code: 128, kind: error.kind };
                self.start_failed(not_run, by).await;
                return Err(error);
            }
        };
        let (Prepared { mut config, sandbox, user, log_path }, mounted) = prepared;
        let mut clients = self.take_clients(&mut config);
        let mut later = Vec::new();
        if let Some(attached) = attached {
            config.network = Some(attached.config);
            clients.extend(attached.sockets);
            later = attached.later;
            // Before the shim is made: whatever becomes of us then, the next engine knows what it has.
            self.parts.store.update_later(&self.container);
        }
        let computed = begun.elapsed();
        match self.parts.spawner.spawn_with(self.parts.ahead.take(), config, clients).await {
            Ok(running) => {
                self.container.sandbox = sandbox;
                self.container.log_path = log_path;
                let timings = [("engine.compute", computed), ("engine.spawn", begun.elapsed().saturating_sub(computed))]
                    .map(|(name, time)| (name.to_owned(), u64::try_from(time.as_micros()).unwrap_or(u64::MAX)));
                self.slot.set_timings(timings.into_iter().chain(running.timings.iter().cloned()).collect());
                self.started(running, user, mounted).await;
                self.send_relays(later).await;
                Ok(())
            }
            Err(error) => {
                if !matches!(error, handle::Error::Refused(_) | handle::Error::Spawner(_)) {
                    self.clean_up_half_started().await;
                }
                super::links::close(&self.parts, &self.container);
                network::detach(&self.parts.networks, &mut self.container);
                let not_run = not_run(&self.parts, &self.container, &error);
                let answer = not_run.error();
                self.start_failed(not_run, by).await;
                Err(answer)
            }
        }
    }

    /// The clients that wait for the start, as the shim is given them: their sockets, then the head of one that has one to come.
    fn take_clients(&mut self, config: &mut ShimConfig) -> Vec<OwnedFd> {
        let (mut clients, mut head) = (Vec::new(), None);
        for pending in std::mem::take(&mut self.pending) {
            if crate::client::hung_up(&pending.client.socket) {
                continue;
            }
            match pending.head {
                // There is one, of whoever made the container.
                Some(first) if head.is_none() => head = first.share().map(|pipe| (clients.len(), pipe)),
                Some(further) => further.write(),
                None => {}
            }
            config.attach.push(pending.config);
            clients.push(pending.client.socket);
        }
        if let Some((at, pipe)) = head {
            config.head = Some(at);
            clients.push(pipe);
        }
        clients
    }

    /// What the shim is told. On a full disk it is computed, and its files are written, once more when what was removed last is off it.
    async fn prepared(&self, ready: Ready) -> Result<(Prepared, Vec<Arc<Mounted>>)> {
        let once = || prepare(&self.parts, &self.container, ready.sources.clone(), &ready.read_only);
        let prepared = match once() {
            Err(error) if error.is_disk_full() => {
                self.parts.burials.settled(PATIENCE).await;
                once()?
            }
            done => done?,
        };
        Ok((prepared, ready.mounted))
    }

    /// Waits for its first record, unless that is put off: what runs is known to the next engine.
    async fn recorded(&mut self) -> Result<()> {
        let Some(recording) = self.recording.take_if(|recording| !recording.late) else { return Ok(()) };
        let done = recording.done.await;
        self.record_again(done).await
    }

    /// On a full disk it is written once more, when what was removed last is off it.
    async fn record_again(&mut self, done: Result<()>) -> Result<()> {
        match done {
            Err(error) if error.is_disk_full() => {
                self.parts.burials.settled(PATIENCE).await;
                self.parts.store.insert(&self.container, Durability::Process).await
            }
            done => done,
        }
    }

    /// A record that was put off is written, or not. What cannot be recorded is ended: the next engine would not know it.
    pub(super) async fn on_recorded(&mut self, done: Result<()>) {
        let Err(error) = self.record_again(done).await else { return };
        tracing::error!(container = self.container.id, %error, "it cannot be recorded and is ended");
        if let Some(live) = &self.live
            && let Err(error) = live.shim.kill(crate::signal::KILL, true).await
        {
            tracing::error!(container = self.container.id, %error, "it was not ended");
        }
    }

    /// What it has of networks is the container's from now on.
    fn hold(&mut self, held: Held) {
        self.container.networks = held.memberships;
        self.container.published = held.published;
    }

    async fn started(&mut self, running: Running, user: user::Resolved, volumes: Vec<Arc<Mounted>>) {
        let first = self.container.state.started_at.is_none();
        self.step(Move::Start);
        let state = &mut self.container.state;
        (state.pid, state.pid_start_time) = (0, 0);
        state.started_at = Some(clock::now());
        if let protocol::State::Running { pid, start_time, at } = running.state {
            (state.pid, state.pid_start_time, state.started_at) = (pid, start_time, Some(at));
        }
        state.exit_code = 0;
        state.error.clear();
        state.oom_killed = false;
        state.restarts.due = None;
        health::started(&self.container.request, state);
        // Not waited for: should the engine die before it is written, the shim is found by its directory.
        self.parts.store.started(&self.container, first);
        self.live = Some(Live { shim: running.shim, events: running.events, user: Some(user), names: None, volumes });
        self.publish();
        self.serve_names().await;
        super::links::moved(&self.parts, &self.container.id);
        volumes::tell_mounts(&self.parts, &self.container);
        network::tell_all(&self.parts.networks, &self.parts.events, &self.container, "connect");
        self.tell("start", &[]);
        if let protocol::State::Exited(exit) = running.state {
            self.on_exit(exit).await;
        }
    }

    /// A shim that was lost on the way may have left something.
    async fn clean_up_half_started(&self) {
        let dir = self.parts.shim_dir(&self.container.id);
        let cleaned = tokio::task::spawn_blocking(move || handle::clean_up(&dir)).await.map_err(std::io::Error::other).and_then(|r| r);
        if let Err(error) = cleaned {
            tracing::warn!(container = self.container.id, %error, "not all that a lost shim left was removed");
        }
    }

    /// The state stays what it was; the reason is kept.
    async fn start_failed(&mut self, why: NotRun, by: By) {
        self.pending.clear();
        if by == By::Policy {
            // It stays as its last run left it. Who waits for an end has it now.
            self.container.state.error = why.message;
            if let Err(error) = self.stay().await {
                tracing::error!(container = self.container.id, %error, "the reason of a failed restart was not saved");
            }
            return;
        }
        if self.container.request.auto_remove {
            self.container.state.exit_code = why.code;
            self.container.state.error = why.message;
            if let Err(error) = self.remove_now(true).await {
                tracing::error!(container = self.container.id, %error, "a container that did not start was not removed");
            }
            return;
        }
        self.container.state.exit_code = why.code;
        self.container.state.error = why.message;
        if let Err(error) = self.parts.store.state(&self.container.id, &self.container.state).await {
            tracing::error!(container = self.container.id, %error, "the reason of a failed start was not saved");
        }
        self.publish();
    }
}

/// Computes all that the shim is told. What touches the disk here takes microseconds.
fn prepare(parts: &Parts, container: &Container, volumes: Vec<VolumeConfig>, read_only: &[PathBuf]) -> Result<Prepared> {
    let request = &container.request;
    let host = &request.host;
    validate::sysctls(host)?;
    let Joined { joins, sandbox: joined, others } = joins(parts, container)?;
    let userns = userns::of(parts.options.userns.as_ref(), host, &others)?;
    let mut overlay = parts.layers.mount(&SnapshotKey(container.id.clone()))?;
    overlay.volatile = request.auto_remove;
    if overlay.volatile && container.state.started_at.is_some() {
        allow_again(&overlay)?;
    }
    let accounts = parts.accounts.stopped(&overlay)?;
    let user = user::resolve(&request.user, &host.group_add, &accounts)?;
    let capabilities = capabilities(container)?;
    let runtime = foreign(parts, &host.runtime)?;
    let seccomp = match runtime {
        None => parts.filters.get(&host.seccomp, host.privileged, &capabilities, &parts.host)?,
        Some(_) => None,
    };
    let linked = links::environment(&parts.registry, container, true)?;
    super::links::open(parts, Some(container))?;
    let sandbox = sandbox::prepare(parts, container, joined.as_ref(), userns.as_ref())?;
    let mut with_sandbox = container.clone();
    with_sandbox.sandbox = sandbox.clone();
    for mount in &mut with_sandbox.request.host.mounts {
        mount.read_only |= read_only.contains(&clean(&mount.target));
    }
    let init = if host.init && host.pid == NamespaceMode::Private { Some(parts.init_program()?) } else { None };
    let mut spec = spec::build(Inputs {
        container: &with_sandbox,
        host: &parts.host,
        user: &user,
        capabilities: &capabilities,
        linked: &linked,
        joins: &joins,
        userns: userns.as_ref(),
        cgroup: cgroup_path(parts, container),
        init: init.as_deref(),
        devices: devices::look_up(host, &parts.options.cdi_dirs)?,
        apparmor: policy::apparmor::profile(host, parts.host.apparmor),
    });
    if runtime.is_some()
        && let Some(linux) = spec.linux_mut()
    {
        linux.set_seccomp(spec::seccomp::profile(&host.seccomp, host.privileged, &capabilities, &parts.host)?);
    }
    let log_file = parts.log_file(&container.id);
    let log = log::log_config(container, log_file)?;
    let sink = log::sink_config(container)?;
    let log_path = log.as_ref().map(|l| l.path.to_string_lossy().into_owned()).unwrap_or_default();
    let dir = parts.shim_dir(&container.id);
    let listener = match &seccomp {
        Some(program) if program.needs_listener() => {
            let profile = spec::seccomp::profile(&host.seccomp, host.privileged, &capabilities, &parts.host)?;
            profile.and_then(|profile| Listener::of_profile(&profile, &spec, &container.id, &dir)).map(Box::new)
        }
        _ => None,
    };
    let config = ShimConfig {
        id: container.id.clone(),
        spec,
        listener,
        root: overlay,
        root_follows: false,
        seccomp: seccomp.map(|program| (*program).clone()),
        dir,
        log,
        sink,
        tty: request.tty,
        console_size: request.console_size,
        open_stdin: request.open_stdin,
        stdin_once: request.stdin_once,
        pin_netns: sandbox::pin(parts, container),
        make_sources: binds(container).filter(|m| m.create_source).map(|m| m.source.clone()).collect(),
        volumes,
        runtime,
        attach: Vec::new(),
        head: None,
        network: None,
        health: request.health.as_ref().map(|check| health::config(container, check, &user, &capabilities, &linked)),
    };
    Ok(Prepared { config, sandbox, user, log_path })
}

/// The foreign runtime of that name, which may have left the configuration since the container was made.
fn foreign(parts: &Parts, name: &str) -> Result<Option<Foreign>> {
    match parts.live().runtimes.get(name).cloned() {
        None if !name.is_empty() => Err(Error::new(Kind::Invalid, format!("unknown or invalid runtime name: {name}"))),
        found => Ok(found),
    }
}

/// The capabilities of a container's processes.
pub(crate) fn capabilities(container: &Container) -> Result<Vec<oci_spec::runtime::Capability>> {
    let host = &container.request.host;
    if host.privileged {
        return Ok(policy::capabilities::all());
    }
    policy::capabilities::resolve(&host.cap_add, &host.cap_drop).map_err(|message| Error::new(Kind::Invalid, message))
}

/// Its group in every hierarchy.
pub(crate) fn cgroup_path(parts: &Parts, container: &Container) -> String {
    let parent = container.request.host.cgroup_parent.as_deref().filter(|p| !p.is_empty()).unwrap_or(&parts.options.cgroup_parent);
    format!("/{}/{}", parent.trim_matches('/'), container.id)
}

/// What a container has of others.
#[derive(Default)]
struct Joined {
    /// Their namespaces.
    joins: Joins,
    /// The sandbox, where that is another's.
    sandbox: Option<Sandbox>,
    /// They themselves. They run.
    others: Vec<Arc<Container>>,
}

/// The namespaces of other containers that it joins.
fn joins(parts: &Parts, container: &Container) -> Result<Joined> {
    let host = &container.request.host;
    let Joined { mut joins, sandbox: mut joined, mut others } = Joined::default();
    if let NetworkMode::Container(id) = &host.network {
        let other = other(parts, id)?;
        if other.id == container.id {
            return Err(Error::new(Kind::Invalid, "cannot join own network namespace"));
        }
        if other.state.status == Status::Restarting {
            return Err(is_restarting(&other.id));
        }
        if !is_active(other.state.status) {
            let text = format!(
                "cannot join network namespace of a non running container: container {} is {}",
                other.name,
                other.state.status.as_str()
            );
            return Err(Error::new(Kind::Conflict, text));
        }
        joins.network = Some(match other.request.host.network {
            NetworkMode::Host => namespace_of(&other, "net")?,
            _ => PathBuf::from(&other.sandbox.key),
        });
        joined = Some(other.sandbox.clone());
        others.push(other);
    }
    if let IpcMode::Container(id) = &host.ipc {
        let other = other(parts, id)?;
        if other.state.status == Status::Restarting {
            return Err(is_restarting(&other.id));
        }
        if !is_active(other.state.status) {
            let text = format!("failed to join IPC namespace: container {} is not running", other.id);
            return Err(Error::new(Kind::Conflict, text));
        }
        if matches!(other.request.host.ipc, IpcMode::Private | IpcMode::None) {
            let hint = "non-shareable IPC (hint: use IpcMode:shareable for the donor container)";
            return Err(Error::new(Kind::Invalid, format!("failed to join IPC namespace: container {}: {hint}", other.id)));
        }
        joins.ipc = Some(namespace_of(&other, "ipc")?);
        joins.shm = Some(PathBuf::from(format!("/proc/{}/root/dev/shm", other.state.pid)));
        others.push(other);
    }
    if let NamespaceMode::Container(id) = &host.pid {
        let other = other(parts, id)?;
        if other.state.status == Status::Restarting {
            return Err(is_restarting(&other.id));
        }
        if !is_active(other.state.status) {
            return Err(Error::new(Kind::Conflict, format!("failed to join PID namespace: container {} is not running", other.id)));
        }
        joins.pid = Some(namespace_of(&other, "pid")?);
        others.push(other);
    }
    Ok(Joined { joins, sandbox: joined, others })
}

/// A container that this one refers to. Where it is gone, the request is wrong: what was asked to start is there.
fn other(parts: &Parts, id: &str) -> Result<Arc<Container>> {
    let slot = parts.registry.get(id).map_err(|e| Error::new(Kind::Invalid, e.message))?;
    Ok(slot.get())
}

/// A namespace of another container by its process, which must still be the one that was started.
fn namespace_of(other: &Container, kind: &str) -> Result<PathBuf> {
    let pid = other.state.pid;
    match dhow_sys::process::start_time(pid) {
        Ok(time) if pid > 0 && time == other.state.pid_start_time => Ok(PathBuf::from(format!("/proc/{pid}/ns/{kind}"))),
        _ => Err(super::slot::not_running(&other.id)),
    }
}

/// A volatile overlay leaves a mark that forbids a second mount, in case the machine went down in between. It did not: a container of this
/// kind that was lost is removed when the engine opens.
pub(crate) fn allow_again(overlay: &Overlay) -> Result<()> {
    let Some(work) = &overlay.work else { return Ok(()) };
    let mark = work.join("work/incompat/volatile");
    match std::fs::remove_dir_all(&mark) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::internal("remove", mark.display(), e)),
        _ => Ok(()),
    }
}

/// Its mounts of directories and files of the host. Nobody but the shim looks at their sources, which may lie on a filesystem that hangs.
fn binds(container: &Container) -> impl Iterator<Item = &Mount> {
    container.request.host.mounts.iter().filter(|mount| mount.kind == MountKind::Bind)
}

/// Why it does not run. A source that was there at the create may be gone.
fn not_run(parts: &Parts, container: &Container, error: &handle::Error) -> NotRun {
    match error {
        handle::Error::Refused(f) if matches!(f.step, Step::Volume | Step::Part) => {
            let message = volumes::words(parts, container, f).unwrap_or_else(|| f.to_string());
            NotRun { message, code: 128, kind: Kind::Internal }
        }
        handle::Error::Refused(f)
            if f.step == Step::Mount && f.is_missing() && binds(container).any(|m| m.source == Path::new(&f.object)) =>
        {
            NotRun { message: failure::missing_source(Path::new(&f.object)), code: 128, kind: Kind::Invalid }
        }
        other => failure::of_start(other),
    }
}
