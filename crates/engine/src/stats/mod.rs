//! What containers use, measured once a second for everybody who looks, and not at all when nobody does.
//!
//! One task samples all watched containers in a batch on a blocking thread; readers see what was published last and never hold it up. A
//! reader that is slow misses samples, nothing is kept for it.

mod machine;
mod network;
mod sampler;

use crate::engine::Parts;
use crate::error::Result;
use crate::model::Container;
pub use dhow_runtime::cgroup::{Io, Reading};
pub use network::Interface;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// What one container used up to a moment.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Nanoseconds since 1970; 0 where the container does not run: then all is zero.
    pub at: i64,
    /// What the control groups say.
    pub usage: Reading,
    /// CPU time of the whole machine in nanoseconds.
    pub machine_cpu: u64,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Memory of the machine in bytes: the limit of containers that have none.
    pub machine_memory: u64,
    /// Interfaces by name; `None` where the container has no network of its own.
    pub networks: Option<Vec<(String, Interface)>>,
}

/// One container that is watched.
#[derive(Debug)]
struct Watched {
    sender: watch::Sender<Option<Arc<Sample>>>,
    readers: usize,
}

/// Who is watched.
#[derive(Debug, Default)]
pub(crate) struct Board {
    watched: Mutex<Entries>,
    /// Somebody new is watched.
    news: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<String, Watched>,
    /// The task runs.
    sampling: bool,
}

impl Board {
    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader's view of a container. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    parts: Arc<Parts>,
    id: String,
    receiver: watch::Receiver<Option<Arc<Sample>>>,
}

impl Watch {
    /// The next sample: at first the newest there is, then each new one. `None` when the container is removed.
    pub async fn next(&mut self) -> Option<Arc<Sample>> {
        loop {
            self.receiver.changed().await.ok()?;
            if let Some(sample) = self.receiver.borrow_and_update().clone() {
                return Some(sample);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut entries = self.parts.stats.lock();
        if let Some(watched) = entries.by_id.get_mut(&self.id) {
            watched.readers -= 1;
            if watched.readers == 0 {
                entries.by_id.remove(&self.id);
            }
        }
    }
}

/// Watches a container.
pub(crate) fn watch(parts: &Arc<Parts>, name: &str) -> Result<(Arc<Container>, Watch)> {
    let container = parts.registry.get(name)?.get();
    let id = container.id.clone();
    let mut entries = parts.stats.lock();
    let watched = entries.by_id.entry(id.clone()).or_insert_with(|| Watched { sender: watch::Sender::new(None), readers: 0 });
    watched.readers += 1;
    let mut receiver = watched.sender.subscribe();
    if watched.sender.borrow().is_some() {
        receiver.mark_changed();
    } else {
        parts.stats.news.notify_one();
    }
    if !entries.sampling {
        entries.sampling = true;
        tokio::spawn(sampler::run(parts.clone()));
    }
    drop(entries);
    Ok((container, Watch { parts: parts.clone(), id, receiver }))
}
