//! The daemon's side of the spawner.

use super::lock::lock;
use super::shim::{self, Running};
use super::wire::Wire;
use super::{DEADLINE, Error};
use crate::config::ShimConfig;
use crate::process::hello;
use crate::protocol::{FromShim, FromSpawner, State, ToShim, ToSpare, ToSpawner};
use crate::spawner::{NAME, PADDING};
use dhow_runtime::{Failure, Step};
use dhow_sys::{fdpass, sealed};
use oci_spec::runtime::LinuxNamespaceType;
use serde::Serialize;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::oneshot;

/// The single-threaded helper that forks shims. Replaced by itself when it dies: the next [`Spawner::spawn`] starts a new one.
#[derive(Debug)]
pub struct Spawner {
    program: Arc<OwnedFd>,
    live: tokio::sync::Mutex<Arc<Live>>,
    current: Mutex<Option<i32>>,
    next: AtomicU64,
}

/// One process.
#[derive(Debug)]
struct Live {
    pid: i32,
    wire: Wire,
    dead: AtomicBool,
    /// Who waits to hear that there will be no shim.
    refusals: Mutex<HashMap<u64, oneshot::Sender<String>>>,
}

/// A shim for any container, and with nothing made for one yet: see [`Spawner::spare`]. Dropped, it ends.
#[derive(Debug)]
pub struct Spare(Wire);

/// A shim that waits for its container: see [`Spawner::prepare`]. Dropped, it ends.
#[derive(Debug)]
pub struct Prepared(Wire);

/// As [`crate::protocol::ToSpawner::Spawn`], with a borrowed configuration.
#[derive(Serialize)]
struct SpawnMessage<'a> {
    kind: &'static str,
    seq: u64,
    config: &'a ShimConfig,
}

/// How one attempt ended that brought no container.
enum Attempt {
    /// The spawner died before it had read the message.
    Unread,
    Failed(Error),
}

impl Spawner {
    /// Starts the helper from a copy of the running program that cannot be changed (`argv[0]` = [`NAME`], control socket as standard input, empty
    /// environment, directory `/`).
    pub async fn start() -> Result<Self, Error> {
        let (program, live) = tokio::task::spawn_blocking(|| {
            let program = Arc::new(sealed::self_in_pieces().or_else(|_| sealed::self_exe())?);
            let started = launch(&program)?;
            Ok((program, started))
        })
        .await
        .map_err(|e| Error::Spawner(io::Error::other(e)))?
        .map_err(Error::Spawner)?;
        let live = Live::begin(live).map_err(Error::Spawner)?;
        Ok(Self { program, current: Mutex::new(Some(live.pid)), live: tokio::sync::Mutex::new(live), next: AtomicU64::new(1) })
    }

    /// Process id of the helper now running.
    pub fn pid(&self) -> Option<i32> {
        *lock(&self.current)
    }

    /// Makes a shim, and with it what any container needs, for one that is about to be started. Waits for nobody: a spawner that is busy is
    /// an error.
    pub async fn prepare(&self) -> Result<Prepared, Error> {
        self.spare().await?.expect_container()
    }

    /// Makes a shim for a container that may be started some time. It has taken nothing over from the host that may change. Waits for nobody.
    pub async fn spare(&self) -> Result<Spare, Error> {
        let live = self.live().await?;
        let (ours, theirs) = fdpass::pair().map_err(Error::Spawner)?;
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        live.wire.try_send(&ToSpawner::Prepare { seq }, &[theirs.as_fd()]).map_err(Error::Spawner)?;
        Wire::new(ours).map(Spare).map_err(Error::Spawner)
    }

    /// Makes a shim and starts its container; returns when the program runs or why it does not ([`Error::Refused`]).
    /// `clients` are the sockets of `config.attach`, in order, with what comes behind them; whoever wants to use one after a failure keeps a copy.
    /// After [`Error::Deadline`] and [`Error::Gone`] the caller cleans up with [`super::clean_up`].
    pub async fn spawn(&self, config: ShimConfig, clients: Vec<OwnedFd>) -> Result<Running, Error> {
        self.spawn_with(None, config, clients).await
    }

    /// The same with a shim that was prepared, if it still lives.
    pub async fn spawn_with(&self, prepared: Option<Prepared>, mut config: ShimConfig, clients: Vec<OwnedFd>) -> Result<Running, Error> {
        if let Some(prepared) = prepared {
            config.root_follows = may_mount(&config);
            match prepared.start(&config, &clients).await {
                Ok(running) => return Ok(running),
                Err(Attempt::Failed(error)) => return Err(error),
                Err(Attempt::Unread) => config.root_follows = false,
            }
        }
        // A spawner can die with our message unread. Once is bad luck.
        for _ in 0..2 {
            let live = self.live().await?;
            match self.attempt(&live, &config, &clients).await {
                Ok(running) => return Ok(running),
                Err(Attempt::Failed(error)) => return Err(error),
                Err(Attempt::Unread) => live.dead.store(true, Ordering::Release),
            }
        }
        Err(Error::Gone { id: config.id })
    }

    /// The living spawner, replaced if need be.
    async fn live(&self) -> Result<Arc<Live>, Error> {
        let mut live = self.live.lock().await;
        if live.dead.load(Ordering::Acquire) {
            let program = Arc::clone(&self.program);
            let started = tokio::task::spawn_blocking(move || launch(&program)).await;
            let started = started.map_err(io::Error::other).and_then(|started| started).map_err(Error::Spawner)?;
            *live = Live::begin(started).map_err(Error::Spawner)?;
            *lock(&self.current) = Some(live.pid);
        }
        Ok(Arc::clone(&live))
    }

    async fn attempt(&self, live: &Arc<Live>, config: &ShimConfig, clients: &[OwnedFd]) -> Result<Running, Attempt> {
        let began = Instant::now();
        let failed = |source: io::Error| Attempt::Failed(Error::Io { id: config.id.clone(), source });
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = fdpass::pair().map_err(failed)?;
        let wire = Wire::new(ours).map_err(failed)?;
        // It waits in the socket until there is a shim.
        wire.send(&ToShim::Hello(hello()), &[]).await.map_err(failed)?;

        let (sender, refused) = oneshot::channel();
        lock(&live.refusals).insert(seq, sender);
        let _guard = Forget { live, seq };
        let fds: Vec<_> = std::iter::once(theirs.as_fd()).chain(clients.iter().map(AsFd::as_fd)).collect();
        let message = SpawnMessage { kind: "spawn", seq, config };
        match live.wire.send(&message, &fds).await {
            Ok(()) => drop(theirs),
            Err(e) if is_death(&e) => return Err(Attempt::Unread),
            Err(e) => return Err(failed(e)),
        }
        let answer = async {
            tokio::select! {
                biased;
                running = first_words(wire, &config.id) => running,
                message = never_if_closed(refused) => Err(Attempt::Failed(Error::Spawner(io::Error::other(message)))),
            }
        };
        match in_time(answer, &config.id, began).await {
            // The shim itself may have died, and then there is no reason to hope for better luck.
            Err(Attempt::Unread) if live.wire.send(&ToSpawner::Hello(hello()), &[]).await.is_ok() => {
                Err(Attempt::Failed(Error::Gone { id: config.id.clone() }))
            }
            other => other,
        }
    }
}

impl Spare {
    /// There will be a container in a moment: it makes what any needs. An error where it has gone.
    pub fn expect_container(self) -> Result<Prepared, Error> {
        self.0.try_send(&ToSpare::Expect, &[]).map_err(Error::Spawner)?;
        Ok(Prepared(self.0))
    }
}

impl Prepared {
    /// Gives it its container. Where it has gone before it could know, nothing has happened ([`Attempt::Unread`]).
    async fn start(self, config: &ShimConfig, clients: &[OwnedFd]) -> Result<Running, Attempt> {
        let began = Instant::now();
        let Self(wire) = self;
        let failed = |source: io::Error| Attempt::Failed(Error::Io { id: config.id.clone(), source });
        let fds: Vec<_> = clients.iter().map(AsFd::as_fd).collect();
        match wire.send(config, &fds).await {
            Err(error) if is_death(&error) => return Err(Attempt::Unread),
            sent => sent.map_err(failed)?,
        }
        if config.root_follows {
            // A disk may not answer.
            let Ok(sent) = tokio::time::timeout(DEADLINE, send_root(&wire, config)).await else {
                return Err(Attempt::Failed(Error::Deadline { id: config.id.clone() }));
            };
            sent.map_err(failed)?;
        }
        // What comes now may come after its death, and then the answer says so.
        match wire.send(&ToShim::Hello(hello()), &[]).await {
            Err(error) if !is_death(&error) => return Err(failed(error)),
            _ => {}
        }
        match in_time(first_words(wire, &config.id), &config.id, began).await {
            Err(Attempt::Unread) => Err(Attempt::Failed(Error::Gone { id: config.id.clone() })),
            other => other,
        }
    }
}

/// Whether we can mount a container's root filesystem as well as its shim, while that one does other things. In a user namespace it has to be
/// mapped, and another runtime makes its own. It and its layers have to fit into one message: that is known before, since a volatile
/// overlay can be mounted only once.
fn may_mount(config: &ShimConfig) -> bool {
    let namespaces = config.spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let mapped = namespaces.is_some_and(|all| all.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::User));
    config.runtime.is_none() && !mapped && config.root.lower.len() < fdpass::MAX_FDS
}

/// Mounts it, detached, and sends it: root, then its layers; or why that failed, in the words of a shim that tries.
async fn send_root(wire: &Wire, config: &ShimConfig) -> io::Result<()> {
    let overlay = config.root.clone();
    let mounted = tokio::task::spawn_blocking(move || overlay.mount_held()).await.map_err(io::Error::other)?;
    let mounted = mounted.map_err(|error| Failure::io(Step::Root, "overlay", error));
    let fds: Vec<_> = mounted.iter().flat_map(|(root, layers)| std::iter::once(root).chain(layers)).map(AsFd::as_fd).collect();
    match wire.send(&mounted.as_ref().map(|_| ()), &fds).await {
        // Its answer, or the lack of one, says more.
        Err(error) if is_death(&error) => Ok(()),
        sent => sent,
    }
}

/// The answer of a new shim, with how long it took since then.
async fn in_time(answer: impl Future<Output = Result<Running, Attempt>>, id: &str, began: Instant) -> Result<Running, Attempt> {
    let Ok(answer) = tokio::time::timeout(DEADLINE, answer).await else {
        return Err(Attempt::Failed(Error::Deadline { id: id.to_owned() }));
    };
    let mut running = answer?;
    running.timings.push(("total".to_owned(), began.elapsed().as_micros() as u64));
    Ok(running)
}

/// Reads a new shim's words up to the news that its program runs.
async fn first_words(wire: Wire, id: &str) -> Result<Running, Attempt> {
    let failed = |source: io::Error| Attempt::Failed(Error::Io { id: id.to_owned(), source });
    let mut greeted = None;
    let mut warnings = Vec::new();
    loop {
        let message = wire.receive().await.map_err(failed)?;
        let Some((body, _)) = message else {
            return Err(match greeted {
                Some(_) => Attempt::Failed(Error::Gone { id: id.to_owned() }),
                None => Attempt::Unread,
            });
        };
        match serde_json::from_slice(&body) {
            Ok(FromShim::Hello { shim_pid, .. }) => greeted = Some(shim_pid),
            Ok(FromShim::Started { pid, start_time, at, timings }) => {
                let shim_pid = greeted.unwrap_or_default();
                let state = State::Running { pid, start_time, at };
                let greeting = shim::Greeting { pid: shim_pid, state, health: None };
                return Ok(shim::begin(wire, id, greeting, timings, warnings));
            }
            Ok(FromShim::StartFailed { failure }) => return Err(Attempt::Failed(Error::Refused(failure))),
            Ok(other) => warnings.push(other),
            Err(e) => return Err(Attempt::Failed(Error::Protocol(format!("from the shim of container {id}: {e}")))),
        }
    }
}

async fn never_if_closed(refused: oneshot::Receiver<String>) -> String {
    match refused.await {
        Ok(message) => message,
        // The spawner is gone; whether it had forked is told by the control socket.
        Err(_) => std::future::pending().await,
    }
}

/// Takes a number off the list, however its attempt ends.
struct Forget<'a> {
    live: &'a Live,
    seq: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.live.refusals).remove(&self.seq);
    }
}

impl Live {
    /// Watches a process that was just started.
    fn begin((mut child, socket): (Child, OwnedFd)) -> io::Result<Arc<Self>> {
        let live =
            Arc::new(Self { pid: child.id() as i32, wire: Wire::new(socket)?, dead: AtomicBool::new(false), refusals: Mutex::default() });
        let watched = Arc::clone(&live);
        tokio::spawn(async move {
            watched.watch().await;
            drop(watched);
            // It has closed its socket, so it is ending: reap it.
            let reaped = tokio::task::spawn_blocking(move || child.wait()).await;
            if let Ok(Err(error)) = reaped {
                tracing::warn!("reap the spawner: {error}");
            }
        });
        Ok(live)
    }

    async fn watch(&self) {
        while let Ok(Some((body, _))) = self.wire.receive().await {
            match serde_json::from_slice(&body) {
                Ok(FromSpawner::Failed { seq, message }) => {
                    if let Some(sender) = lock(&self.refusals).remove(&seq) {
                        // Whoever waited may have given up.
                        let _ = sender.send(message);
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::warn!("message of the spawner: {error}"),
            }
        }
        self.dead.store(true, Ordering::Release);
        lock(&self.refusals).clear();
    }
}

/// Starts the process. Blocks for a moment: the copy of the program is executed.
fn launch(program: &OwnedFd) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = fdpass::pair()?;
    let child = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg0(NAME)
        .arg(PADDING)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((child, ours))
}

fn is_death(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected)
}
