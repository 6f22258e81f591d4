//! `DELETE /containers/{id}`.

use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};

/// Removes.
pub(crate) async fn delete(cx: &Cx, id: &str) -> Result<Reply> {
    if cx.query.boolean("link") {
        return Err(Failure::unsupported("removing a link"));
    }
    cx.app.engine.remove(id, cx.query.boolean("force"), cx.query.boolean("v")).await?;
    reply::no_content()
}
