//! What daemons ask for.

use super::relay::Relays;
use super::session::{Ends, Session};
use super::stdio::{self, Wanted};
use super::{Exec, Life, Shim, fail};
use crate::config::{AttachConfig, ExecConfig, RelayConfig};
use crate::protocol::{Outcome, Request, ToShim};
use dhow_network::resolver;
use dhow_runtime::{Failure, Kind, Step};
use dhow_sys::process;
use rustix::event::epoll::EventFlags;
use rustix::termios::Winsize;
use serde::Deserialize;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Most messages of one daemon in one turn.
const BATCH: usize = 16;
const SIGKILL: i32 = 9;

/// What a request is answered with.
type Answer = Result<(Outcome, Option<OwnedFd>), Failure>;

/// The part of a message that an answer needs, whatever else is wrong with it.
#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

impl Shim {
    /// A connection has something.
    pub(super) fn peer(&mut self, number: u32, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.peers.writable(number);
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        for _ in 0..BATCH {
            let Some((body, fds)) = self.peers.receive(number) else { return };
            self.message(number, &body, fds);
            if self.released.is_some() {
                return;
            }
        }
    }

    fn message(&mut self, peer: u32, body: &[u8], fds: Vec<OwnedFd>) {
        match serde_json::from_slice(body) {
            Ok(ToShim::Hello(_) | ToShim::Unknown) => {}
            Ok(ToShim::Request { seq, request: Request::Release }) => self.release(peer, seq),
            Ok(ToShim::Request { seq, request }) => {
                let (outcome, fd) = match self.request(request, fds) {
                    Ok(answer) => answer,
                    Err(failure) => (Outcome::Failed { failure }, None),
                };
                self.peers.reply(peer, seq, outcome, fd);
            }
            Err(error) => match serde_json::from_slice::<Numbered>(body) {
                Ok(Numbered { seq }) => {
                    let failure = invalid("request", &error.to_string());
                    self.peers.reply(peer, seq, Outcome::Failed { failure }, None);
                }
                // Not a daemon of ours.
                Err(_) => self.peers.remove(peer),
            },
        }
    }

    fn release(&mut self, peer: u32, seq: u64) {
        if matches!(self.container.life, Life::Exited(_)) {
            self.released = Some((peer, seq));
        } else {
            let failure = invalid(&self.id, "the container is still running");
            self.peers.reply(peer, seq, Outcome::Failed { failure }, None);
        }
    }

    fn request(&mut self, request: Request, fds: Vec<OwnedFd>) -> Answer {
        let done = |()| (Outcome::Ok, None);
        match request {
            Request::Attach(config) => self.attach_request(config, fds).map(done),
            Request::Kill { signal, all } => self.kill(signal, all).map(done),
            Request::Resize { exec, height, width } => self.resize(exec.as_deref(), height, width).map(done),
            Request::Exec(config) => self.exec(&config, fds),
            Request::ExecKill { exec, signal } => {
                let found = self.find_exec(&exec)?;
                signal_to(&found.pidfd, signal, &exec).map(done)
            }
            Request::Update(config) => match self.launcher.foreign() {
                Some(driver) => driver.update(&config.resources),
                None => self.container.cgroup.update(&config.resources),
            }
            .map(done),
            Request::Pause => self.freeze(true).map(done),
            Request::Resume => self.freeze(false).map(done),
            Request::Usage => self.container.cgroup.usage().map(|usage| (Outcome::Usage(Box::new(usage)), None)),
            Request::Root => self.root(),
            Request::Resolver { tcp } => self.resolver(tcp),
            Request::Relays { relays, anew } => self.relay(relays, fds, anew).map(done),
            Request::ReopenLog => self.reopen_log().map(done),
            Request::Sync => Ok(done(())),
            Request::Release | Request::Unknown => Err(invalid("request", "unknown")),
        }
    }

    pub(super) fn running(&self) -> Result<(), Failure> {
        match self.container.life {
            Life::Running => Ok(()),
            _ => Err(not_running(&self.id)),
        }
    }

    fn attach_request(&mut self, config: AttachConfig, mut fds: Vec<OwnedFd>) -> Result<(), Failure> {
        let socket = fds.pop().ok_or_else(|| invalid("attach", "no socket"))?;
        if matches!(self.container.life, Life::Exited(_)) && !config.replay {
            return Err(not_running(&self.id));
        }
        self.attach(0, socket, config);
        Ok(())
    }

    fn kill(&mut self, signal: i32, all: bool) -> Result<(), Failure> {
        self.running()?;
        if let Some(driver) = self.launcher.foreign() {
            driver.kill(signal, all)?;
        } else if all && signal == SIGKILL {
            self.container.cgroup.kill()?;
        } else if all {
            for pid in self.container.cgroup.pids()? {
                match process::pidfd_open(pid).and_then(|pidfd| process::pidfd_signal(pidfd, signal)) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound && e.raw_os_error() != Some(ESRCH) => {
                        return Err(fail(Step::Io, &format!("signal {signal} to process {pid}"), &e));
                    }
                    _ => {}
                }
            }
        } else if let Some(pidfd) = &self.container.pidfd {
            signal_to(pidfd, signal, &self.id)?;
        }
        // A frozen process of cgroup v1 does not even die.
        if signal == SIGKILL && self.container.paused {
            self.freeze(false)?;
        }
        Ok(())
    }

    fn resize(&self, exec: Option<&str>, height: u16, width: u16) -> Result<(), Failure> {
        let session = match exec {
            Some(id) => self.find_exec(id)?.session,
            None => {
                self.running()?;
                0
            }
        };
        // As in Docker, what has no terminal has no size that anybody could change.
        let Some(console) = self.sessions.get(&session).and_then(Session::console) else { return Ok(()) };
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(console, size).map_err(|e| fail(Step::Console, "terminal", &e.into()))
    }

    fn find_exec(&self, id: &str) -> Result<&Exec, Failure> {
        let found = self.execs.iter().find(|exec| exec.id == id && exec.ended.is_none());
        found.ok_or_else(|| not_running(id))
    }

    fn freeze(&mut self, frozen: bool) -> Result<(), Failure> {
        match self.running() {
            // What was killed while it was frozen may be gone before anybody thaws it.
            Err(_) if !frozen => return Ok(()),
            other => other?,
        }
        if frozen && !self.container.paused {
            // What is frozen does not even die.
            self.stop_probes();
        }
        let done = match self.launcher.foreign() {
            Some(driver) => driver.freeze(frozen),
            None => self.container.cgroup.freeze(frozen),
        };
        if done.is_ok() {
            self.container.paused = frozen;
        }
        if !self.container.paused {
            self.resume_probes();
        }
        done?;
        Ok(())
    }

    fn resolver(&mut self, tcp: bool) -> Answer {
        self.running()?;
        let failed = |e: io::Error| fail(Step::Network, &self.id, &e);
        if self.resolver.is_none() {
            let own = format!("/proc/{}/ns/net", self.container.pid);
            let path = self.container.pin.as_deref().unwrap_or(own.as_ref());
            let namespace = std::fs::File::open(path).map_err(failed)?;
            let opened = resolver::open(namespace.as_fd(), &resolver::WAYS);
            self.resolver = Some(opened.map_err(super::launcher::network_failure)?);
        }
        let socket = self.resolver.as_ref().map(|sockets| if tcp { &sockets.tcp } else { &sockets.udp });
        let socket = socket.ok_or_else(|| not_running(&self.id))?;
        let copy = rustix::io::fcntl_dupfd_cloexec(socket, 3).map_err(|e| fail(Step::Network, &self.id, &e.into()))?;
        Ok((Outcome::Ok, Some(copy)))
    }

    fn relay(&mut self, configs: Vec<RelayConfig>, sockets: Vec<OwnedFd>, anew: bool) -> Result<(), Failure> {
        self.running()?;
        if configs.len() != sockets.len() {
            return Err(invalid("relays", &format!("{} sockets for {} ports", sockets.len(), configs.len())));
        }
        if anew {
            self.relays = None;
        }
        if !configs.is_empty() {
            let poll = &self.poll;
            self.relays.get_or_insert_with(|| Box::new(Relays::new(poll, Vec::new(), Vec::new()))).add(configs, sockets);
        }
        Ok(())
    }

    fn root(&self) -> Answer {
        let root = self.container.root.as_ref().ok_or_else(|| not_running(&self.id))?;
        let copy = rustix::io::fcntl_dupfd_cloexec(root, 3).map_err(|e| fail(Step::Root, &self.id, &e.into()))?;
        Ok((Outcome::Ok, Some(copy)))
    }

    fn reopen_log(&mut self) -> Result<(), Failure> {
        match self.sessions.get_mut(&0).and_then(Session::log_mut) {
            Some(log) => log.follow().map_err(|e| fail(Step::Io, "log", &e)),
            None => Ok(()),
        }
    }

    fn exec(&mut self, config: &ExecConfig, mut fds: Vec<OwnedFd>) -> Answer {
        self.running()?;
        if self.container.paused {
            return Err(invalid(&self.id, "the container is paused"));
        }
        if self.execs.iter().any(|exec| exec.id == config.id) {
            return Err(invalid(&config.id, "runs already"));
        }
        let client = match (&config.attach, fds.pop()) {
            (Some(attach), Some(socket)) => Some((attach.clone(), socket)),
            (None, _) => None,
            (Some(_), None) => return Err(invalid("exec", "no socket")),
        };
        let (session, outcome) = self.begin_exec(config)?;
        if let Some((attach, socket)) = client {
            self.attach(session, socket, attach);
        }
        Ok((outcome, None))
    }

    /// Starts a further process; gives its session, in which nobody is attached yet.
    pub(super) fn begin_exec(&mut self, config: &ExecConfig) -> Result<(u32, Outcome), Failure> {
        self.soon_idle();
        let (started, ends) = self.start_exec(config)?;
        let session = self.number();
        let ends = match started.console {
            Some(console) => {
                let stdin = config.attach.as_ref().is_some_and(|attach| attach.stdin);
                // The process runs: without its terminal it is a running process that shows nothing, but it is reaped.
                stdio::of_console(console, stdin).unwrap_or_default()
            }
            None => ends,
        };
        self.sessions.insert(session, Session::new(&self.poll, session, ends, config.tty, true, None));
        self.execs.push(Exec { id: config.id.clone(), session, pid: started.pid, pidfd: started.pidfd, ended: None });
        Ok((session, Outcome::Exec { pid: started.pid }))
    }

    fn start_exec(&self, config: &ExecConfig) -> Result<(dhow_runtime::ExecStarted, Ends), Failure> {
        let attach = config.attach.clone().unwrap_or_default();
        let wanted =
            Wanted { tty: config.tty, size: config.console_size, stdin: attach.stdin, stdout: attach.stdout, stderr: attach.stderr };
        let mut process = config.process.clone();
        if process.oom_score_adj().is_none() {
            process.set_oom_score_adj(Some(0));
        }
        crate::descriptors::as_before(&mut process);
        let (stdio, ends) =
            stdio::make(wanted, process.user(), self.container.map.as_deref()).map_err(|e| fail(Step::Io, "standard streams", &e))?;
        if let Some(driver) = self.launcher.foreign() {
            process.set_terminal(Some(config.tty));
            let crate::foreign::Executed { pid, pidfd, console } = driver.exec(&process, &stdio)?;
            return Ok((dhow_runtime::ExecStarted { pid, pidfd, console }, ends));
        }
        let init = self.container.pidfd.as_ref().ok_or_else(|| not_running(&self.id))?;
        let wanted = config.seccomp.as_ref().is_some_and(|filter| filter.needs_listener());
        let listener = self.container.listener.as_deref().filter(|_| wanted).map(|one| one.clone().running(self.container.pid));
        let started = dhow_runtime::Exec {
            process: &process,
            init: init.as_fd(),
            init_pid: self.container.pid,
            user_namespace: self.container.map.is_some(),
            cgroup: &self.container.cgroup,
            seccomp: config.seccomp.as_ref(),
            stdio,
            keep: dhow_runtime::Keep::default(),
            listener: listener.as_ref(),
            root: None,
            personality: None,
        }
        .run()?;
        Ok((started, ends))
    }
}

const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();

fn signal_to(pidfd: &OwnedFd, signal: i32, object: &str) -> Result<(), Failure> {
    match process::pidfd_signal(pidfd, signal) {
        Ok(()) => Ok(()),
        Err(e) if e.raw_os_error() == Some(ESRCH) => Err(not_running(object)),
        Err(e) => Err(fail(Step::Io, &format!("signal {signal} to {object}"), &e)),
    }
}

fn invalid(object: &str, message: &str) -> Failure {
    Failure { step: Step::Io, object: object.to_owned(), kind: Kind::Invalid, errno: 0, message: message.to_owned() }
}

fn not_running(object: &str) -> Failure {
    Failure { step: Step::Io, object: object.to_owned(), kind: Kind::NotRunning, errno: ESRCH, message: "is not running".to_owned() }
}
