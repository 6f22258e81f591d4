//! `DELETE /images/{name}`.

use super::{check_platform, platform};
use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use dhow_api::types::ImageDeleteItem;
use dhow_engine::Removed;

/// Untags, deletes, and says what it did.
pub(crate) async fn delete(cx: &Cx, name: &str) -> Result<Reply> {
    if let Some(wanted) = platform(cx, "platforms")? {
        check_platform(name, &*cx.app.engine.image(name).await?, Some(&wanted))?;
    }
    let removed = cx.app.engine.image_remove(name, cx.query.boolean("force"), !cx.query.boolean("noprune")).await?;
    reply::json(&removed.into_iter().map(item).collect::<Vec<_>>())
}

/// One line as the API has it.
pub(super) fn item(removed: Removed) -> ImageDeleteItem {
    match removed {
        Removed::Untagged(untagged) => ImageDeleteItem { untagged, ..ImageDeleteItem::default() },
        Removed::Deleted(deleted) | Removed::Layer(deleted) => ImageDeleteItem { deleted, ..ImageDeleteItem::default() },
    }
}
