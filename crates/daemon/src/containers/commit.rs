//! `POST /commit`.

use crate::convert::document::Document;
use crate::convert::{commit, inspect};
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use crate::images::target;
use crate::system::SERVER_VERSION;
use dhow_api::types::{Config, IdAnswer};
use dhow_engine::CommitRequest;
use http::StatusCode;

/// Makes an image of a container.
pub(crate) async fn post(cx: Cx) -> Result<Reply> {
    let (app, query) = (cx.app.clone(), cx.query.clone());
    // An object that says nothing is none, as the original has it.
    let given = cx.json_or_none().await?.filter(|given| *given != Config::default());
    let target = target(query.get("repo"), query.get("tag"))?;
    let container = app.engine.container(query.get("container"))?;
    let own = inspect::config(Document::of(&container).config, &container);
    let lines: Vec<&str> = query.all("changes").collect();
    let config = commit::config(&own, given, &lines)?;
    let encode = |config: &Config| serde_json::to_value(config).map_err(|e| Failure::internal(format!("encoding a configuration: {e}")));
    let request = CommitRequest {
        author: query.get("author").into(),
        comment: query.get("comment").into(),
        created_by: own.cmd.as_ref().map(|words| words.join(" ")).unwrap_or_default(),
        pause: query.boolean_or("pause", true),
        config: encode(&config)?,
        container_config: encode(&own)?,
        version: SERVER_VERSION.into(),
        target,
    };
    let id = app.engine.commit(&container.id, request).await?;
    reply::json_with(StatusCode::CREATED, &IdAnswer { id })
}
