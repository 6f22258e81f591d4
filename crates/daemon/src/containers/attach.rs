//! `POST /containers/{id}/attach`.

use super::content_type;
use crate::error::Result;
use crate::http::hijack::Takeover;
use crate::http::{Cx, Reply};
use dhow_api::Query;
use dhow_engine::client::{AttachRequest, Client};

/// Checks what can be checked, then gives the connection to the container.
pub(crate) async fn post(cx: Cx, id: &str) -> Result<Reply> {
    let request = request(&cx.query);
    let container = cx.app.engine.check_attach(id, &request)?;
    let kind = content_type(container.request.tty, cx.version);
    let engine = cx.app.engine.clone();
    let upgrade = cx.wants_upgrade();
    let then = move |client: Client| async move {
        if let Err(error) = engine.attach(&container.id, request, client).await {
            tracing::debug!(container = container.id, %error, "an attach failed");
        }
    };
    Cx::take_over(cx.slot, Takeover::new(upgrade, kind, then)).await
}

/// How a query says that it attaches.
pub(super) fn request(query: &Query) -> AttachRequest {
    AttachRequest {
        stdin: query.boolean("stdin"),
        stdout: query.boolean("stdout"),
        stderr: query.boolean("stderr"),
        logs: query.boolean("logs"),
        stream: query.boolean("stream"),
        detach_keys: query.find("detachKeys").filter(|keys| !keys.is_empty()).map(str::to_owned),
        raw: false,
    }
}
