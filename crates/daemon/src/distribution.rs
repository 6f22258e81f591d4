//! `GET /distribution/{name}/json`: what a registry has under a name.

use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use crate::registries;
use dhow_engine::registries::{Descriptor, Platform};
use dhow_reference::Reference;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    descriptor: Descriptor,
    platforms: Vec<Platform>,
}

/// Asks the registry. Nothing is brought.
pub(crate) async fn get(cx: &Cx, name: &str) -> Result<Reply> {
    let name = Reference::parse(name)?.or_latest();
    let found = cx.app.engine.distribution(&name, &registries::credentials(&cx.headers)).await?;
    reply::json(&Answer { descriptor: found.descriptor, platforms: found.platforms })
}
