//! What the rest of the engine holds of a container.

use super::command::Command;
use crate::error::{Error, Kind, Result};
use crate::model::Container;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot, watch};

/// Commands that may wait for one container.
const QUEUE: usize = 256;
/// Helpers that may work on one container's files at once. Those that a filesystem holds for ever count.
const HELPERS: usize = 16;

/// What the rest of the engine holds of a container: its snapshot, and the way to its actor.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: String,
    commands: mpsc::Sender<Command>,
    pub(super) published: watch::Sender<Arc<Container>>,
    timings: Mutex<Vec<(String, u64)>>,
    /// Who has its layers mounted to write to them while it rests, or is about to start it.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Helpers at work on its files.
    pub(crate) helpers: Arc<tokio::sync::Semaphore>,
}

impl Slot {
    /// A slot, and where its commands arrive.
    pub(super) fn new(container: Container) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (commands, queue) = mpsc::channel(QUEUE);
        let id = container.id.clone();
        let slot = Self {
            id,
            commands,
            published: watch::Sender::new(Arc::new(container)),
            timings: Mutex::default(),
            turn: Arc::default(),
            helpers: Arc::new(tokio::sync::Semaphore::new(HELPERS)),
        };
        (Arc::new(slot), queue)
    }

    /// The newest snapshot.
    pub(crate) fn get(&self) -> Arc<Container> {
        self.published.borrow().clone()
    }

    /// To be told of new snapshots.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Container>> {
        self.published.subscribe()
    }

    /// Phases of the last start in microseconds.
    pub(crate) fn timings(&self) -> Vec<(String, u64)> {
        self.timings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the phases of a start.
    pub(super) fn set_timings(&self, timings: Vec<(String, u64)>) {
        *self.timings.lock().unwrap_or_else(PoisonError::into_inner) = timings;
    }

    /// Gives a command and waits for its answer.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.map_err(|_| self.gone())?
    }

    /// Gives a command that has no answer.
    pub(crate) async fn send(&self, command: Command) -> Result<()> {
        self.commands.send(command).await.map_err(|_| self.gone())
    }

    /// The turn to write to the files of the container at rest, where nobody else has it.
    pub(super) fn try_turn(&self) -> Option<OwnedMutexGuard<()>> {
        self.turn.clone().try_lock_owned().ok()
    }

    /// Waits until nobody writes to the layers of the container at rest.
    pub(crate) async fn turn(&self) {
        drop(self.turn.lock().await);
    }

    fn gone(&self) -> Error {
        no_such(&self.id)
    }
}

/// Docker's words where nothing has that name.
pub(crate) fn no_such(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("No such container: {name}"))
}

/// Docker's words where a container must run now.
pub(crate) fn is_restarting(id: &str) -> Error {
    Error::new(Kind::Conflict, format!("Container {id} is restarting, wait until the container is running"))
}

/// Docker's words where a running container is needed.
pub(crate) fn not_running(id: &str) -> Error {
    Error::new(Kind::Conflict, format!("container {id} is not running"))
}
