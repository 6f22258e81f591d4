//! `DELETE /images/{name}`.

use super::platform;
use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use dhow_api::types::ImageDeleteItem;
use dhow_engine::Removed;

/// Untags, deletes, and says what it did.
pub(crate) async fn delete(cx: &Cx, name: &str) -> Result<Reply> {
    // A platform of several is removed as the image that it is; the only one takes its name along.
    let mut meant = name.to_owned();
    if let Some(wanted) = platform(cx, "platforms", 50)? {
        let image = cx.app.engine.image_for(name, Some(&wanted)).await?;
        if image.id != cx.app.engine.image(name).await?.id {
            meant.clone_from(&image.id);
        }
    }
    let removed = cx.app.engine.image_remove(&meant, cx.query.boolean("force"), !cx.query.boolean("noprune")).await?;
    reply::json(&removed.into_iter().map(item).collect::<Vec<_>>())
}

/// One line as the API has it.
pub(super) fn item(removed: Removed) -> ImageDeleteItem {
    match removed {
        Removed::Untagged(untagged) => ImageDeleteItem { untagged, ..ImageDeleteItem::default() },
        Removed::Deleted(deleted) | Removed::Layer(deleted) => ImageDeleteItem { deleted, ..ImageDeleteItem::default() },
    }
}
