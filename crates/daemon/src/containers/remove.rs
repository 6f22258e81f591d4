//! `DELETE /containers/{id}`.

use crate::error::Result;
use crate::http::{Cx, Reply, reply};

/// Removes.
pub(crate) async fn delete(cx: &Cx, id: &str) -> Result<Reply> {
    if cx.query.boolean("link") {
        cx.app.engine.remove_link(id).await?;
        return reply::no_content();
    }
    cx.app.engine.remove(id, cx.query.boolean("force"), cx.query.boolean("v")).await?;
    reply::no_content()
}
