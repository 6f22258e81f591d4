//! `POST /images/{name}/push`.

use super::manifests::descriptor;
use super::{platform, progress, progress_line, short, steps};
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply};
use crate::registries;
use dhow_api::types::{Progress, ProgressDetail};
use dhow_engine::push::model::{LayerStep, PushRequest, PushStep};
use dhow_reference::Reference;
use serde_json::json;

/// Sends an image, or every tag of a repository. The head of the answer is sent at once, as Docker does.
pub(crate) async fn post(cx: &Cx, name: &str) -> Result<Reply> {
    let tag = cx.query.get("tag");
    let name = Reference::parse(&if tag.is_empty() { name.to_owned() } else { format!("{name}:{tag}") })?;
    if name.digest().is_some() {
        return Err(Failure::invalid("cannot push a digest reference"));
    }
    let platform = platform(cx, "platform", 46)?;
    let request = PushRequest { name, platform, credentials: registries::credentials(&cx.headers) };
    let engine = cx.app.engine.clone();
    steps::answer(move |tell| async move { engine.push(request, &tell).await }, lines).await
}

fn lines(step: &PushStep) -> Vec<u8> {
    let status = |status: String| progress_line(&Progress { status, ..Progress::default() });
    match step {
        PushStep::To(name) => status(format!("The push refers to repository [{name}]")),
        PushStep::Layer(diff, step) => layer(short(diff), step),
        PushStep::Pushed { tag, digest, size } => {
            let mut lines = status(format!("{tag}: digest: {digest} size: {size}"));
            lines.extend(progress_line(&Progress {
                progress_detail: Some(ProgressDetail::default()),
                aux: Some(json!({ "Tag": tag, "Digest": digest, "Size": size })),
                ..Progress::default()
            }));
            lines
        }
        PushStep::InsteadOfIndex { index, selected } => progress_line(&Progress {
            progress_detail: Some(ProgressDetail::default()),
            aux: Some(json!({
                "manifestPushedInsteadOfIndex": true,
                "originalIndex": descriptor(index),
                "selectedManifest": descriptor(selected),
            })),
            ..Progress::default()
        }),
    }
}

fn layer(id: &str, step: &LayerStep) -> Vec<u8> {
    let word = |status: &str| {
        let progress_detail = Some(ProgressDetail::default());
        progress_line(&Progress { status: status.into(), progress_detail, id: id.into(), ..Progress::default() })
    };
    match step {
        LayerStep::Preparing => word("Preparing"),
        LayerStep::Waiting => word("Waiting"),
        LayerStep::Pushing { done, total } => progress::line("Pushing", id, *done, *total),
        LayerStep::Pushed => word("Pushed"),
        LayerStep::Exists => word("Layer already exists"),
        LayerStep::Mounted(from) => word(&format!("Mounted from {from}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_lines() {
        let check = |step: PushStep, expect: &str| assert_eq!(String::from_utf8(lines(&step)).unwrap(), format!("{expect}\r\n"));
        check(PushStep::To("docker.io/library/x".into()), r#"{"status":"The push refers to repository [docker.io/library/x]"}"#);
        check(
            PushStep::Layer("sha256:a1a1a1a1a1a1a1".into(), LayerStep::Mounted("a/b".into())),
            r#"{"status":"Mounted from a/b","progressDetail":{},"id":"a1a1a1a1a1a1"}"#,
        );
        check(
            PushStep::Pushed { tag: "1".into(), digest: "sha256:d".into(), size: 527 },
            "{\"status\":\"1: digest: sha256:d size: 527\"}\r\n\
             {\"progressDetail\":{},\"aux\":{\"Tag\":\"1\",\"Digest\":\"sha256:d\",\"Size\":527}}",
        );
    }
}
