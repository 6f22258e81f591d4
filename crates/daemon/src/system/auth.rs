//! `POST /auth`: is this the right name and password for a registry?

use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use crate::registries::of_auth;
use dhow_api::types::system::AuthConfig;
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
    let mut auth: AuthConfig = cx.json().await?;
    let server = std::mem::take(&mut auth.server_address);
    let identity_token = engine.login(&server, &of_auth(auth)).await?;
    reply::json(&Answer { identity_token, status: "Login Succeeded" })
}
