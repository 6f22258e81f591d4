//! `GET /containers/{id}/changes`.

use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use dhow_api::types::FilesystemChange;
use dhow_engine::ChangeKind;

/// What differs from the image; `null` where nothing does.
pub(crate) async fn get(cx: &Cx, id: &str) -> Result<Reply> {
    let changes = cx.app.engine.changes(id).await?;
    let number = |kind| match kind {
        ChangeKind::Modified => 0,
        ChangeKind::Added => 1,
        ChangeKind::Deleted => 2,
    };
    let list: Vec<FilesystemChange> = changes
        .into_iter()
        .map(|change| FilesystemChange { path: change.path.to_string_lossy().into_owned(), kind: number(change.kind) })
        .collect();
    reply::json(&Some(list).filter(|list| !list.is_empty()))
}
