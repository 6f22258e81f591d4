//! The pull of `POST /images/create`.

use super::{error_line, progress, progress_line};
use crate::error::{Failure, Result};
use crate::http::body::Body;
use crate::http::{Cx, Reply, reply};
use crate::registries;
use bytes::Bytes;
use dhow_api::types::{Progress, ProgressDetail};
use dhow_engine::pull::model::{LayerStep, PullRequest, PullStep};
use dhow_reference::Reference;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Steps between the engine and the connection.
const STEPS: usize = 16;

/// Nothing is sent before the registry has answered, so that an error about the name has its status. When the client goes, the pull ends.
pub(super) async fn post(cx: &Cx, name: Reference) -> Result<Reply> {
    let credentials = registries::credentials(&cx.headers);
    let request = PullRequest { name, platform: cx.query.get("platform").to_owned(), credentials };
    let (tell, mut steps) = mpsc::channel(STEPS);
    let engine = cx.app.engine.clone();
    // Dropped, it ends what it holds.
    let mut pulling = JoinSet::new();
    pulling.spawn(async move { engine.pull(request, &tell).await });
    let Some(first) = steps.recv().await else {
        return match end(&mut pulling).await {
            Some(failure) => Err(failure),
            None => Ok(reply::stream("application/json", Body::empty())),
        };
    };
    let (sender, body) = Body::stream();
    tokio::spawn(async move {
        let mut next = Some(first);
        while let Some(step) = next {
            if sender.send(line(&step).into()).await.is_err() {
                return;
            }
            next = tokio::select! {
                step = steps.recv() => step,
                () = sender.closed() => return,
            };
        }
        if let Some(failure) = end(&mut pulling).await {
            let _gone: std::result::Result<(), mpsc::error::SendError<Bytes>> = sender.send(error_line(&failure.0.message).into()).await;
        }
    });
    Ok(reply::stream("application/json", body))
}

/// How it ended, if badly.
async fn end(pulling: &mut JoinSet<std::result::Result<(), dhow_engine::Error>>) -> Option<Failure> {
    match pulling.join_next().await {
        Some(Ok(Ok(()))) | None => None,
        Some(Ok(Err(error))) => Some(error.into()),
        Some(Err(error)) => Some(Failure::internal(format!("pull: {error}"))),
    }
}

fn line(step: &PullStep) -> Vec<u8> {
    let status = |status: String, id: &str| progress_line(&Progress { status, id: id.into(), ..Progress::default() });
    match step {
        PullStep::From { repository, wanted } => status(format!("Pulling from {repository}"), wanted),
        PullStep::Layer(digest, step) => layer(digest, step),
        PullStep::Digest(digest) => status(format!("Digest: {digest}"), ""),
        PullStep::Done { name, newer: true } => status(format!("Status: Downloaded newer image for {}", name.familiar()), ""),
        PullStep::Done { name, newer: false } => status(format!("Status: Image is up to date for {}", name.familiar()), ""),
        PullStep::Warning(text) => status(format!("WARNING: {text}"), ""),
    }
}

fn layer(digest: &str, step: &LayerStep) -> Vec<u8> {
    let id = short(digest);
    let word = |status: &str| {
        let progress_detail = Some(ProgressDetail::default());
        progress_line(&Progress { status: status.into(), progress_detail, id: id.into(), ..Progress::default() })
    };
    match step {
        LayerStep::Pulling => word("Pulling fs layer"),
        LayerStep::Exists => word("Already exists"),
        LayerStep::Waiting => word("Waiting"),
        LayerStep::Downloading { done, total } => progress::line("Downloading", id, *done, *total),
        LayerStep::Retrying { seconds: 1 } => word("Retrying in 1 second"),
        LayerStep::Retrying { seconds } => word(&format!("Retrying in {seconds} seconds")),
        LayerStep::Verifying => word("Verifying Checksum"),
        LayerStep::Downloaded => word("Download complete"),
        LayerStep::Extracting { done, total } => progress::line("Extracting", id, *done, *total),
        LayerStep::Complete => word("Pull complete"),
    }
}

/// The first twelve digits.
pub(super) fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_lines() {
        let check = |step: PullStep, expect: &str| assert_eq!(String::from_utf8(line(&step)).unwrap(), format!("{expect}\r\n"));
        let digest = format!("sha256:{}", "a1".repeat(32));
        check(PullStep::From { repository: "library/x".into(), wanted: "1".into() }, r#"{"status":"Pulling from library/x","id":"1"}"#);
        check(
            PullStep::Layer(digest.clone(), LayerStep::Pulling),
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"a1a1a1a1a1a1"}"#,
        );
        check(
            PullStep::Layer(digest.clone(), LayerStep::Retrying { seconds: 3 }),
            r#"{"status":"Retrying in 3 seconds","progressDetail":{},"id":"a1a1a1a1a1a1"}"#,
        );
        check(PullStep::Digest(digest), &format!(r#"{{"status":"Digest: sha256:{}"}}"#, "a1".repeat(32)));
        let name = Reference::parse("x:1").unwrap();
        check(PullStep::Done { name: name.clone(), newer: true }, r#"{"status":"Status: Downloaded newer image for x:1"}"#);
        check(PullStep::Done { name, newer: false }, r#"{"status":"Status: Image is up to date for x:1"}"#);
    }
}
