//! `GET /containers/{id}/export`.

use crate::error::Result;
use crate::http::body::Body;
use crate::http::{Cx, Reply, reply};

/// Streams the container's files. An archive that fails on the way ends without its own end, as with Docker.
pub(crate) async fn get(cx: &Cx, id: &str) -> Result<Reply> {
    let mut pieces = cx.app.engine.export(id).await?;
    let (sender, body) = Body::stream();
    tokio::spawn(async move {
        while let Some(Ok(piece)) = pieces.recv().await {
            if sender.send(piece.into()).await.is_err() {
                return;
            }
        }
    });
    Ok(reply::stream("application/octet-stream", body))
}
