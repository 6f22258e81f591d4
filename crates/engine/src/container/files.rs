//! Who may touch a container's files, and how.

use super::actor::Actor;
use super::command::{Access, Command};
use crate::error::{Error, Kind, Result};
use crate::model::Status;
use tokio::sync::OwnedMutexGuard;

impl Actor {
    pub(super) async fn files(&mut self, write: bool) -> Result<Access> {
        if let Some(live) = &self.live {
            return Ok(Access::Running(live.shim.clone()));
        }
        if let status @ (Status::Removing | Status::Dead) = self.container.state.status {
            return Err(Error::new(Kind::Conflict, format!("container {} is {}", self.container.id, status.as_str())));
        }
        if !write {
            return Ok(Access::Resting(None));
        }
        // Until then the run before has them mounted.
        if let Some(cleanup) = self.take_cleanup()
            && let Err(error) = cleanup.await
        {
            tracing::error!(container = self.container.id, %error, "clean-up failed");
        }
        Ok(self.slot.try_turn().map_or(Access::Busy, |turn| Access::Resting(Some(turn))))
    }
}

impl Actor {
    /// Whoever starts or removes the container holds this meanwhile: nobody then has its layers mounted to write to them.
    pub(super) fn hold_files(&self) -> Option<OwnedMutexGuard<()>> {
        self.slot.try_turn()
    }

    /// Gives a command again when the files are free. Other commands do not wait with it.
    pub(super) fn later(&self, command: Command) {
        let slot = self.slot.clone();
        tokio::spawn(async move {
            slot.turn().await;
            // Where the container is gone by then, so is whoever asked: its answer is that of a closed queue.
            if let Err(error) = slot.send(command).await {
                tracing::debug!(container = slot.id, %error, "a command came too late");
            }
        });
    }
}
