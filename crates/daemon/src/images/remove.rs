//! `DELETE /images/{name}`.

use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use dhow_api::types::ImageDeleteItem;
use dhow_engine::Removed;

/// Untags, deletes, and says what it did.
pub(crate) async fn delete(cx: &Cx, name: &str) -> Result<Reply> {
    let removed = cx.app.engine.image_remove(name, cx.query.boolean("force"), !cx.query.boolean("noprune")).await?;
    let item = |removed: Removed| match removed {
        Removed::Untagged(untagged) => ImageDeleteItem { untagged, ..ImageDeleteItem::default() },
        Removed::Deleted(deleted) => ImageDeleteItem { deleted, ..ImageDeleteItem::default() },
    };
    reply::json(&removed.into_iter().map(item).collect::<Vec<_>>())
}
