//! `POST /images/create`: pull, or import of a root filesystem.

use super::progress::Meter;
use super::{error_line, fetch, progress_line, pull, specifier, target};
use crate::convert::changes;
use crate::error::{Failure, Result};
use crate::http::body::{BlockingBody, Body};
use crate::http::{Cx, Reply, reply};
use dhow_api::types::Progress;
use dhow_engine::{Image, ImportConfig};
use dhow_reference::Reference;

/// By what the query names.
pub(crate) async fn post(mut cx: Cx) -> Result<Reply> {
    if cx.since(32) {
        let platform = cx.query.get("platform");
        if !platform.is_empty() {
            specifier::parse(platform)?;
        }
    } else {
        cx.query.remove("platform");
    }
    match (cx.query.get("fromImage"), cx.query.get("fromSrc")) {
        ("", "") => Err(Failure::invalid("either fromImage or fromSrc is needed")),
        ("", _) => import(cx).await,
        (image, _) => {
            let name = pull_name(image, cx.query.get("tag"))?;
            pull::post(&cx, name).await
        }
    }
}

fn pull_name(image: &str, tag: &str) -> Result<Reference> {
    let text = match tag {
        "" => image.to_owned(),
        _ if tag.contains(':') => format!("{image}@{tag}"),
        _ => format!("{image}:{tag}"),
    };
    Ok(Reference::parse(&text)?)
}

/// The request's body, or what a URL has. The head of the answer is sent once there is something to tell: the download's begin, or the
/// image's id; a later error is a line of the stream.
async fn import(cx: Cx) -> Result<Reply> {
    let target = target(cx.query.get("repo"), cx.query.get("tag"))?;
    let source = cx.query.get("fromSrc").to_owned();
    let list: Vec<&str> = cx.query.all("changes").collect();
    let platform = cx.query.find("platform").filter(|platform| !platform.is_empty());
    let platform = platform.map(specifier::parse).transpose()?.map(|platform| platform.to_string());
    let config = ImportConfig {
        comment: match cx.query.get("message") {
            "" => format!("Imported from {source}"),
            message => message.into(),
        },
        platform,
        config: changes::apply(&list)?,
    };
    let engine = cx.app.engine.clone();
    let told = |image: &Image| progress_line(&Progress { status: image.id.clone(), ..Progress::default() });
    if source == "-" {
        let image = engine.import(Box::new(BlockingBody::new(cx.body)), config, target).await?;
        return Ok(reply::stream("application/json", Body::full(told(&image))));
    }
    let url = fetch::url(&source)?;
    let found = fetch::get(&url).await?;
    let (sender, body) = Body::stream();
    tokio::spawn(async move {
        let begin = progress_line(&Progress { status: format!("Downloading from {url}"), ..Progress::default() });
        // Begun, it is finished, whether anybody listens or not.
        let _gone = sender.send(begin.into()).await;
        let meter = Meter::new(BlockingBody::new(found.body), "Importing", found.length, sender.clone());
        let end = match engine.import(Box::new(meter), config, target).await {
            Ok(image) => told(&image),
            Err(error) => error_line(&Failure::from(error).0.message),
        };
        let _gone = sender.send(end.into()).await;
    });
    Ok(reply::stream("application/json", body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        // Without a tag, all of them.
        assert_eq!(pull_name("hello", "").unwrap().familiar(), "hello");
        assert_eq!(pull_name("hello", "1").unwrap().familiar(), "hello:1");
    }
}
