//! What images are made of comes to the disk in the background, some moments after it is there.

use crate::parts::Parts;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Images that come together are synced together, and one that goes at once not at all.
const PAUSE: Duration = Duration::from_millis(200);

/// Has everything that comes synced, and what an earlier daemon left. Called once, by a thread of the runtime.
pub(crate) fn begin(parts: &Arc<Parts>) {
    let owner = Arc::downgrade(parts);
    // How often it was asked for since it was last done.
    let asked = Arc::new(AtomicU64::new(0));
    parts.images.when_unsynced(Box::new(move || {
        let Some(parts) = owner.upgrade() else { return };
        if asked.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let asked = asked.clone();
        let work = parts.clone();
        let _on_its_own = parts.background.spawn(async move { persist(&work, &asked).await });
    }));
}

async fn persist(parts: &Parts, asked: &AtomicU64) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let seen = asked.load(Ordering::Acquire);
        let images = parts.images.clone();
        match tokio::task::spawn_blocking(move || images.persist()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "images may not survive a power cut"),
            Err(error) => tracing::error!(%error, "syncing images ended without a word"),
        }
        if asked.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return;
        }
    }
}
