//! `GET /containers/{id}/top`.

use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use dhow_api::types::Top;

/// The processes, by arguments of `ps`.
pub(crate) async fn get(cx: &Cx, id: &str) -> Result<Reply> {
    let table = cx.app.engine.top(id, cx.query.get("ps_args")).await?;
    reply::json(&Top { titles: table.titles, processes: table.rows })
}
