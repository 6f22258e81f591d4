//! `GET /dhow/timings/{id}`: an endpoint of our own, how long each phase of a container's last start took.

use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use serde::Serialize;

#[derive(Serialize)]
struct Phase {
    #[serde(rename = "Phase")]
    phase: String,
    #[serde(rename = "Microseconds")]
    microseconds: u64,
}

/// Phases in order.
pub(crate) fn get(cx: &Cx, id: &str) -> Result<Reply> {
    let phases = cx.app.engine.timings(id)?;
    reply::json(&phases.into_iter().map(|(phase, microseconds)| Phase { phase, microseconds }).collect::<Vec<_>>())
}
