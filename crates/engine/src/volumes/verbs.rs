//! What people do with volumes.

use super::using::{tell, users};
use crate::error::{Error, Kind, Result};
use crate::model::volume::{Volume, Wish};
use crate::parts::Parts;
use crate::turn::Turn;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes one, or answers the one that is there.
pub(crate) async fn create(parts: &Parts, wish: &Wish) -> Result<Arc<Volume>> {
    let (volume, _hold, fresh) = parts.volumes.ensure(wish, true).await?;
    if fresh {
        tell(parts, "create", &volume.name, BTreeMap::new());
    }
    Ok(volume)
}

/// Removes one that nobody uses. With `force` one that is not there is no error.
pub(crate) async fn remove(parts: &Parts, name: &str, force: bool) -> Result<()> {
    match parts.volumes.remove(name, || users(parts, name)).await {
        Err(error) if force && error.kind == Kind::NotFound => Ok(()),
        Ok(()) => {
            tell(parts, "destroy", name, BTreeMap::new());
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Removes those that nobody uses and that are wanted; without `all` only those that nobody named. What lies in a directory of the host's
/// stays. Answers names and bytes.
pub(crate) async fn prune(parts: &Parts, all: bool, wanted: impl Fn(&Volume) -> bool) -> Result<(Vec<String>, u64)> {
    let _turn = Turn::take(&parts.prunes.volumes)?;
    let (mut gone, mut reclaimed) = (Vec::new(), 0);
    for volume in parts.volumes.all() {
        let ours = volume.options.is_empty() && (all || volume.is_anonymous());
        if !ours || !wanted(&volume) || !users(parts, &volume.name).is_empty() {
            continue;
        }
        let size = size(&volume).await;
        match remove(parts, &volume.name, false).await {
            Ok(()) => {
                gone.push(volume.name.clone());
                reclaimed += size.unwrap_or(0);
            }
            // In use since, or gone.
            Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => {}
            Err(error) => tracing::warn!(volume = volume.name, %error, "it was not pruned"),
        }
    }
    parts.events.tell("volume", "prune", "", BTreeMap::from([("reclaimed".to_owned(), reclaimed.to_string())]));
    Ok((gone, reclaimed))
}

/// Every volume whose data is in its own directory, with its bytes (`None` where they cannot be counted) and how many containers use it.
/// What lies elsewhere is not the engine's.
pub(crate) async fn usage(parts: &Parts) -> Vec<(Arc<Volume>, Option<u64>, usize)> {
    let mut all = Vec::new();
    for volume in parts.volumes.all().into_iter().filter(|volume| volume.options.is_empty()) {
        let size = size(&volume).await;
        let users = users(parts, &volume.name).len();
        all.push((volume, size.inspect_err(|error| tracing::debug!(%error, "a volume was not measured")).ok(), users));
    }
    all
}

async fn size(volume: &Volume) -> Result<u64> {
    let path = volume.mountpoint.clone();
    let work = tokio::task::spawn_blocking(move || dhow_storage::bytes(&path)).await;
    Ok(work.map_err(|e| Error::internal("measure volume", &volume.name, e))??)
}
