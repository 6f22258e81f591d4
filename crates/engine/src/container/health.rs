//! The actor's side of health checks: news of the probes, told as Docker tells them.

use super::actor::Actor;
use crate::health;
use dhow_shim::health::{End, Probe, Status};

/// Exit code of a probe that was killed.
const KILLED: i32 = 137;

impl Actor {
    /// A probe is about to run.
    pub(super) fn on_probe_began(&self, exec: &str) {
        let command = self.container.request.health.as_ref().map(|check| check.command.as_slice()).unwrap_or_default();
        let (first, rest) = command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let words = format!("{first} {}", rest.join(" "));
        for action in ["exec_create", "exec_start"] {
            self.tell(&format!("{action}: {words}"), &[("execID", exec.to_owned())]);
        }
    }

    /// It has a result.
    pub(super) fn on_probed(&mut self, exec: &str, probe: Probe, status: Status, streak: u64) {
        let code = match &probe.end {
            End::Exited { code } => Some(*code),
            End::TimedOut => Some(KILLED),
            End::NotRun { .. } | End::Unknown => None,
        };
        let changed = health::probed(&mut self.container.state, probe, status, streak);
        self.publish();
        if let Some(code) = code {
            self.tell("exec_die", &[("execID", exec.to_owned()), ("exitCode", code.to_string())]);
        }
        if changed {
            // A later engine asks the shim for the results; only what was told must be known to have been.
            self.parts.store.state_later(&self.container.id, &self.container.state);
            health::tell_status(&self.parts, &self.container);
        }
    }

    /// The container is frozen: its probes rest.
    pub(super) fn unwatched(&mut self) {
        health::ended(&mut self.container.state);
    }
}
