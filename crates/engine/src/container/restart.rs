//! The actor's side of restart policies: the back-off between two runs, and what ends it.

use super::actor::Actor;
use super::command::{By, Reply};
use super::machine::Move;
use crate::error::{Error, Kind, Result};
use crate::model::{Container, State, Status};
use crate::restart::{Policy, after_exit};
use crate::{clock, health, signal};
use dhow_shim::protocol::Exit;
use std::time::Duration;
use tokio::time::Instant;

/// The longest back-off; a clock that was set back must not make it longer.
const LONGEST: Duration = Duration::from_secs(60);
/// A restart that finds somebody copying files into the container looks again so much later.
const BUSY: Duration = Duration::from_millis(100);

/// Enters an exit into the state: the container has ended, or waits for its next start. True for the latter.
pub(crate) fn enter_exit(container: &mut Container, exit: &Exit, may_restart: bool) -> bool {
    let policy = Policy::of(container.request.host.restart.as_ref());
    let state = &mut container.state;
    let started = *state.started_at.get_or_insert(exit.at);
    let ran = Duration::from_nanos(u64::try_from(exit.at.saturating_sub(started)).unwrap_or(0));
    state.pid = 0;
    state.pid_start_time = 0;
    health::ended(state);
    state.exit_code = exit.code;
    state.oom_killed |= exit.oom;
    state.finished_at = Some(exit.at);
    let wait = may_restart.then(|| after_exit(policy, exit.code, ran, &state.restarts)).flatten();
    let Some(wait) = wait else { return false };
    state.restarts.count += 1;
    state.restarts.delay_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    state.restarts.due = Some(clock::now().saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)));
    true
}

/// When the back-off of this state ends.
fn due(state: &State) -> Option<Instant> {
    let due = state.restarts.due.filter(|_| state.status == Status::Restarting)?;
    let left = Duration::from_nanos(u64::try_from(due.saturating_sub(clock::now())).unwrap_or(0));
    Some(Instant::now() + left.min(LONGEST))
}

impl Actor {
    /// Waits for the end of the back-off, from now on or from a former engine on.
    pub(super) fn back_off(&mut self) {
        self.retry = due(&self.container.state);
    }

    /// The back-off is over.
    pub(super) async fn on_retry(&mut self) {
        self.retry = None;
        // The next engine goes on with it.
        if self.parts.is_closing() {
            return;
        }
        let Some(_files) = self.hold_files() else {
            self.retry = Some(Instant::now() + BUSY);
            return;
        };
        if let Err(error) = self.start(By::Policy).await {
            tracing::warn!(container = self.container.id, %error, "it was not started again");
        }
    }

    /// Whether this signal, sent by hand, means the end: the stop signal, or any where none is configured.
    fn means_end(&self, number: i32) -> bool {
        let own = self.container.request.stop_signal.as_deref().filter(|s| !s.is_empty());
        number == signal::KILL || own.is_none_or(|_| number == self.stop_signal())
    }

    /// Somebody signals the container: that counts as stopped by hand, and ends its policy where the signal means the end.
    pub(super) async fn by_hand(&mut self, number: i32, stop: bool) -> Result<()> {
        let canceled = stop || self.means_end(number);
        self.note(true, canceled).await
    }

    /// The engine ends it: no restart now, but at the engine's next start.
    pub(super) async fn shut_down(&mut self, reply: Reply<()>) {
        if self.live.is_none() {
            let _ = reply.send(Ok(()));
            return;
        }
        if let Err(error) = self.note(false, true).await {
            let _ = reply.send(Err(error));
            return;
        }
        self.stop_running(None, None, false, reply).await;
    }

    async fn note(&mut self, by_hand: bool, canceled: bool) -> Result<()> {
        let before = self.container.state.restarts.clone();
        let restarts = &mut self.container.state.restarts;
        restarts.by_hand |= by_hand;
        restarts.canceled |= canceled;
        let matters = Policy::of(self.container.request.host.restart.as_ref()) != Policy::No;
        // Without a policy it is saved with the exit: nobody looks at it before.
        if matters && *restarts != before {
            self.parts.store.state(&self.container.id, &self.container.state).await?;
        }
        Ok(())
    }

    /// A signal for a container between two runs: it is not started again, if the signal means the end.
    pub(super) async fn signal_between(&mut self, number: i32, stop: bool) -> Result<()> {
        if stop || self.means_end(number) { self.end_between().await } else { self.note(true, false).await }
    }

    /// The container between two runs stays as it is.
    async fn end_between(&mut self) -> Result<()> {
        self.retry = None;
        let restarts = &mut self.container.state.restarts;
        restarts.by_hand = true;
        self.stay().await
    }

    /// Leaves the back-off for good.
    pub(super) async fn stay(&mut self) -> Result<()> {
        let restarts = &mut self.container.state.restarts;
        restarts.canceled = true;
        restarts.due = None;
        self.step(Move::Exit);
        let saved = self.parts.store.state(&self.container.id, &self.container.state).await;
        self.publish();
        self.answer_waiters(false);
        saved
    }

    /// Takes over a new policy.
    pub(super) fn set_policy(&mut self, policy: (String, i64)) -> Result<()> {
        let none = matches!(policy.0.as_str(), "" | "no");
        if self.container.request.auto_remove && !none {
            let text = "Restart policy cannot be updated because AutoRemove is enabled for the container";
            return Err(Error::new(Kind::Conflict, text));
        }
        self.container.request.host.restart = Some(policy);
        Ok(())
    }
}
