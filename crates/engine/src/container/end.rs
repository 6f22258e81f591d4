//! Ends: the exit is recorded, then announced, then cleaned up after.

use super::actor::{Actor, Live};
use super::machine::{Move, is_active};
use super::restart::enter_exit;
use crate::burials::Burial;
use crate::container::command::WaitFor;
use crate::error::{Error, Kind, Result};
use crate::model::Status;
use crate::parts::Parts;
use crate::{clock, network, volumes};
use dhow_shim::handle::{Shim, clean_up, recorded_exit};
use dhow_shim::protocol::{Exit, State};
use dhow_storage::SnapshotKey;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Exit code of a container whose shim was killed.
const KILLED: i32 = 137;
/// How often a shim that does not answer is looked for, and how long between.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

impl Actor {
    /// The connection to the shim ended without a word about an exit.
    pub(super) async fn on_gone(&mut self) {
        let Some(lost) = self.live.take() else { return };
        let dir = self.parts.shim_dir(&self.container.id);
        for _ in 0..TRIES {
            // Only the connection may have broken.
            if let Ok(running) = Shim::connect(&self.container.id, &dir).await {
                tracing::warn!(container = self.container.id, "connected to the shim again");
                self.live =
                    Some(Live { shim: running.shim, events: running.events, user: lost.user, names: lost.names, volumes: lost.volumes });
                if let State::Exited(exit) = running.state {
                    self.on_exit(exit).await;
                }
                return;
            }
            let exit = recorded_exit(&dir).unwrap_or_else(|error| {
                tracing::warn!(container = self.container.id, %error, "the recorded exit cannot be read");
                None
            });
            // Its processes may still run: the end is true only after the clean-up.
            match clean(dir.clone()).await {
                // A shim on its way out closes one thing after the other.
                Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => tokio::time::sleep(PAUSE).await,
                done => {
                    if let Err(error) = done {
                        tracing::warn!(container = self.container.id, %error, "not all that a killed shim left was removed");
                    }
                    tracing::warn!(container = self.container.id, "the shim was killed");
                    return self.on_exit(exit.unwrap_or_else(|| Exit { code: KILLED, at: clock::now(), oom: false })).await;
                }
            }
        }
        tracing::error!(container = self.container.id, "the shim neither answers nor ends");
        self.on_exit(Exit { code: KILLED, at: clock::now(), oom: false }).await;
    }

    /// The program has ended. A second message about it is nothing.
    pub(super) async fn on_exit(&mut self, exit: Exit) {
        if !is_active(self.container.state.status) {
            return;
        }
        let mut live = self.live.take();
        if let Some(live) = &mut live {
            // Its sockets keep the namespace, and with it the links.
            live.names = None;
            live.volumes.clear();
        }
        self.settle_execs();
        let started = self.container.state.started_at.unwrap_or(exit.at);
        let ending = self.ending.take().unwrap_or_default();
        let removed = ending.remove || (self.container.request.auto_remove && !ending.keep);
        let again = enter_exit(&mut self.container, &exit, !removed);
        self.step(if again { Move::Retry } else { Move::Exit });
        let left = self.container.networks.clone();
        super::links::close(&self.parts, &self.container);
        network::detach(&self.parts.networks, &mut self.container);
        // One that goes by itself is told of before that is written: should we die in between, the next engine finds it ended, and removes it.
        let by_itself = removed && self.container.request.auto_remove;
        let mut recorded = match (by_itself, removed) {
            (true, _) => Ok(()),
            (false, true) => self.parts.store.delete(&self.container.id).await,
            (false, false) => self.parts.store.state(&self.container.id, &self.container.state).await,
        };
        self.publish();
        // Begun before anybody hears of the end: who finds the disk full then knows what to wait for.
        let burial = removed.then(|| self.parts.burials.begin(&self.container.id));
        if removed {
            self.parts.registry.remove(&self.container.id);
        }
        self.answer_waiters(removed);
        if by_itself {
            recorded = self.parts.store.delete(&self.container.id).await;
        }
        if let Err(error) = &recorded {
            tracing::error!(container = self.container.id, %error, "the exit was not recorded");
        }
        let seconds = exit.at.saturating_sub(started).max(0) / 1_000_000_000;
        network::tell_left(&self.parts.networks, &self.parts.events, &self.container, &left);
        volumes::tell_unmounts(&self.parts, &self.container);
        self.tell("die", &[("exitCode", exit.code.to_string()), ("execDuration", seconds.to_string())]);
        if ending.stop {
            self.tell("stop", &[]);
        }
        if let Some(burial) = burial {
            if ending.volumes || self.container.request.auto_remove {
                volumes::remove_anonymous(&self.parts, &self.container).await;
            }
            self.tell("destroy", &[]);
            let cleanup = live.map(|live| self.release(live));
            self.bury(cleanup, burial, recorded.is_ok());
        } else if recorded.is_ok() {
            self.cleanup = live.map(|live| self.release(live));
        } else {
            // The shim keeps the exit on disk until it is released: a later engine can still learn of it.
            self.unrecorded = live;
        }
        self.back_off();
        for reply in ending.replies {
            let _ = reply.send(Ok(()));
        }
    }

    /// Whatever else ran in it ended with it.
    fn settle_execs(&mut self) {
        for exec in std::mem::take(&mut self.container.execs) {
            if self.parts.execs.finish_running(&exec, KILLED) {
                self.tell("exec_die", &[("execID", exec), ("exitCode", KILLED.to_string())]);
            }
        }
    }

    pub(super) fn answer_waiters(&mut self, removed: bool) {
        let outcome = self.outcome();
        for waiter in std::mem::take(&mut self.waiters) {
            if waiter.until == WaitFor::Removed && !removed {
                self.waiters.push(waiter);
            } else {
                let _ = waiter.sender.send(outcome.clone());
            }
        }
    }

    /// Lets the shim clean up and end, in the background. At once: with it go the links and what it has mounted, which the next container, or
    /// whoever unmounts a disk of the host, would meet.
    fn release(&self, live: Live) -> JoinHandle<()> {
        let parts = self.parts.clone();
        let id = self.container.id.clone();
        self.parts.background.spawn(async move {
            if let Err(error) = live.shim.release().await {
                tracing::warn!(container = id, %error, "the shim did not end as asked");
                let dir = parts.shim_dir(&id);
                if let Err(error) = clean(dir).await {
                    tracing::warn!(container = id, %error, "not all that the shim left was removed");
                }
            }
        })
    }

    /// The clean-up of the run before, begun now if it was not.
    pub(super) fn take_cleanup(&mut self) -> Option<JoinHandle<()>> {
        self.cleanup.take().or_else(|| self.unrecorded.take().map(|live| self.release(live)))
    }

    /// Removes a container that does not run; with `volumes` those of its volumes that nobody named.
    pub(super) async fn remove_now(&mut self, volumes: bool) -> Result<()> {
        if self.container.state.status == Status::Removing {
            let text = format!("removal of container {} is already in progress", self.container.name);
            return Err(Error::new(Kind::Conflict, text));
        }
        self.parts.store.delete(&self.container.id).await.map_err(|e| e.prefixed("cannot remove container: "))?;
        self.step(Move::Remove);
        self.publish();
        self.parts.registry.remove(&self.container.id);
        self.answer_waiters(true);
        if volumes || self.container.request.auto_remove {
            volumes::remove_anonymous(&self.parts, &self.container).await;
        }
        self.tell("destroy", &[]);
        let cleanup = self.take_cleanup();
        let burial = self.parts.burials.begin(&self.container.id);
        self.bury(cleanup, burial, true);
        Ok(())
    }

    /// The record is gone; the rest follows in the background, and at the next opening if that is cut short. A record that could not be
    /// taken away (`forgotten` is false) is, once there is room.
    fn bury(&mut self, after: Option<JoinHandle<()>>, burial: Burial, forgotten: bool) {
        self.gone = true;
        // Those that waited for a start wait no more.
        self.pending.clear();
        self.parts.execs.forget_container(&self.container.id);
        let parts = self.parts.clone();
        let id = self.container.id.clone();
        let image = self.container.image_id.clone();
        self.parts.background.spawn(async move {
            let _until_the_end = burial;
            if let Some(after) = after
                && let Err(error) = after.await
            {
                tracing::error!(container = id, %error, "clean-up failed");
            }
            parts.burials.lull.come().await;
            let (content, of) = (parts.clone(), id.clone());
            let work = move || {
                delete_content(&content, &of, Some(&image));
                // Where one goes, another one often comes.
                content.make_ready();
            };
            let work = tokio::task::spawn_blocking(work).await;
            if let Err(error) = work {
                tracing::error!(%error, "a removal failed");
            }
            if !forgotten && let Err(error) = parts.store.delete(&id).await {
                tracing::error!(container = id, %error, "its record is still there");
            }
        });
    }
}

/// Removes what a shim left, on a thread that may wait.
async fn clean(dir: PathBuf) -> std::io::Result<()> {
    tokio::task::spawn_blocking(move || clean_up(&dir)).await.map_err(std::io::Error::other)?
}

/// Deletes snapshot and directory of a container without a record, and the layers of its image, if that was removed in the meantime. Goes on
/// after errors: the next opening sweeps up.
pub(crate) fn delete_content(parts: &Arc<Parts>, id: &str, image: Option<&str>) {
    match parts.layers.remove(&SnapshotKey(id.to_owned())) {
        Ok(()) | Err(dhow_storage::Error::NoSnapshot(_)) => {}
        Err(error) => tracing::warn!(container = id, %error, "its snapshot was not removed"),
    }
    let dir = parts.container_dir(id);
    match std::fs::remove_dir_all(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(container = id, %error, "its directory was not removed"),
    }
    let orphaned = image.is_some_and(|image| matches!(parts.images.resolve(image), Err(dhow_image::Error::NotFound(_))));
    if orphaned && let Err(error) = parts.images.collect_garbage() {
        tracing::warn!(container = id, %error, "the layers of its removed image were not removed");
    }
}
