//! `POST /auth`: is this the right name and password for a registry?

use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use crate::registries::Auth;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    identity_token: String,
    status: &'static str,
}

/// Asks the registry. Nothing is kept here: that is the client's.
pub(crate) async fn post(cx: Cx) -> Result<Reply> {
    let engine = cx.app.engine.clone();
    let mut auth: Auth = cx.json().await?;
    let server = std::mem::take(&mut auth.serveraddress);
    let identity_token = engine.login(&server, &auth.into()).await?;
    reply::json(&Answer { identity_token, status: "Login Succeeded" })
}
