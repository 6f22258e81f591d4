//! `GET /containers/{id}/export`.

use crate::error::Result;
use crate::http::body::Body;
use crate::http::{Cx, Reply, reply};

/// Streams the container's files. An archive that fails on the way breaks the connection.
pub(crate) async fn get(cx: &Cx, id: &str) -> Result<Reply> {
    let pieces = cx.app.engine.export(id).await?;
    Ok(reply::stream("application/octet-stream", Body::fallible(pieces)))
}
