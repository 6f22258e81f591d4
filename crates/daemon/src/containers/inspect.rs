//! `GET /containers/{id}/json`.

use crate::convert::{inspect, links};
use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use dhow_api::version::Shape;

/// One container.
pub(crate) async fn get(cx: &Cx, id: &str) -> Result<Reply> {
    let container = cx.app.engine.container(id)?;
    let mut answer = inspect::container(&container, &cx.app.facts);
    answer.host_config.links = links::shown(&container, &cx.app.engine);
    if cx.query.boolean("size") {
        let (own, all) = cx.app.engine.sizes(&container.id).await?;
        answer.size_rw = Some(i64::try_from(own).unwrap_or(i64::MAX));
        answer.size_root_fs = Some(i64::try_from(all).unwrap_or(i64::MAX));
    }
    reply::shaped(Shape::Container, cx.version, &answer)
}
