//! The actor: owns one container's state and does what is asked, one after the other. A stop does not hold the queue up: it is a deadline
//! that the loop watches beside its commands.

use super::command::{Attach, By, Command, ExecBase, Reply};
use super::machine::{Move, is_active, next};
use super::slot::{Slot, is_restarting, not_running};
use super::{Adopted, Recording, tell::tell};
use crate::container::command::WaitFor;
use crate::create::limits;
use crate::error::{Error, Kind, Result};
use crate::model::{Container, Resources, Status};
use crate::network::Served;
use crate::parts::Parts;
use crate::spec::user::Resolved;
use crate::volumes::Mounted;
use crate::{names, signal, spec};
use dhow_shim::config::UpdateConfig;
use dhow_shim::handle::{Event, Shim};
use dhow_shim::protocol;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long an end may take after SIGKILL.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// Seconds between stop signal and SIGKILL where nobody says.
const STOP_SECONDS: i64 = 10;
/// Clients that may wait for a start.
const PENDING: usize = 64;
// With the sockets of ports that go along, a head and the spawner's own socket they are one message.
const _: () = assert!(PENDING + crate::network::ONE_MESSAGE + 2 <= dhow_sys::fdpass::MAX_FDS);

/// A container that runs: the handle of its shim and its news.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) shim: Shim,
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    pub(super) user: Option<Resolved>,
    /// Its questions for names are answered.
    pub(super) names: Option<Served>,
    /// Filesystems of its volumes.
    pub(super) volumes: Vec<Arc<Mounted>>,
}

/// An end that somebody asked for.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// An event `stop` follows.
    pub(super) stop: bool,
    /// Not removed at this end.
    pub(super) keep: bool,
    /// Removed at this end.
    pub(super) remove: bool,
    /// With those of its volumes that nobody named.
    pub(super) volumes: bool,
    /// SIGKILL was sent.
    killed: bool,
    /// When to go a step further.
    deadline: Option<Instant>,
    pub(super) replies: Vec<Reply<()>>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) until: WaitFor,
    pub(super) sender: oneshot::Sender<(i64, Option<String>)>,
}

pub(crate) struct Actor {
    pub(super) parts: Arc<Parts>,
    pub(super) slot: Arc<Slot>,
    pub(super) container: Container,
    pub(super) live: Option<Live>,
    pub(super) ending: Option<Ending>,
    /// When its restart policy starts it again.
    pub(super) retry: Option<Instant>,
    pub(super) pending: Vec<Attach>,
    pub(super) waiters: Vec<Waiter>,
    /// Clean-up of the run before.
    pub(super) cleanup: Option<JoinHandle<()>>,
    /// A run whose exit could not be recorded: its shim is kept.
    pub(super) unrecorded: Option<Live>,
    /// Its record, while that is written for the first time.
    pub(super) recording: Option<Recording>,
    /// The container is no more.
    pub(super) gone: bool,
}

impl Actor {
    pub(super) fn new(parts: Arc<Parts>, slot: Arc<Slot>, recording: Option<Recording>) -> Self {
        let container = (*slot.get()).clone();
        Self {
            parts,
            slot,
            container,
            live: None,
            ending: None,
            retry: None,
            pending: Vec::new(),
            waiters: Vec::new(),
            cleanup: None,
            unrecorded: None,
            recording,
            gone: false,
        }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>, adopted: Option<Adopted>) {
        if let Some(adopted) = adopted {
            self.adopt(adopted).await;
        } else {
            self.back_off();
        }
        while !self.gone {
            let deadline = self.ending.as_ref().and_then(|e| e.deadline);
            tokio::select! {
                biased;
                event = next_event(&mut self.live) => self.on_event(event).await,
                command = queue.recv() => match command {
                    Some(Command::Quit(reply)) => {
                        let _ = reply.send(Ok(()));
                        return;
                    }
                    Some(command) => {
                        // News may have come between the two looks of this very poll; it was there before the command was.
                        self.take_news().await;
                        if !self.gone {
                            self.on_command(command).await;
                        }
                    }
                    None => return,
                },
                done = recorded_late(&mut self.recording) => self.on_recorded(done).await,
                () = at(deadline) => self.on_deadline().await,
                () = at(self.retry) => self.on_retry().await,
            }
        }
        // What is still asked for is answered by the closed queue: no such container.
        queue.close();
    }

    /// Deals with what the shim has told so far.
    async fn take_news(&mut self) {
        while let Some(event) = self.live.as_mut().and_then(|live| live.events.try_recv().ok()) {
            self.on_event(event).await;
        }
    }

    /// Replaces the snapshot that readers see.
    pub(super) fn publish(&self) {
        self.slot.published.send_replace(Arc::new(self.container.clone()));
    }

    pub(super) fn step(&mut self, step: Move) {
        match next(self.container.state.status, step) {
            Some(status) => self.container.state.status = status,
            None => tracing::error!(container = self.container.id, from = self.container.state.status.as_str(), ?step, "illegal move"),
        }
    }

    pub(super) fn tell(&self, action: &str, more: &[(&str, String)]) {
        tell(&self.parts, &self.container, action, more);
    }

    fn is_active(&self) -> bool {
        is_active(self.container.state.status)
    }

    fn id(&self) -> &str {
        &self.container.id
    }

    async fn adopt(&mut self, Adopted { running, volumes }: Adopted) {
        self.live = Some(Live { shim: running.shim, events: running.events, user: None, names: None, volumes });
        match running.state {
            protocol::State::Exited(exit) if self.is_active() && self.container.state.finished_at != Some(exit.at) => {
                self.on_exit(exit).await;
            }
            // Recorded before the engine ended: only the clean-up is left to do.
            protocol::State::Exited(_) => {
                self.unrecorded = self.live.take();
                self.cleanup = self.take_cleanup();
                self.back_off();
            }
            _ => {}
        }
    }

    async fn on_event(&mut self, event: Event) {
        match event {
            Event::Exited(exit) => self.on_exit(exit).await,
            Event::ExecExited { exec, code } => self.on_exec_exit(&exec, code),
            Event::Detached { exec: None } => self.tell("detach", &[]),
            Event::Detached { exec: Some(exec) } => self.tell("exec_detach", &[("execID", exec)]),
            Event::Oom => {
                self.container.state.oom_killed = true;
                self.publish();
                self.tell("oom", &[]);
            }
            Event::ProbeBegan { exec } => self.on_probe_began(&exec),
            Event::Probed { exec, probe, status, streak } => self.on_probed(&exec, *probe, status, streak),
            Event::Gone => self.on_gone().await,
        }
    }

    async fn on_command(&mut self, command: Command) {
        // Held to the end of the command.
        let mut _files = None;
        if let Command::Start(_) | Command::StartAtOpen(_) | Command::Remove { .. } = command {
            _files = self.hold_files();
            if _files.is_none() {
                return self.later(command);
            }
        }
        match command {
            Command::Start(reply) => {
                let done = self.start(By::Hand).await;
                let _ = reply.send(done);
            }
            Command::StartAtOpen(reply) => {
                let done = self.start(By::Engine).await;
                let _ = reply.send(done);
            }
            Command::ShutDown(reply) => self.shut_down(reply).await,
            Command::Stop { signal, timeout, keep, reply } => self.stop(signal, timeout, keep, reply).await,
            Command::Kill { name, signal, reply } => self.kill(&name, signal, reply).await,
            Command::Remove { name, force, volumes, reply } => self.remove(&name, force, volumes, reply).await,
            Command::Rename { to, reply } => {
                let done = self.rename(&to).await;
                let _ = reply.send(done);
            }
            Command::Pause(reply) => {
                let done = self.pause().await;
                let _ = reply.send(done);
            }
            Command::Unpause(reply) => {
                let done = self.unpause().await;
                let _ = reply.send(done);
            }
            Command::Update { resources, restart, reply } => {
                let done = self.update(&resources, restart).await;
                let _ = reply.send(done);
            }
            Command::Connect { network, asked, reply } => {
                let done = self.connect(network, *asked).await;
                let _ = reply.send(done);
            }
            Command::Disconnect { network, name, reply } => {
                let done = self.disconnect(network, &name).await;
                let _ = reply.send(done);
            }
            Command::LinksMoved => self.refresh_files(None),
            Command::Unlink { alias, reply } => {
                let done = self.unlink(&alias).await;
                let _ = reply.send(done);
            }
            Command::Wait { until, waiter, reply } => {
                self.wait(until, waiter);
                let _ = reply.send(Ok(()));
            }
            Command::Attach { attach, reply } => self.attach(attach, reply),
            Command::Shim(reply) => {
                let shim = self.live.as_ref().map(|l| l.shim.clone()).ok_or_else(|| not_running(self.id()));
                let _ = reply.send(shim);
            }
            Command::Files { write, reply } => {
                let access = self.files(write).await;
                let _ = reply.send(access);
            }
            Command::ExecBase(reply) => {
                let base = self.exec_base();
                let _ = reply.send(base);
            }
            Command::KnownUser(user) => {
                if let Some(live) = &mut self.live {
                    live.user = Some(user);
                }
            }
            Command::ExecMade { id, reply } => {
                let live = self.live.is_some();
                if live {
                    self.container.execs.push(id);
                    self.publish();
                }
                let _ = reply.send(if live { Ok(()) } else { Err(not_running(self.id())) });
            }
            Command::ServeNames => self.serve_names().await,
            Command::ExecEnded(id) => {
                self.container.execs.retain(|e| *e != id);
                self.publish();
            }
            Command::Settle(reply) | Command::Quit(reply) => drop(reply.send(Ok(()))),
        }
    }

    fn exec_base(&self) -> Result<ExecBase> {
        match (&self.live, self.container.state.status) {
            (Some(_), Status::Paused) => {
                Err(Error::new(Kind::Conflict, format!("Container {} is paused, unpause the container before exec", self.container.name)))
            }
            (Some(live), _) => Ok(ExecBase { shim: live.shim.clone(), container: self.slot.get(), user: live.user.clone() }),
            (None, Status::Restarting) => Err(is_restarting(self.id())),
            (None, _) => Err(not_running(self.id())),
        }
    }

    /// The signal that stops this container.
    pub(super) fn stop_signal(&self) -> i32 {
        self.container.request.stop_signal.as_deref().and_then(|s| signal::parse(s).ok()).unwrap_or(signal::TERM)
    }

    /// Sends a signal and tells it. A frozen container is thawed where the signal is to end it.
    async fn signal(&mut self, number: i32) -> Result<()> {
        let Some(live) = &self.live else { return Err(not_running(self.id())) };
        let shim = live.shim.clone();
        match shim.kill(number, false).await {
            Ok(()) => {}
            // It has just ended: its exit is on its way.
            Err(dhow_shim::handle::Error::Gone { .. }) => {}
            Err(dhow_shim::handle::Error::Refused(f)) if f.kind == dhow_runtime::Kind::NotRunning => {}
            Err(e) => return Err(Error::internal("signal container", self.id(), e)),
        }
        self.tell("kill", &[("signal", number.to_string())]);
        if self.container.state.status == Status::Paused && (number == signal::KILL || number == self.stop_signal()) {
            self.unpause().await?;
        }
        Ok(())
    }

    async fn stop(&mut self, given: Option<i32>, timeout: Option<i64>, keep: bool, reply: Reply<()>) {
        if !self.is_active() {
            let _ = reply.send(Err(Error::new(Kind::NotModified, "container is already stopped")));
            return;
        }
        let number = given.unwrap_or_else(|| self.stop_signal());
        if self.container.state.status == Status::Restarting {
            let done = self.signal_between(number, true).await;
            if done.is_ok() {
                self.tell("stop", &[]);
            }
            let _ = reply.send(done);
            return;
        }
        if let Err(error) = self.by_hand(number, true).await {
            let _ = reply.send(Err(error));
            return;
        }
        self.stop_running(Some(number), timeout, keep, reply).await;
    }

    /// Stops a container with a process.
    pub(super) async fn stop_running(&mut self, given: Option<i32>, timeout: Option<i64>, keep: bool, reply: Reply<()>) {
        if let Err(error) = self.signal(given.unwrap_or_else(|| self.stop_signal())).await {
            let _ = reply.send(Err(error.prefixed("cannot stop container: ")));
            return;
        }
        let seconds = timeout.or(self.container.request.stop_timeout).unwrap_or(STOP_SECONDS);
        let deadline = u64::try_from(seconds).ok().and_then(|s| Instant::now().checked_add(Duration::from_secs(s)));
        let ending = self.ending.get_or_insert_default();
        ending.stop = true;
        ending.keep |= keep;
        ending.replies.push(reply);
        if !ending.killed {
            ending.deadline = match (ending.deadline, deadline) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }

    async fn kill(&mut self, name: &str, number: i32, reply: Reply<()>) {
        if !self.is_active() {
            let text = format!("cannot kill container: {name}: container {} is not running", self.id());
            let _ = reply.send(Err(Error::new(Kind::Conflict, text)));
            return;
        }
        if self.container.state.status == Status::Restarting {
            let done = self.signal_between(number, false).await;
            let _ = reply.send(done);
            return;
        }
        let sent = match self.by_hand(number, false).await {
            Ok(()) => self.signal(number).await,
            failed => failed,
        };
        match sent {
            Ok(()) if number == signal::KILL => self.ends_now(reply),
            done => drop(reply.send(done)),
        }
    }

    /// SIGKILL was sent: the answer comes with the exit.
    fn ends_now(&mut self, reply: Reply<()>) {
        let ending = self.ending.get_or_insert_default();
        ending.killed = true;
        ending.deadline = Some(Instant::now() + KILL_WAIT);
        ending.replies.push(reply);
    }

    async fn on_deadline(&mut self) {
        let Some(ending) = &mut self.ending else { return };
        if ending.killed {
            ending.deadline = None;
            let text = format!("container {} did not end within {} s of SIGKILL", self.container.id, KILL_WAIT.as_secs());
            for reply in ending.replies.drain(..) {
                let _ = reply.send(Err(Error::new(Kind::Internal, text.clone())));
            }
            return;
        }
        ending.killed = true;
        ending.deadline = Some(Instant::now() + KILL_WAIT);
        if let Err(error) = self.signal(signal::KILL).await {
            for reply in self.ending.take().into_iter().flat_map(|e| e.replies) {
                let _ = reply.send(Err(error.again()));
            }
        }
    }

    async fn remove(&mut self, name: &str, force: bool, volumes: bool, reply: Reply<()>) {
        if self.is_active() {
            if !force {
                let why = match self.container.state.status {
                    Status::Paused => "container is paused and must be unpaused first",
                    Status::Restarting => "container is restarting: stop the container before removing or force remove",
                    _ => "container is running: stop the container before removing or force remove",
                };
                let text = format!("cannot remove container \"{name}\": {why}");
                let _ = reply.send(Err(Error::new(Kind::Conflict, text)));
                return;
            }
            let between = self.container.state.status == Status::Restarting;
            let killed = if between { self.signal_between(signal::KILL, true).await } else { self.kill_for_removal().await };
            if let Err(error) = killed {
                let _ = reply.send(Err(error.prefixed("cannot remove container: could not kill container: ")));
                return;
            }
            if between {
                let done = self.remove_now(volumes).await;
                let _ = reply.send(done);
                return;
            }
            self.ends_now(reply);
            if let Some(ending) = &mut self.ending {
                ending.remove = true;
                ending.volumes = volumes;
            }
            return;
        }
        let done = self.remove_now(volumes).await;
        let _ = reply.send(done);
    }

    async fn kill_for_removal(&mut self) -> Result<()> {
        self.by_hand(signal::KILL, true).await?;
        self.signal(signal::KILL).await
    }

    async fn rename(&mut self, to: &str) -> Result<()> {
        let refused = |error: Error| error.prefixed("Error when allocating new name: ");
        let to = format!("/{}", to.strip_prefix('/').unwrap_or(to));
        let to = names::check(&to).map_err(refused)?;
        if to == self.container.name {
            return Err(Error::new(Kind::Invalid, "Renaming a container with the same name as its current name"));
        }
        self.parts.registry.reserve(to, self.id()).map_err(refused)?;
        if let Err(error) = self.parts.store.rename(self.id(), to).await {
            self.parts.registry.release(to, self.id());
            return Err(error);
        }
        let old = std::mem::replace(&mut self.container.name, to.to_owned());
        self.parts.registry.release(&old, self.id());
        self.publish();
        super::links::moved(&self.parts, self.id());
        self.tell("rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    async fn pause(&mut self) -> Result<()> {
        if self.container.state.status == Status::Restarting {
            return Err(is_restarting(self.id()));
        }
        let Some(live) = &self.live else { return Err(not_running(self.id())) };
        if self.container.state.status == Status::Paused {
            return Err(Error::new(Kind::Conflict, format!("Container {} is already paused", self.id())));
        }
        live.shim.pause().await.map_err(|e| self.refused("pause container", e))?;
        self.step(Move::Pause);
        self.unwatched();
        self.save_and_publish("pause").await
    }

    async fn unpause(&mut self) -> Result<()> {
        let paused = self.container.state.status == Status::Paused;
        let Some(live) = self.live.as_ref().filter(|_| paused) else {
            return Err(Error::new(Kind::Internal, format!("Container {} is not paused", self.id())));
        };
        live.shim.resume().await.map_err(|e| self.refused("unpause container", e))?;
        self.step(Move::Unpause);
        self.save_and_publish("unpause").await
    }

    /// Why a shim did not do it. A container that has just ended is none that runs, though its exit is still on its way.
    fn refused(&self, operation: &str, error: dhow_shim::handle::Error) -> Error {
        match error {
            dhow_shim::handle::Error::Gone { .. } => not_running(self.id()),
            dhow_shim::handle::Error::Refused(f) if f.kind == dhow_runtime::Kind::NotRunning => not_running(self.id()),
            other => Error::internal(operation, self.id(), other),
        }
    }

    async fn save_and_publish(&mut self, action: &str) -> Result<()> {
        let saved = self.parts.store.state(self.id(), &self.container.state).await;
        self.publish();
        self.tell(action, &[]);
        saved
    }

    async fn update(&mut self, change: &Resources, restart: Option<(String, i64)>) -> Result<Vec<String>> {
        let prefix = format!("Cannot update container {}: ", self.id());
        if self.container.state.status == Status::Removing {
            return Err(Error::new(Kind::Conflict, format!("{prefix}container is marked for removal and cannot be \"update\"")));
        }
        let (merged, warnings) = limits::merge_update(self.id(), &self.container.request.host.resources, change, &self.parts.host)?;
        let policy = self.container.request.host.restart.clone();
        if let Some(restart) = restart {
            self.set_policy(restart).map_err(|e| e.prefixed(&prefix))?;
        }
        let before = std::mem::replace(&mut self.container.request.host.resources, merged);
        let applied = async {
            self.parts.store.update(&self.container).await?;
            if let Some(live) = &self.live {
                let resources = spec::resources::update(&self.container.request.host.resources, change);
                live.shim.update(UpdateConfig { resources }).await.map_err(|e| Error::new(Kind::Internal, format!("{prefix}{e}")))?;
            }
            Ok::<_, Error>(())
        }
        .await;
        if let Err(error) = applied {
            self.container.request.host.resources = before;
            self.container.request.host.restart = policy;
            if let Err(e) = self.parts.store.update(&self.container).await {
                tracing::error!(container = self.container.id, error = %e, "the limits before the failed update were not saved");
            }
            return Err(error);
        }
        self.publish();
        self.tell("update", &[]);
        Ok(warnings)
    }

    fn wait(&mut self, until: WaitFor, sender: oneshot::Sender<(i64, Option<String>)>) {
        if until == WaitFor::NotRunning && !self.is_active() {
            let _ = sender.send(self.outcome());
            return;
        }
        // Who asked and went away needs no place.
        self.waiters.retain(|w| !w.sender.is_closed());
        self.waiters.push(Waiter { until, sender });
    }

    /// What waiters are told. The reason of a failed start is the start's own answer: beside it Docker's client would report it twice.
    pub(super) fn outcome(&self) -> (i64, Option<String>) {
        (i64::from(self.container.state.exit_code), None)
    }

    /// The client's head is written here, in the queue's order: a start that the client asks for once it has read it comes later.
    fn attach(&mut self, mut attach: Attach, reply: Reply<()>) {
        if let Err(error) = attach.client.greet() {
            let _ = reply.send(Err(Error::internal("answer a client of container", self.id(), error)));
            return;
        }
        if let Some(live) = &self.live {
            if let Some(head) = attach.head.take() {
                head.write();
            }
            let shim = live.shim.clone();
            let id = self.container.id.clone();
            self.tell("attach", &[]);
            // The shim may be slow to answer; the next command need not wait for it.
            tokio::spawn(async move {
                let done = shim.attach(attach.config, attach.client.socket).await;
                let _ = reply.send(done.map_err(|e| Error::internal("attach to container", id, e)));
            });
            return;
        }
        self.pending.retain(|p| !crate::client::hung_up(&p.client.socket));
        if self.pending.len() >= PENDING {
            let _ = reply.send(Err(Error::new(Kind::Unavailable, "too many clients wait for the start of this container")));
            return;
        }
        self.tell("attach", &[]);
        self.pending.push(attach);
        let _ = reply.send(Ok(()));
    }

    pub(super) fn on_exec_exit(&mut self, exec: &str, code: i32) {
        let before = self.container.execs.len();
        self.container.execs.retain(|e| e != exec);
        if self.container.execs.len() != before {
            self.publish();
        }
        if self.parts.execs.finish(exec, code) {
            self.tell("exec_die", &[("execID", exec.to_owned()), ("exitCode", code.to_string())]);
        }
    }
}

async fn next_event(live: &mut Option<Live>) -> Event {
    match live {
        Some(live) => live.events.recv().await.unwrap_or(Event::Gone),
        None => std::future::pending().await,
    }
}

/// The end of a recording that was put off.
async fn recorded_late(recording: &mut Option<Recording>) -> Result<()> {
    match recording.as_mut().filter(|recording| recording.late) {
        Some(late) => {
            let done = late.done.as_mut().await;
            *recording = None;
            done
        }
        None => std::future::pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
