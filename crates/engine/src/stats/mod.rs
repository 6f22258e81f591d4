//! What containers use, measured once a second for everybody who looks, and not at all when nobody does.
//!
//! One task samples all watched containers in a batch on a blocking thread; readers see what was published last and never hold it up. A
//! reader that is slow misses samples, nothing is kept for it.

pub(crate) mod board;
mod machine;
mod network;
mod sampler;

use self::board::Watched;
use crate::error::Result;
use crate::model::Container;
use crate::parts::Parts;
pub use board::Sample;
pub use dhow_runtime::cgroup::{Io, Reading};
pub use network::Interface;
use std::sync::Arc;
use tokio::sync::watch;

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
    let known = entries.by_id.contains_key(&id);
    let watched = entries.by_id.entry(id.clone()).or_insert_with(|| Watched { sender: watch::Sender::new(None), readers: 0 });
    watched.readers += 1;
    let mut receiver = watched.sender.subscribe();
    if watched.sender.borrow().is_some() {
        receiver.mark_changed();
    } else if !known {
        entries.fresh.push(id.clone());
        parts.stats.news.notify_one();
    }
    if !entries.sampling {
        entries.sampling = true;
        tokio::spawn(sampler::run(parts.clone()));
    }
    drop(entries);
    Ok((container, Watch { parts: parts.clone(), id, receiver }))
}
