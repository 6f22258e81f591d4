//! `POST /images/load`.

use super::{error_line, progress_line};
use crate::error::{Failure, Result};
use crate::http::body::{BlockingBody, Body};
use crate::http::{Cx, Reply, reply};
use dhow_api::types::Progress;
use dhow_engine::Loaded;

/// Takes an archive in. The head is sent at once, as Docker does; errors are a line of the stream.
pub(crate) async fn post(cx: Cx) -> Result<Reply> {
    if cx.query.find("platform").is_some_and(|platform| !platform.is_empty()) {
        return Err(Failure::unsupported("loading one platform of an archive"));
    }
    let engine = cx.app.engine.clone();
    let archive = BlockingBody::new(cx.body);
    let (sender, body) = Body::stream();
    tokio::spawn(async move {
        let lines = match engine.load(Box::new(archive)).await {
            Ok(loaded) => loaded.iter().map(|one| progress_line(&Progress { stream: text(one), ..Progress::default() })).collect(),
            Err(error) => vec![error_line(&Failure::from(error).0.message)],
        };
        for line in lines {
            if sender.send(line.into()).await.is_err() {
                return;
            }
        }
    });
    Ok(reply::stream("application/json", body))
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
