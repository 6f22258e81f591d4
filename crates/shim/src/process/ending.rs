//! The ends of processes: reaped, drained, recorded, announced; and the shim's own.

use super::launcher::Launcher;
use super::session::Session;
use super::{Life, Shim, fail, now};
use crate::files;
use crate::protocol::{Exit, FromShim, Outcome};
use dhow_runtime::Step;
use std::time::{Duration, Instant};

/// How long output of a process that has ended is waited for while somebody else still has its pipe open.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// How long clients and a sink that are behind keep a released shim.
const LINGER_MAX: Duration = Duration::from_secs(30);

impl Shim {
    /// Signals have arrived. The only one of interest is SIGCHLD; nobody ends a shim by SIGTERM while its container lives.
    pub(super) fn signalled(&mut self) {
        while let Ok(Some(_)) = self.signals.next() {}
        while let Ok(Some((pid, ended))) = dhow_sys::process::reap_any() {
            self.reaped(pid, ended.code());
        }
    }

    fn reaped(&mut self, pid: i32, code: i32) {
        let until = Instant::now() + DRAIN_MAX;
        if pid == self.container.pid && matches!(self.container.life, Life::Running) {
            self.container.life = Life::Draining { code, at: now(), until };
            self.stop_probes();
            if self.container.shares_pids {
                let killed = self.container.cgroup.kill().map_err(std::io::Error::other);
                self.warn(killed, "end the other processes");
            }
            self.drain_container(false);
        } else if let Some(index) = self.execs.iter().position(|exec| exec.pid == pid && exec.ended.is_none()) {
            self.execs[index].ended = Some((code, until));
            self.drain_exec(index, false);
        }
    }

    /// The moment until which something is waited for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let container = match self.container.life {
            Life::Draining { until, .. } => Some(until),
            _ => None,
        };
        let execs = self.execs.iter().filter_map(|exec| exec.ended.map(|(_, until)| until));
        container.into_iter().chain(execs).chain(self.probe_deadline()).chain(self.container.oom.deadline()).min()
    }

    /// Goes on with drains, and ends those whose time is up.
    pub(super) fn expire(&mut self) {
        let clock = Instant::now();
        for index in (0..self.execs.len()).rev() {
            if let Some((_, until)) = self.execs[index].ended {
                self.drain_exec(index, clock >= until);
            }
        }
        if let Life::Draining { until, .. } = self.container.life {
            self.drain_container(clock >= until);
        }
        self.check_health();
        if self.container.oom.is_due(clock) {
            self.look_for_kills(false);
        }
        self.sessions
            .retain(|number, session| *number == 0 || session.has_clients() || self.execs.iter().any(|exec| exec.session == *number));
    }

    fn drain(&mut self, session: u32, late: bool) -> bool {
        let Some(session) = self.sessions.get_mut(&session) else { return true };
        let drained = session.drain(&mut self.scratch, now());
        if drained || late {
            session.end_outputs(now());
        }
        drained || late
    }

    /// Reads what is left; when that is all, the clients' connections end, then the exit is recorded, then announced.
    fn drain_container(&mut self, late: bool) {
        let Life::Draining { code, at, .. } = self.container.life else { return };
        if !self.drain(0, late) {
            return;
        }
        // They have all of it, and what their client does now it does beside the rest.
        if let Some(session) = self.sessions.get_mut(&0) {
            session.finish();
        }
        // Without the controller there is no limit to be killed for.
        let oom = self.look_for_kills(false) > 0;
        let exit = Exit { code, at, oom };
        // Whoever hears of the exit may publish the same ports.
        self.relays = None;
        // A socket keeps its namespace, and with it the links.
        self.resolver = None;
        let recorded = crate::document::write(&self.dir, files::EXIT, &exit);
        self.container.life = Life::Exited(exit.clone());
        // A later daemon is greeted with it.
        self.peers.announce(&FromShim::Exited(exit), false);
        self.warn(recorded.map(drop), "record the exit");
        // Only after everybody knows.
        self.memory = None;
        self.container.mntns = None;
    }

    fn drain_exec(&mut self, index: usize, late: bool) {
        let Some((session, Some((code, _)))) = self.execs.get(index).map(|exec| (exec.session, exec.ended)) else { return };
        if !self.drain(session, late) {
            return;
        }
        let exec = self.execs.swap_remove(index).id;
        if self.probe_ended(session, code) {
            return;
        }
        self.peers.announce(&FromShim::ExecExited { exec, code }, true);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.finish();
        }
    }

    /// Leaves nothing: first what is quick, the root last, since the last unmount of an overlay may wait for a disk; then the connections,
    /// whose end is the answer.
    pub(super) fn bury(&mut self) {
        self.listener = None;
        let forgotten = self.launcher.forget(&self.dir);
        self.launcher = Launcher::Own(None);
        let undone = files::undo(&self.container.cgroup, self.container.pin.as_deref());
        let removed = forgotten.and(undone).and_then(|()| files::remove_files(&self.dir));
        self.container.root = None;
        self.container.layers = Vec::new();
        if let (Err(error), Some((peer, seq))) = (removed, self.released) {
            let failure = fail(Step::Io, &self.dir.display().to_string(), &error);
            self.peers.reply(peer, seq, Outcome::Failed { failure }, None);
        }
        self.peers.clear();
        let limit = Instant::now() + LINGER_MAX;
        while self.sessions.values().any(Session::is_owing) && Instant::now() < limit {
            self.turn(Some(limit));
        }
    }
}
