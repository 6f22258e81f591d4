//! The shim: one process for each container, parent of its first process.
//!
//! ```text
//!             start ok                 first process reaped            output drained, exit.json written, announced
//!   (birth) ───────────> Running ─────────────────────────> Draining ─────────────────────────────────────────────> Exited
//!      │ failed                                                                                                       │ Release
//!      v                                                                                                              v
//!   StartFailed, gone                                                        cgroup, pin, files removed; root closed; gone
//! ```
//!
//! Single-threaded, one epoll loop, no timers but the bound of a drain and those of a health check. A daemon that goes away is no event of importance: news that
//! another one needs is kept, and the container's log and exit are on disk.

pub(crate) mod ahead;
mod birth;
mod client;
mod ending;
mod launcher;
mod memory;
mod peers;
mod pin;
mod poll;
mod probes;
mod relay;
mod requests;
mod session;
#[cfg(test)]
mod session_tests;
mod sink;
mod standby;
mod stdio;
mod volumes;

use crate::config::AttachConfig;
use crate::files;
use crate::frame::Stream;
use crate::health::Report;
use crate::protocol::{Exit, FromShim, Hello, State, VERSION};
pub(crate) use ahead::Ahead;
use dhow_runtime::cgroup::{Cgroup, Tally};
use dhow_runtime::idmap::IdMap;
use dhow_runtime::{Failure, Kind, Listener, Step};
use dhow_sys::signal::Signals;
use launcher::Launcher;
use memory::Memory;
use peers::Peers;
use poll::{Poll, Ready, Token, Watched};
use rustix::event::epoll::EventFlags;
use session::Session;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long after something large memory is given back. Most containers are gone by then, or have other things to do.
const IDLE: Duration = Duration::from_millis(100);

/// How often a shim whose container has ended and whom no daemon knows looks whether one can still find it.
const ABANDONED: Duration = Duration::from_secs(10);

/// Everything that one container needs to go on.
pub(crate) struct Shim {
    poll: Poll,
    peers: Peers,
    signals: Watched<Signals>,
    listener: Option<Watched>,
    memory: Option<Memory>,
    id: String,
    dir: PathBuf,
    launcher: Launcher,
    container: Container,
    /// By number; 0 is the container's own.
    sessions: BTreeMap<u32, Session>,
    execs: Vec<Exec>,
    /// The health check, where there is one.
    health: Option<Box<probes::Monitor>>,
    /// Published ports, where there are some.
    relays: Option<Box<relay::Relays>>,
    /// Where its questions for names arrive, where it has names to ask for.
    resolver: Option<dhow_network::resolver::Sockets>,
    /// Next number of a session or client.
    next: u32,
    /// What was read last. Kept for its room.
    scratch: Vec<u8>,
    /// Something large was done: when nothing more happens until then, its memory is given back.
    idle_after: Option<Instant>,
    /// Who asked for the end, and by which number.
    released: Option<(u32, u64)>,
}

struct Container {
    pid: i32,
    pidfd: Option<OwnedFd>,
    start_time: u64,
    at: i64,
    cgroup: Cgroup,
    root: Option<OwnedFd>,
    /// Its mount namespace while it lives: the kernel takes all mounts down one by one when the last that holds it goes, and who waits for the
    /// end of a process does not hear of it before.
    mntns: Option<OwnedFd>,
    /// Layers of the root, and volumes, that the daemon mounted. Here the next daemon finds them, so that what is cached of their files stays
    /// shared.
    layers: Vec<OwnedFd>,
    pin: Option<PathBuf>,
    shares_pids: bool,
    /// The ids of its user namespace, if it has one of its own.
    map: Option<Box<IdMap>>,
    /// Who is told of the calls that its filter hands to somebody else.
    listener: Option<Box<Listener>>,
    paused: bool,
    /// Which kills for lack of memory were announced.
    oom: Tally,
    life: Life,
}

enum Life {
    Running,
    /// The first process was reaped at this wall clock.
    Draining {
        code: i32,
        at: i64,
        until: Instant,
    },
    Exited(Exit),
}

struct Exec {
    id: String,
    session: u32,
    pid: i32,
    pidfd: OwnedFd,
    /// Reaped: its code, and when to wait no longer for its output.
    ended: Option<(i32, Instant)>,
}

/// The life of a shim, from its birth by fork, or from the message that brings its container, to its end. Returns the exit code of the
/// process.
pub(crate) fn run(raw: Vec<u8>, control: OwnedFd, clients: Vec<OwnedFd>, ahead: Ahead) -> i32 {
    let phases = birth::Phases::new();
    // A session of its own: no signal meant for the spawner's group reaches it. Fails only for a group's leader, which it is not.
    let _ = rustix::process::setsid();
    match birth::run(&raw, &control, clients, (phases, ahead)) {
        Ok(shim) => {
            drop((raw, control));
            shim.serve()
        }
        Err(stillborn) => {
            stillborn.announce(&control);
            1
        }
    }
}

impl Shim {
    fn serve(mut self) -> i32 {
        while self.released.is_none() && !self.abandoned() {
            let unseen = self.is_unseen().then(|| Instant::now() + ABANDONED);
            self.turn(unseen);
        }
        self.bury();
        0
    }

    /// Whether the container has ended and no daemon is connected.
    fn is_unseen(&self) -> bool {
        matches!(self.container.life, Life::Exited(_)) && self.peers.is_empty()
    }

    /// Whether, besides, no daemon can ever come: somebody removed the directory, and with it the record of the exit.
    fn abandoned(&self) -> bool {
        self.is_unseen() && matches!(rustix::fs::lstat(self.dir.join(files::SOCKET)), Err(rustix::io::Errno::NOENT))
    }

    /// Waits for events, at most until `limit`, and handles them.
    fn turn(&mut self, limit: Option<Instant>) {
        let armed = self.arm();
        let clock = Instant::now();
        let idle = self.idle_after.is_some_and(|at| clock >= at);
        if idle {
            self.idle_after = None;
            self.rest();
        }
        let deadline = self.deadline().into_iter().chain(limit).chain(self.idle_after).min();
        let mut timeout = deadline.map(|at| at.saturating_duration_since(clock));
        if armed.is_err() {
            // The kernel lacked memory for a moment.
            timeout = Some(timeout.unwrap_or(Duration::MAX).min(Duration::from_millis(100)));
        }
        if idle {
            // The last thing before the wait: whatever runs comes back to memory. Fails only where the kernel does not know the call.
            let _ = dhow_sys::alloc::shed();
        }
        for ready in self.poll.wait(timeout).unwrap_or_default() {
            // A bug that one client, or one daemon, brings to light must not take the container's supervisor with it.
            if catch_unwind(AssertUnwindSafe(|| self.handle(ready))).is_err() {
                self.expel(ready.token);
            }
        }
        self.expire();
        self.tell_log_errors();
    }

    fn arm(&mut self) -> io::Result<()> {
        self.peers.arm();
        self.signals.arm(Some(EventFlags::IN))?;
        if let Some(listener) = &mut self.listener {
            listener.arm(Some(EventFlags::IN))?;
        }
        if let Some(memory) = &mut self.memory {
            memory.arm()?;
        }
        if let Some(relays) = &mut self.relays {
            relays.arm()?;
        }
        self.sessions.values_mut().try_for_each(Session::arm)
    }

    fn handle(&mut self, ready: Ready) {
        match ready.token {
            Token::Signals => self.signalled(),
            Token::Listener => self.accept(),
            Token::Peer(number) => self.peer(number, ready.flags),
            Token::Input(number) => {
                if let Some(session) = self.sessions.get_mut(&number) {
                    session.input(ready.flags);
                }
            }
            Token::Stdout(number) => self.output(number, Stream::Stdout),
            Token::Stderr(number) => self.output(number, Stream::Stderr),
            Token::Client(number) => self.client(number, ready.flags),
            Token::Memory => self.short_of_memory(),
            Token::Sink => {
                if let Some(sink) = self.sessions.get_mut(&0).and_then(Session::sink_mut) {
                    sink.ready(ready.flags);
                }
            }
            Token::Relay(number) => {
                if let Some(relays) = &mut self.relays {
                    relays.ready(number, &mut self.scratch);
                }
            }
        }
    }

    fn expel(&mut self, token: Token) {
        match token {
            Token::Client(number) => self.sessions.values_mut().for_each(|session| session.drop_client(number)),
            Token::Peer(number) => self.peers.remove(number),
            Token::Relay(number) => {
                if let Some(relays) = &mut self.relays {
                    relays.expel(number);
                }
            }
            _ => {}
        }
        self.warn(Err(io::Error::other("a bug; whoever brought it to light was dropped")), &format!("handle {token:?}"));
    }

    fn output(&mut self, number: u32, stream: Stream) {
        if let Some(session) = self.sessions.get_mut(&number) {
            session.output(stream, &mut self.scratch, now());
            if self.idle_after.is_none() && session.is_large() {
                self.soon_idle();
            }
        }
    }

    fn client(&mut self, number: u32, flags: EventFlags) {
        let Some(session) = self.sessions.values_mut().find(|session| session.has_client(number)) else { return };
        if session.client(number, flags) {
            let session = session.number();
            self.detached(session);
        }
    }

    fn short_of_memory(&mut self) {
        let certain = self.memory.as_ref().is_some_and(Memory::take);
        self.look_for_kills(certain);
    }

    /// Tells of a kill for lack of memory that was not told of. Returns how many there were.
    fn look_for_kills(&mut self, certain: bool) -> u64 {
        // Where the group's files cannot be read it is going.
        let kills = self.container.cgroup.oom_kills().unwrap_or_default();
        if self.container.oom.news(certain, kills, Instant::now()) > 0 {
            self.peers.announce(&FromShim::Oom, true);
        }
        kills
    }

    fn detached(&mut self, session: u32) {
        let exec = self.execs.iter().find(|exec| exec.session == session).map(|exec| exec.id.clone());
        self.peers.announce(&FromShim::Detached { exec }, true);
    }

    /// Attaches a client to a session.
    fn attach(&mut self, session: u32, socket: OwnedFd, config: AttachConfig) {
        let number = self.number();
        if let Some(found) = self.sessions.get_mut(&session)
            && found.attach(socket, number, config)
        {
            self.detached(session);
        }
    }

    /// Something large was done.
    fn soon_idle(&mut self) {
        self.idle_after = Some(Instant::now() + IDLE);
    }

    /// Gives up what is only needed while much is written.
    fn rest(&mut self) {
        self.scratch = Vec::new();
        self.sessions.values_mut().for_each(Session::rest);
    }

    /// A number that no session or client has.
    fn number(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1).max(1);
        self.next
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        // It may have gone again.
        let Ok(socket) = rustix::net::accept_with(listener, flags) else { return };
        let Ok(peer) = rustix::net::sockopt::socket_peercred(&socket) else { return };
        if peer.uid.is_root() || peer.uid == rustix::process::geteuid() {
            let greeting = self.greeting(self.state());
            // Where it fails the connection is closed, which is answer enough.
            let _ = self.peers.add(socket, &greeting);
        }
    }

    fn state(&self) -> State {
        match &self.container.life {
            Life::Running | Life::Draining { .. } => {
                State::Running { pid: self.container.pid, start_time: self.container.start_time, at: self.container.at }
            }
            Life::Exited(exit) => State::Exited(exit.clone()),
        }
    }

    fn greeting(&self, state: State) -> FromShim {
        greeting(&self.id, state, self.health.as_ref().map(|monitor| Box::new(monitor.report())))
    }

    /// Tells of a failure that is none of the container's.
    fn warn(&mut self, result: io::Result<()>, what: &str) {
        if let Err(error) = result {
            let message = format!("{what}: {error}");
            self.peers.announce(&FromShim::Warning { message }, true);
        }
    }

    fn tell_log_errors(&mut self) {
        if let Some(error) = self.sessions.get_mut(&0).and_then(Session::take_log_error) {
            self.warn(Err(error), "write the log");
        }
    }
}

fn greeting(id: &str, state: State, health: Option<Box<Report>>) -> FromShim {
    FromShim::Hello { hello: hello(), id: id.to_owned(), shim_pid: rustix::process::getpid().as_raw_nonzero().get(), state, health }
}

/// Our opening words.
pub(crate) fn hello() -> Hello {
    Hello { protocol: VERSION, release: env!("CARGO_PKG_VERSION").to_owned(), features: Vec::new() }
}

/// A failure of our own.
fn fail(step: Step, object: &str, error: &io::Error) -> Failure {
    Failure { step, object: object.to_owned(), kind: Kind::Other, errno: error.raw_os_error().unwrap_or(0), message: error.to_string() }
}

/// Wall clock, nanoseconds since 1970.
fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}
