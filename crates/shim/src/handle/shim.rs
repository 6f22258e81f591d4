//! The daemon's side of one shim.

use super::lock::lock;
use super::wire::Wire;
use super::{DEADLINE, Error, Event, RELEASE_DEADLINE};
use crate::config::{AttachConfig, ExecConfig, RelayConfig, UpdateConfig};
use crate::files;
use crate::health::Report;
use crate::process::hello;
use crate::protocol::{FromShim, Outcome, Request, State, ToShim, VERSION};
use dhow_runtime::cgroup::Usage;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A container that runs, or ran.
#[derive(Debug)]
pub struct Running {
    /// To ask with. Cheap to clone.
    pub shim: Shim,
    /// What the shim knew when it greeted. After [`super::Spawner::spawn`] always `Running`; an end, however soon, comes as an event. After
    /// [`Shim::connect`] it may be `Exited`, and then no such event comes.
    pub state: State,
    /// What the health check had found by then, where there is one and the shim knows of such things.
    pub health: Option<Report>,
    /// News from here on.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// Phases of the start in microseconds. The last, `total`, is the daemon's own measure of the whole.
    pub timings: Vec<(String, u64)>,
}

/// Asks one shim. Every call has a deadline ([`DEADLINE`]). The connection lasts until the shim ends or the runtime of the daemon does.
#[derive(Debug, Clone)]
pub struct Shim(Arc<Inner>);

type Answer = (Outcome, Vec<OwnedFd>);

#[derive(Debug)]
struct Inner {
    id: String,
    pid: i32,
    wire: Wire,
    next: AtomicU64,
    /// Who waits for which answer; `None` once the connection has ended.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
}

/// What a shim said in greeting.
pub(super) struct Greeting {
    pub(super) pid: i32,
    pub(super) state: State,
    pub(super) health: Option<Box<Report>>,
}

/// Goes on with a shim that has greeted. `early` came before the end of the greeting.
pub(super) fn begin(wire: Wire, id: &str, greeting: Greeting, timings: Vec<(String, u64)>, early: Vec<FromShim>) -> Running {
    let Greeting { pid, state, health } = greeting;
    let inner = Arc::new(Inner { id: id.to_owned(), pid, wire, next: AtomicU64::new(1), waiting: Mutex::new(Some(HashMap::new())) });
    let (sender, events) = mpsc::unbounded_channel();
    for message in early {
        inner.dispatch(message, Vec::new(), &sender);
    }
    tokio::spawn(read(Arc::clone(&inner), sender));
    Running { shim: Shim(inner), state, health: health.map(|report| *report), events, timings }
}

/// The one reader of a connection: answers to whom they belong, news in order.
async fn read(inner: Arc<Inner>, events: mpsc::UnboundedSender<Event>) {
    loop {
        match inner.wire.receive().await {
            Ok(Some((body, fds))) => match serde_json::from_slice(&body) {
                Ok(message) => inner.dispatch(message, fds, &events),
                Err(error) => tracing::warn!(container = inner.id, "message of the shim: {error}"),
            },
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(container = inner.id, "connection to the shim: {error}");
                break;
            }
        }
    }
    *lock(&inner.waiting) = None;
    // Nobody may listen any more.
    let _ = events.send(Event::Gone);
}

impl Inner {
    fn dispatch(&self, message: FromShim, fds: Vec<OwnedFd>, events: &mpsc::UnboundedSender<Event>) {
        let event = match message {
            FromShim::Reply { seq, outcome } => {
                let waiting = lock(&self.waiting).as_mut().and_then(|waiting| waiting.remove(&seq));
                if let Some(sender) = waiting {
                    // Whoever asked may have given up.
                    let _ = sender.send((outcome, fds));
                }
                return;
            }
            FromShim::Exited(exit) => Event::Exited(exit),
            FromShim::ExecExited { exec, code } => Event::ExecExited { exec, code },
            FromShim::Detached { exec } => Event::Detached { exec },
            FromShim::Oom => Event::Oom,
            FromShim::ProbeBegan { exec } => Event::ProbeBegan { exec },
            FromShim::Probed { exec, probe, status, streak } => Event::Probed { exec, probe, status, streak },
            FromShim::Warning { message } => {
                tracing::warn!(container = self.id, "shim: {message}");
                return;
            }
            FromShim::Hello { .. } | FromShim::Started { .. } | FromShim::StartFailed { .. } | FromShim::Unknown => return,
        };
        // Nobody may listen any more.
        let _ = events.send(event);
    }

    fn gone(&self) -> Error {
        Error::Gone { id: self.id.clone() }
    }

    async fn ask(&self, request: Request, fds: &[OwnedFd], deadline: Duration) -> Result<Answer, Error> {
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        lock(&self.waiting).as_mut().ok_or_else(|| self.gone())?.insert(seq, sender);
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let exchange = async {
            self.wire.send(&ToShim::Request { seq, request }, &fds).await?;
            Ok::<_, io::Error>(answer.await)
        };
        let result = tokio::time::timeout(deadline, exchange).await;
        if !matches!(result, Ok(Ok(Ok(_))))
            && let Some(waiting) = lock(&self.waiting).as_mut()
        {
            waiting.remove(&seq);
        }
        match result {
            Ok(Ok(Ok((Outcome::Failed { failure }, _)))) => Err(failure.into()),
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(_))) => Err(self.gone()),
            Ok(Err(e)) if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Err(self.gone()),
            Ok(Err(source)) => Err(Error::Io { id: self.id.clone(), source }),
            Err(_) => Err(Error::Deadline { id: self.id.clone() }),
        }
    }
}

impl Shim {
    /// Connects to the shim of an earlier daemon by its directory ([`crate::ShimConfig::dir`]). [`Error::Gone`] if nobody listens.
    /// News goes to the newest connection only.
    pub async fn connect(id: &str, dir: &Path) -> Result<Running, Error> {
        let failed = |source: io::Error| Error::Io { id: id.to_owned(), source };
        let gone = || Error::Gone { id: id.to_owned() };
        let wire = match connect(dir) {
            Ok(socket) => Wire::new(socket).map_err(failed)?,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Err(gone()),
            Err(e) => return Err(failed(e)),
        };
        // A shim that is dying may still take the connection, and breaks it.
        let broken = |source: io::Error| match source.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => gone(),
            _ => failed(source),
        };
        wire.send(&ToShim::Hello(hello()), &[]).await.map_err(broken)?;
        let first = tokio::time::timeout(DEADLINE, wire.receive()).await;
        let first = first.map_err(|_| Error::Deadline { id: id.to_owned() })?.map_err(broken)?;
        let (body, _) = first.ok_or_else(gone)?;
        match serde_json::from_slice(&body) {
            Ok(FromShim::Hello { hello, id: theirs, shim_pid, state, health }) if theirs == id && hello.protocol <= VERSION => {
                Ok(begin(wire, id, Greeting { pid: shim_pid, state, health }, Vec::new(), Vec::new()))
            }
            Ok(FromShim::Hello { hello, id: theirs, .. }) => Err(Error::Protocol(format!(
                "{} is served by the shim of container {theirs}, release {}, protocol {}",
                dir.display(),
                hello.release,
                hello.protocol
            ))),
            Ok(_) => Err(Error::Protocol(format!("the shim of container {id} did not greet"))),
            Err(e) => Err(Error::Protocol(format!("from the shim of container {id}: {e}"))),
        }
    }

    /// The shim's own process id.
    pub fn pid(&self) -> i32 {
        self.0.pid
    }

    /// Hands a client's socket over. It is closed here, whatever comes of it: whoever wants to answer on it after a failure keeps a copy.
    pub async fn attach(&self, config: AttachConfig, client: OwnedFd) -> Result<(), Error> {
        self.done(Request::Attach(config), vec![client]).await
    }

    /// Signals the first process, or all.
    pub async fn kill(&self, signal: i32, all: bool) -> Result<(), Error> {
        self.done(Request::Kill { signal, all }, Vec::new()).await
    }

    /// Resizes a terminal.
    pub async fn resize(&self, exec: Option<&str>, height: u16, width: u16) -> Result<(), Error> {
        let exec = exec.map(str::to_owned);
        self.done(Request::Resize { exec, height, width }, Vec::new()).await
    }

    /// Runs a further process and returns its pid once its program runs. As with [`Shim::attach`] the client's socket is closed here: to write
    /// a failure on it, keep a copy. Its output ends only after [`Event::ExecExited`] was sent.
    pub async fn exec(&self, config: ExecConfig, client: Option<OwnedFd>) -> Result<i32, Error> {
        match self.0.ask(Request::Exec(Box::new(config)), client.as_slice(), DEADLINE).await? {
            (Outcome::Exec { pid }, _) => Ok(pid),
            _ => Err(self.confused()),
        }
    }

    /// Signals an exec's process.
    pub async fn exec_kill(&self, exec: &str, signal: i32) -> Result<(), Error> {
        let exec = exec.to_owned();
        self.done(Request::ExecKill { exec, signal }, Vec::new()).await
    }

    /// Changes limits.
    pub async fn update(&self, config: UpdateConfig) -> Result<(), Error> {
        self.done(Request::Update(Box::new(config)), Vec::new()).await
    }

    /// Freezes.
    pub async fn pause(&self) -> Result<(), Error> {
        self.done(Request::Pause, Vec::new()).await
    }

    /// Thaws.
    pub async fn resume(&self) -> Result<(), Error> {
        self.done(Request::Resume, Vec::new()).await
    }

    /// What the container used.
    pub async fn usage(&self) -> Result<Usage, Error> {
        match self.0.ask(Request::Usage, &[], DEADLINE).await? {
            (Outcome::Usage(usage), _) => Ok(*usage),
            _ => Err(self.confused()),
        }
    }

    /// A descriptor of the root mount.
    pub async fn root(&self) -> Result<OwnedFd, Error> {
        let (_, fds) = self.0.ask(Request::Root, &[], DEADLINE).await?;
        fds.into_iter().next().ok_or_else(|| self.confused())
    }

    /// The socket on which the container's questions for names arrive: the one for datagrams, or the listening one.
    pub async fn resolver(&self, tcp: bool) -> Result<OwnedFd, Error> {
        let (_, fds) = self.0.ask(Request::Resolver { tcp }, &[], DEADLINE).await?;
        fds.into_iter().next().ok_or_else(|| self.confused())
    }

    /// Gives the shim sockets of published ports to hold, at most as many as one message has room for. `anew`: it lets go of those that
    /// it has.
    pub async fn relays(&self, relays: Vec<RelayConfig>, sockets: Vec<OwnedFd>, anew: bool) -> Result<(), Error> {
        self.done(Request::Relays { relays, anew }, sockets).await
    }

    /// Makes the shim open its log anew, after somebody else renamed the file.
    pub async fn reopen_log(&self) -> Result<(), Error> {
        self.done(Request::ReopenLog, Vec::new()).await
    }

    /// Returns when all news that the shim had sent before is in the queue of [`Running::events`].
    pub async fn sync(&self) -> Result<(), Error> {
        self.done(Request::Sync, Vec::new()).await
    }

    /// Tells the shim that the exit is recorded; returns when it has cleaned up (cgroup, pinned namespace, its directory, the root mount).
    /// That may wait for a disk. Where something could not be removed it is said ([`Error::Refused`]), and [`super::clean_up`] may try again.
    pub async fn release(&self) -> Result<(), Error> {
        match self.0.ask(Request::Release, &[], RELEASE_DEADLINE).await {
            Ok(_) | Err(Error::Gone { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    async fn done(&self, request: Request, fds: Vec<OwnedFd>) -> Result<(), Error> {
        self.0.ask(request, &fds, DEADLINE).await.map(|_| ())
    }

    fn confused(&self) -> Error {
        Error::Protocol(format!("the shim of container {} answered something else", self.0.id))
    }
}

fn connect(dir: &Path) -> io::Result<OwnedFd> {
    let address = SocketAddrUnix::new(dir.join(files::SOCKET))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}
