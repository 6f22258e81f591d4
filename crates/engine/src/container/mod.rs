//! Containers: each is an actor. One task owns its state and takes its commands in turn; readers see published snapshots.

mod actor;
pub(crate) mod command;
pub(crate) mod end;
mod files;
mod health;
pub(crate) mod links;
pub mod machine;
mod networks;
mod restart;
mod sinks;
pub(crate) mod slot;
pub(crate) mod start;
pub(crate) mod tell;

pub use command::WaitFor;

use crate::container::slot::Slot;
use crate::error::Result;
use crate::model::Container;
use crate::parts::Parts;
use crate::volumes::Mounted;
use dhow_shim::handle::Running;
use std::pin::Pin;
use std::sync::Arc;

/// What a container has that runs since before this engine began.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) running: Running,
    /// Filesystems of its volumes.
    pub(crate) volumes: Vec<Arc<Mounted>>,
}

/// The writing of a new container's record.
pub(crate) struct Recording {
    pub(crate) done: Pin<Box<dyn Future<Output = Result<()>> + Send + Sync>>,
    /// It is put off: nobody waits for it, and of a container that has ended by then none is written.
    pub(crate) late: bool,
}

/// Starts the actor of a container that is on record.
pub(crate) fn spawn(parts: &Arc<Parts>, container: Container, adopted: Option<Adopted>) -> Arc<Slot> {
    begin(parts, container, adopted, None)
}

/// Starts the actor of a new one, whose record may still be written.
pub(crate) fn spawn_new(parts: &Arc<Parts>, container: Container, recording: Option<Recording>) -> Arc<Slot> {
    begin(parts, container, None, recording)
}

fn begin(parts: &Arc<Parts>, container: Container, adopted: Option<Adopted>, recording: Option<Recording>) -> Arc<Slot> {
    let (slot, queue) = Slot::new(container);
    let actor = actor::Actor::new(parts.clone(), slot.clone(), recording);
    parts.actors.spawn(actor.run(queue, adopted));
    slot
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
            networks: std::collections::BTreeMap::new(),
            published: vec![],
            log_path: String::new(),
            graph: std::collections::BTreeMap::new(),
        }
    }

    /// A slot without an actor.
    pub(crate) fn slot(id: &str, name: &str) -> Arc<Slot> {
        Slot::new(container(id, name)).0
    }
}
