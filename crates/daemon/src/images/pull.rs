//! The pull of `POST /images/create`.

use super::{progress, progress_line, short, specifier, steps};
use crate::error::Result;
use crate::http::{Cx, Reply};
use crate::registries;
use dhow_api::types::{Progress, ProgressDetail};
use dhow_engine::pull::model::{LayerStep, PullRequest, PullStep};
use dhow_reference::Reference;

/// Nothing is sent before the registry has answered, so that an error about the name has its status. When the client goes, the pull ends.
pub(super) async fn post(cx: &Cx, name: Reference) -> Result<Reply> {
    let credentials = registries::credentials(&cx.headers);
    let platform = match cx.query.get("platform") {
        "" => String::new(),
        text => specifier::parse(text)?.to_string(),
    };
    let request = PullRequest { name, platform, credentials };
    let engine = cx.app.engine.clone();
    steps::answer(move |tell| async move { engine.pull(request, &tell).await }, line).await
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
