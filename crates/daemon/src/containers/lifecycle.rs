//! Verbs that change where a container stands.

use crate::convert::request;
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use dhow_api::types::{UpdateBody, WarningsAnswer};
use http::StatusCode;

/// `POST /containers/{id}/start`.
pub(crate) async fn start(cx: Cx, id: &str) -> Result<Reply> {
    let app = cx.app.clone();
    let checkpoint = cx.query.get("checkpoint").to_owned();
    // Old clients sent a HostConfig here; more than `{}` with blanks is refused, as Docker does.
    if crate::http::request::read(cx.body).await?.len() > 7 {
        return Err(Failure::invalid("starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"));
    }
    if !checkpoint.is_empty() {
        return Err(match app.settings.experimental {
            true => Failure::unsupported("starting from a checkpoint"),
            false => Failure::invalid("checkpoint is only supported in experimental mode"),
        });
    }
    app.engine.start(id).await?;
    reply::no_content()
}

/// `signal` counts from API 1.42 on.
fn signal(cx: &Cx) -> Option<&str> {
    cx.query.find("signal").filter(|signal| !signal.is_empty() && cx.since(42))
}

/// `POST /containers/{id}/stop`.
pub(crate) async fn stop(cx: &Cx, id: &str) -> Result<Reply> {
    cx.app.engine.stop(id, signal(cx), cx.query.integer("t")?).await?;
    reply::no_content()
}

/// `POST /containers/{id}/restart`.
pub(crate) async fn restart(cx: &Cx, id: &str) -> Result<Reply> {
    cx.app.engine.restart(id, signal(cx), cx.query.integer("t")?).await?;
    reply::no_content()
}

/// `POST /containers/{id}/kill`.
pub(crate) async fn kill(cx: &Cx, id: &str) -> Result<Reply> {
    cx.app.engine.kill(id, cx.query.find("signal").filter(|signal| !signal.is_empty())).await?;
    reply::no_content()
}

/// `POST /containers/{id}/pause`.
pub(crate) async fn pause(cx: &Cx, id: &str) -> Result<Reply> {
    cx.app.engine.pause(id).await?;
    reply::no_content()
}

/// `POST /containers/{id}/unpause`.
pub(crate) async fn unpause(cx: &Cx, id: &str) -> Result<Reply> {
    cx.app.engine.unpause(id).await?;
    reply::no_content()
}

/// `POST /containers/{id}/rename`.
pub(crate) async fn rename(cx: &Cx, id: &str) -> Result<Reply> {
    cx.app.engine.rename(id, cx.query.get("name")).await?;
    reply::no_content()
}

/// `POST /containers/{id}/resize`.
pub(crate) async fn resize(cx: &Cx, id: &str) -> Result<Reply> {
    let (height, width) = super::size_query(cx)?;
    cx.app.engine.resize(id, height, width).await?;
    Ok(reply::empty(StatusCode::OK))
}

/// `POST /containers/{id}/update`.
pub(crate) async fn update(cx: Cx, id: &str) -> Result<Reply> {
    let app = cx.app.clone();
    let kernel_memory_is_gone = cx.since(42);
    let body: UpdateBody = cx.json().await?;
    request::check_resources(&body.resources)?;
    let mut resources = body.resources;
    if kernel_memory_is_gone {
        resources.kernel_memory = 0;
    }
    let mut warnings = request::drop_foreign(&mut resources);
    warnings.extend(app.engine.update(id, request::resources(&resources), request::new_policy(&body.restart_policy)).await?);
    reply::json(&WarningsAnswer { warnings: Some(warnings).filter(|w| !w.is_empty()) })
}
