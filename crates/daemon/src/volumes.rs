//! Volumes: none yet.

use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use dhow_api::Filters;
use dhow_api::types::VolumeList;

/// `GET /volumes`.
pub(crate) fn list(cx: &Cx) -> Result<Reply> {
    Filters::parse(cx.query.get("filters"))?.validate(&["dangling", "name", "driver", "label"])?;
    reply::json(&VolumeList::default())
}
