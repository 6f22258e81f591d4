//! Images: one file per verb.

pub(crate) mod create;
mod fetch;
pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod load;
mod manifests;
mod pattern;
mod progress;
pub(crate) mod prune;
mod pull;
pub(crate) mod push;
pub(crate) mod remove;
pub(crate) mod save;
pub(crate) mod search;
pub(crate) mod specifier;
mod steps;

use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use dhow_api::types::{Progress, ProgressError};
use dhow_engine::Platform;
use dhow_reference::Reference;
use http::StatusCode;

/// `POST /images/{name}/tag`.
pub(crate) async fn tag(cx: &Cx, name: &str) -> Result<Reply> {
    let target = target(cx.query.get("repo"), cx.query.get("tag"))?.ok_or_else(|| Failure::invalid("invalid reference format"))?;
    if target.familiar_name() == "sha256" {
        return Err(Failure::invalid("refusing to create an ambiguous tag using digest algorithm as name"));
    }
    cx.app.engine.tag(name, target).await?;
    Ok(reply::empty(StatusCode::CREATED))
}

/// A repository and a tag from a query; `None` without a repository.
pub(crate) fn target(repository: &str, tag: &str) -> Result<Option<Reference>> {
    if repository.is_empty() {
        return Ok(None);
    }
    let named = if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") };
    let reference = Reference::parse(&named)?;
    if reference.digest().is_some() {
        return Err(Failure::invalid("refusing to create a tag with a digest reference"));
    }
    Ok(Some(reference.or_latest()))
}

/// The platform of a query, in JSON; `None` where none is named, or the API's version has none there: it came with 1.`since`.
pub(crate) fn platform(cx: &Cx, key: &'static str, since: u16) -> Result<Option<Platform>> {
    if !cx.since(since) {
        return Ok(None);
    }
    #[derive(serde::Deserialize)]
    struct Wanted {
        #[serde(default)]
        os: String,
        #[serde(default)]
        architecture: String,
        #[serde(default)]
        variant: String,
    }
    let mut given = cx.query.all(key).filter(|text| !text.is_empty());
    let Some(text) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(Failure::invalid("multiple platform parameters not supported"));
    }
    let Wanted { os, architecture, variant } =
        serde_json::from_str(text).map_err(|error| Failure::invalid(format!("failed to parse platform: {error}")))?;
    if os.is_empty() && (!variant.is_empty() || !architecture.is_empty()) {
        return Err(Failure::invalid("both OS and Architecture must be provided"));
    }
    Ok(Some(Platform { os, architecture, variant }))
}

/// The first twelve digits of a digest.
pub(crate) fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

/// One line of progress as Docker sends it: ended by CR LF, `<`, `>` and `&` escaped as Go's encoder has it.
pub(crate) fn progress_line(progress: &Progress) -> Vec<u8> {
    let mut line =
        serde_json::to_string(progress).unwrap_or_default().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    line.push_str("\r\n");
    line.into_bytes()
}

/// The line that ends a stream with an error, once the status is sent.
pub(crate) fn error_line(message: &str) -> Vec<u8> {
    progress_line(&Progress {
        error_detail: Some(ProgressError { code: 0, message: message.into() }),
        error: message.into(),
        ..Progress::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(error_line("a <b>"), b"{\"errorDetail\":{\"message\":\"a \\u003cb\\u003e\"},\"error\":\"a \\u003cb\\u003e\"}\r\n");
        let line = progress_line(&Progress { status: "Pulling from library/x".into(), id: "latest".into(), ..Progress::default() });
        assert_eq!(line, b"{\"status\":\"Pulling from library/x\",\"id\":\"latest\"}\r\n");
    }
}
