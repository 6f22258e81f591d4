//! The container's health check: probes run here, so that they go on while no daemon is there. Without a check nothing of this costs anything.

use super::{Life, Shim, now};
use crate::config::{AttachConfig, ExecConfig, HealthConfig};
use crate::health::{Due, End, Machine, Probe};
use crate::protocol::FromShim;
use dhow_runtime::seccomp::Program;
use dhow_runtime::{Failure, Kind};
use rustix::rand::{GetRandomFlags, getrandom};
use std::fmt::Write as _;
use std::time::Instant;

const SIGKILL: i32 = 9;
/// Exit code of what was killed.
const KILLED: i32 = 128 + SIGKILL;
const PF_EXITING: u32 = 4;

/// A container's check, and the probe that runs.
pub(crate) struct Monitor {
    machine: Machine,
    /// What every probe is made from; its id is that of the last one.
    template: ExecConfig,
    running: Option<Running>,
}

#[derive(Clone, Copy)]
struct Running {
    session: u32,
    start: i64,
}

impl Monitor {
    /// For a container that has just started.
    pub(super) fn new(config: HealthConfig, seccomp: Option<Program>) -> Self {
        let attach = AttachConfig { stdout: true, stderr: true, ..AttachConfig::default() };
        let template =
            ExecConfig { id: String::new(), process: config.process, seccomp, tty: false, console_size: None, attach: Some(attach) };
        Self { machine: Machine::new(config.plan, Instant::now()), template, running: None }
    }

    /// What is known of the container's health.
    pub(super) fn report(&self) -> crate::health::Report {
        self.machine.report().clone()
    }
}

impl Shim {
    /// When the health check has something to do.
    pub(super) fn probe_deadline(&self) -> Option<Instant> {
        self.health.as_ref().and_then(|monitor| monitor.machine.deadline())
    }

    /// Does what the health check has to do now.
    pub(super) fn check_health(&mut self) {
        let Some(monitor) = &mut self.health else { return };
        match monitor.machine.due(Instant::now()) {
            Due::Nothing => {}
            Due::Probe => self.begin_probe(),
            Due::Kill => self.kill_probe(),
        }
    }

    fn begin_probe(&mut self) {
        let Some(mut monitor) = self.health.take() else { return };
        monitor.machine.begun(Instant::now());
        monitor.template.id = fresh_id();
        let start = now();
        self.peers.announce(&FromShim::ProbeBegan { exec: monitor.template.id.clone() }, false);
        let begun = self.running().and_then(|()| self.begin_exec(&monitor.template));
        match begun {
            Ok((session, _)) => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.capture();
                }
                monitor.running = Some(Running { session, start });
                self.health = Some(monitor);
            }
            Err(failure) => {
                self.health = Some(monitor);
                self.probe_failed(start, failure);
            }
        }
    }

    fn probe_failed(&mut self, start: i64, failure: Failure) {
        if failure.kind == Kind::NotRunning {
            // Its end is on its way.
            return self.stop_probes();
        }
        self.probe_result(Probe { start, at: now(), end: End::NotRun { failure }, output: String::new() });
    }

    fn kill_probe(&mut self) {
        let Some(running) = self.health.as_ref().and_then(|monitor| monitor.running) else { return };
        if let Some(exec) = self.execs.iter().find(|exec| exec.session == running.session) {
            // It may have ended this instant.
            let _ = dhow_sys::process::pidfd_signal(&exec.pidfd, SIGKILL);
        }
    }

    /// An exec has ended and its output is drained: takes its result if it was the probe. False if it was not.
    pub(super) fn probe_ended(&mut self, session: u32, code: i32) -> bool {
        let Some(monitor) = &mut self.health else { return false };
        let Some(running) = monitor.running.filter(|running| running.session == session) else { return false };
        monitor.running = None;
        // The end of a pid namespace kills and reaps everything else in it before its first process is told of.
        if code == KILLED && is_exiting(self.container.pid) {
            self.sessions.remove(&session);
            self.stop_probes();
            return true;
        }
        let output = self.sessions.remove(&session).map(super::session::Session::captured).unwrap_or_default();
        self.probe_result(Probe { start: running.start, at: now(), end: End::Exited { code }, output });
        true
    }

    fn probe_result(&mut self, probe: Probe) {
        let Some(monitor) = &mut self.health else { return };
        let Some(probe) = monitor.machine.ended(Instant::now(), probe).cloned() else { return };
        let report = monitor.machine.report();
        let news =
            FromShim::Probed { exec: monitor.template.id.clone(), probe: Box::new(probe), status: report.status, streak: report.streak };
        // A later daemon is greeted with it.
        self.peers.announce(&news, false);
        self.soon_idle();
    }

    /// No more probes: the container is about to be frozen, or has ended.
    pub(super) fn stop_probes(&mut self) {
        self.kill_probe();
        if let Some(monitor) = &mut self.health {
            monitor.machine.stop();
        }
    }

    /// Probes again, if there were any.
    pub(super) fn resume_probes(&mut self) {
        if let Some(monitor) = &mut self.health
            && matches!(self.container.life, Life::Running)
        {
            monitor.machine.resume(Instant::now());
        }
    }
}

/// Whether a process is on its way out, as the kernel's flags of it say. One that is not there is.
fn is_exiting(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The name, in parentheses, may hold anything.
    let flags = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(6)).and_then(|flags| flags.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

/// A name for an exec, as the engine makes them.
fn fresh_id() -> String {
    let mut bytes = [0u8; 32];
    // It cannot fail once the machine has started; an id of zeros would be a name like any other.
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    bytes.iter().fold(String::with_capacity(64), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}
