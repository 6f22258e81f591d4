//! `POST /containers/prune`.

use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use crate::system::prune::Wanted;
use dhow_api::types::PruneContainers;

/// Removes the containers that do not run.
pub(crate) async fn post(cx: &Cx) -> Result<Reply> {
    let wanted = Wanted::parse(cx, &["label", "label!", "until"])?;
    let (gone, reclaimed) =
        cx.app.engine.prune_containers(|container| wanted.matches(Some(container.created), &container.request.labels)).await?;
    reply::json(&PruneContainers {
        containers_deleted: Some(gone).filter(|gone| !gone.is_empty()),
        space_reclaimed: i64::try_from(reclaimed).unwrap_or(i64::MAX),
    })
}
