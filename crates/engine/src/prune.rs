//! Prunes: removals of everything that nobody uses. One of a kind at a time.

use crate::container::command::Command;
use crate::container::machine::is_active;
use crate::error::{Error, Kind, Result};
use crate::images;
use crate::model::Container;
use crate::parts::Parts;
use crate::turn::Turn;
use dhow_image::{Image, Removed};
use dhow_storage::SnapshotKey;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The event that ends a prune.
fn tell(parts: &Parts, kind: &'static str, reclaimed: u64) {
    parts.events.tell(kind, "prune", "", BTreeMap::from([("reclaimed".to_owned(), reclaimed.to_string())]));
}

/// Removes the containers that do not run and are wanted. Answers their ids and the bytes of their own content.
pub(crate) async fn containers(parts: &Arc<Parts>, wanted: impl Fn(&Container) -> bool) -> Result<(Vec<String>, u64)> {
    let _turn = Turn::take(&parts.prunes.containers)?;
    let (mut gone, mut reclaimed) = (Vec::new(), 0);
    for slot in parts.registry.all() {
        let container = slot.get();
        if is_active(container.state.status) || !wanted(&container) {
            continue;
        }
        let (layers, key) = (parts.layers.clone(), SnapshotKey(container.id.clone()));
        let size = tokio::task::spawn_blocking(move || layers.usage(&key)).await;
        let size = size.map_err(|e| Error::internal("measure", &container.id, e))?.map_or(0, |usage| usage.bytes);
        // It may have been started, or removed by somebody else: then it is not ours.
        match slot.ask(|reply| Command::Remove { name: container.id.clone(), force: false, volumes: false, reply }).await {
            Ok(()) => {
                gone.push(container.id.clone());
                reclaimed += size;
            }
            Err(error) => tracing::warn!(container = container.id, %error, "it was not pruned"),
        }
    }
    tell(parts, "container", reclaimed);
    Ok((gone, reclaimed))
}

/// Removes the images that no container uses and that are wanted; without `all` only those without a tag. Answers what went and the
/// bytes of the layers that went.
pub(crate) async fn images(parts: &Arc<Parts>, all: bool, wanted: impl Fn(&Image) -> bool) -> Result<(Vec<Removed>, u64)> {
    let _turn = Turn::take(&parts.prunes.images)?;
    let sizes: HashMap<String, u64> = parts.layers.layers()?.into_iter().map(|info| (info.chain.to_string(), info.size)).collect();
    let mut removed = Vec::new();
    for name in parts.images.prunable(all, &wanted) {
        match images::remove(parts, &name, false, true).await {
            Ok(lines) => removed.extend(lines),
            // In use, or gone with its child.
            Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => {}
            Err(error) => tracing::warn!(image = name, %error, "it was not pruned"),
        }
    }
    let freed = |line: &Removed| match line {
        Removed::Layer(chain) => sizes.get(chain).copied().unwrap_or(0),
        Removed::Untagged(_) | Removed::Deleted(_) => 0,
    };
    let reclaimed = removed.iter().map(freed).sum();
    tell(parts, "image", reclaimed);
    Ok((removed, reclaimed))
}

/// A prune of a kind that there is nothing of: `builder`.
pub(crate) fn nothing(parts: &Parts, kind: &'static str) -> Result<()> {
    tell(parts, kind, 0);
    Ok(())
}
