//! Containers: each is an actor. One task owns its state and takes its commands in turn; readers see published snapshots.

mod actor;
mod command;
mod end;
mod health;
pub mod machine;
mod restart;
mod start;

pub(crate) use command::{Attach, Command, ExecBase};
pub(crate) use end::delete_content;
pub(crate) use machine::is_active;
pub(crate) use start::{capabilities as start_capabilities, cgroup_path};

use crate::engine::Parts;
use crate::error::{Error, Kind, Result};
use crate::model::Container;
use crate::registry;
use dhow_shim::handle::Running;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that may wait for one container.
const QUEUE: usize = 256;

/// What the rest of the engine holds of a container: its snapshot, and the way to its actor.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: String,
    commands: mpsc::Sender<Command>,
    published: watch::Sender<Arc<Container>>,
    timings: Mutex<Vec<(String, u64)>>,
}

impl Slot {
    fn new(container: Container) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (commands, queue) = mpsc::channel(QUEUE);
        let id = container.id.clone();
        let slot = Self { id, commands, published: watch::Sender::new(Arc::new(container)), timings: Mutex::default() };
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

    fn set_timings(&self, timings: Vec<(String, u64)>) {
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

    fn gone(&self) -> Error {
        registry::no_such(&self.id)
    }
}

/// Starts the actor of a container; `running` where it was adopted.
pub(crate) fn spawn(parts: &Arc<Parts>, container: Container, running: Option<Running>) -> Arc<Slot> {
    let (slot, queue) = Slot::new(container);
    let actor = actor::Actor::new(parts.clone(), slot.clone());
    parts.actors.spawn(actor.run(queue, running));
    slot
}

/// Tells an event about a container, with its labels, image and name.
pub(crate) fn tell(parts: &Parts, container: &Container, action: &str, more: &[(&str, String)]) {
    let mut attributes: BTreeMap<String, String> = container.request.labels.clone();
    attributes.insert("image".into(), container.request.image.clone());
    attributes.insert("name".into(), container.name.clone());
    attributes.extend(more.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
    parts.events.tell("container", action, &container.id, attributes);
}

/// Docker's words where a running container is needed.
pub(crate) fn not_running(id: &str) -> Error {
    Error::new(Kind::Conflict, format!("container {id} is not running"))
}

#[cfg(test)]
pub(crate) mod testing {
    //! Containers for the tests of other modules.

    use super::*;
    use crate::model::{Request, Sandbox, State};

    pub(crate) fn container(id: &str, name: &str) -> Container {
        Container {
            id: id.to_owned(),
            name: name.to_owned(),
            created: 1,
            request: Request::default(),
            image_id: "sha256:0".into(),
            path: "sh".into(),
            args: vec![],
            state: State::default(),
            execs: vec![],
            sandbox: Sandbox::default(),
            log_path: String::new(),
            graph: BTreeMap::new(),
        }
    }

    /// A slot without an actor.
    pub(crate) fn slot(id: &str, name: &str) -> Arc<Slot> {
        Slot::new(container(id, name)).0
    }
}
