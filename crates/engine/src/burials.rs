//! Containers that are gone from the lists and not yet from the disk: who removes images looks for their layers after them.

use crate::lull::Lull;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Longest wait for clean-up of others. It may hang on a filesystem of theirs; what they still hold goes when they are done.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Those under way.
#[derive(Debug)]
pub(crate) struct Burials {
    under_way: Arc<watch::Sender<HashSet<String>>>,
    /// When they take content off the disk.
    pub(crate) lull: Lull,
}

impl Default for Burials {
    fn default() -> Self {
        Self { under_way: Arc::new(watch::Sender::new(HashSet::new())), lull: Lull::default() }
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Burial {
    under_way: Arc<watch::Sender<HashSet<String>>>,
    id: String,
}

impl Drop for Burial {
    fn drop(&mut self) {
        self.under_way.send_modify(|ids| {
            ids.remove(&self.id);
        });
    }
}

impl Burials {
    /// Begins one, of the container with this id.
    pub(crate) fn begin(&self, id: &str) -> Burial {
        self.under_way.send_modify(|ids| {
            ids.insert(id.to_owned());
        });
        Burial { under_way: self.under_way.clone(), id: id.to_owned() }
    }

    /// Waits for those that are under way now, but not for ever. They wait for nothing any more.
    pub(crate) async fn settled(&self, patience: Duration) {
        let mut news = self.under_way.subscribe();
        let waited_for = news.borrow().clone();
        if waited_for.is_empty() {
            return;
        }
        let _urgent = self.lull.urgent();
        // It is no error if the wait ends early: what is still held goes later.
        let _late = tokio::time::timeout(patience, news.wait_for(|ids| ids.is_disjoint(&waited_for))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_those_of_the_beginning_are_waited_for() {
        let burials = Arc::new(Burials::default());
        burials.settled(PATIENCE).await;
        let first = burials.begin("a");
        let waiting = tokio::spawn({
            let burials = burials.clone();
            async move { burials.settled(Duration::MAX).await }
        });
        tokio::task::yield_now().await;
        let _second = burials.begin("b");
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
        // One that does not end is not waited for without end.
        burials.settled(Duration::ZERO).await;
    }
}
