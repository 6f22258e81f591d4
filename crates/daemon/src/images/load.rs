//! `POST /images/load`.

use super::{error_line, platform, progress, progress_line};
use crate::error::{Failure, Result};
use crate::http::body::{BlockingBody, Body};
use crate::http::{Cx, Reply, reply};
use bytes::Bytes;
use dhow_api::types::Progress;
use dhow_engine::{LoadStep, Loaded};
use tokio::sync::mpsc;

/// Takes an archive in. The head is sent at once, as Docker does; errors are a line of the stream.
pub(crate) async fn post(cx: Cx) -> Result<Reply> {
    let platform = platform(&cx, "platform", 48)?;
    let quiet = cx.query.boolean_or("quiet", true);
    let engine = cx.app.engine.clone();
    let archive = BlockingBody::new(cx.body);
    let (sender, body) = Body::stream();
    tokio::spawn(async move {
        let told = sender.clone();
        if let Err(error) = engine.load(Box::new(archive), platform, Box::new(move |step| tell(&told, quiet, &step))).await {
            // Nobody listens any more: the log has it.
            let _ = sender.send(error_line(&Failure::from(error).0.message).into()).await;
        }
    });
    Ok(reply::stream("application/json", body))
}

/// Runs on a blocking thread. A client that has gone away does not stop what it began.
fn tell(sender: &mpsc::Sender<Bytes>, quiet: bool, step: &LoadStep) {
    match step {
        // A client that does not keep up misses some: the next one says more.
        LoadStep::Layer { diff, done, total } if !quiet => {
            let id = diff.strip_prefix("sha256:").unwrap_or(diff);
            let _left_out = sender.try_send(progress::line("Loading layer", id.get(..12).unwrap_or(id), *done, *total).into());
        }
        LoadStep::Line(line) => {
            let line = progress_line(&Progress { stream: text(line), ..Progress::default() });
            let _gone = sender.blocking_send(line.into());
        }
        LoadStep::Layer { .. } | LoadStep::Image(_) => {}
    }
}

fn text(loaded: &Loaded) -> String {
    match loaded {
        Loaded::Tagged(name) => format!("Loaded image: {}\n", name.familiar()),
        Loaded::Untagged(id) => format!("Loaded image ID: {id}\n"),
        Loaded::Renamed { name, old } => {
            format!("The image {} already exists, renaming the old one with ID {old} to empty string\n", name.familiar())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_reference::Reference;

    #[test]
    fn words() {
        let name = Reference::parse("busybox:1").unwrap();
        assert_eq!(text(&Loaded::Tagged(name.clone())), "Loaded image: busybox:1\n");
        assert_eq!(text(&Loaded::Untagged("sha256:1".into())), "Loaded image ID: sha256:1\n");
    }
}
