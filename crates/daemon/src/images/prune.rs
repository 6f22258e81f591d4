//! `POST /images/prune`.

use super::inspect::created;
use super::remove::item;
use crate::convert::defaults::image_config_of;
use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use crate::system::prune::Wanted;
use dhow_api::types::PruneImages;

/// Removes what no container uses: without `dangling=false` only images without a tag.
pub(crate) async fn post(cx: &Cx) -> Result<Reply> {
    let wanted = Wanted::parse(cx, &["dangling", "label", "label!", "until"])?;
    let dangling = wanted.filters.boolean("dangling", true)?;
    let (removed, reclaimed) = cx
        .app
        .engine
        .prune_images(!dangling, |image| {
            let labels = image_config_of(&image.raw).labels.unwrap_or_default();
            wanted.matches(created(image), &labels)
        })
        .await?;
    let items: Vec<_> = removed.into_iter().map(item).collect();
    reply::json(&PruneImages {
        images_deleted: Some(items).filter(|items| !items.is_empty()),
        space_reclaimed: i64::try_from(reclaimed).unwrap_or(i64::MAX),
    })
}
