//! What several commands do alike.

use dhow_api::client::{Client, Request, segment};
use futures_util::stream::{self, StreamExt};

use crate::app::App;
use crate::error::Error;
use crate::output::{say, warn};

/// How many requests run side by side.
const PARALLEL: usize = 50;

/// `/containers/NAME` and what follows.
pub(super) fn container(name: &str, rest: &str) -> String {
    // inspect shows names with a slash before them, and people paste what they see.
    format!("/containers/{}{rest}", segment(name.trim_start_matches('/')))
}

/// A name that a person typed; nothing would ask for something else.
pub(super) fn named(name: &str) -> Result<&str, Error> {
    if name.trim().is_empty() {
        return Err(Error::new("invalid container name or ID: value is empty"));
    }
    Ok(name)
}

/// Sends a request for each name, side by side, and prints the names in order as they succeed. What failed is said at the
/// end; then the status is 1.
pub(super) fn for_each(app: &App, names: &[String], request: impl Fn(&str) -> Request) -> Result<(), Error> {
    app.block_on(async {
        let client = app.client().await?;
        client.negotiate().await?;
        let mut outcomes = stream::iter(names)
            .map(|name| {
                let request = named(name).map(&request);
                async move { (name, finish(client, request).await) }
            })
            .buffered(PARALLEL);
        let mut failures = Vec::new();
        while let Some((name, outcome)) = outcomes.next().await {
            match outcome {
                Ok(()) => say(&format!("{name}\n"))?,
                Err(error @ Error::Api(dhow_api::client::Error::Connect { .. })) => return Err(error),
                Err(error) => failures.extend(error.words()),
            }
        }
        all_said(failures)
    })
}

async fn finish(client: &Client, request: Result<Request, Error>) -> Result<(), Error> {
    client.call(request?).await?;
    Ok(())
}

/// Ends a command that went on after failures.
pub(super) fn all_said(failures: Vec<String>) -> Result<(), Error> {
    if failures.is_empty() {
        return Ok(());
    }
    Err(Error::new(failures.join("\n")))
}

/// Warnings that the engine gives along with its answer.
pub(super) fn warnings(list: &[String]) {
    for warning in list {
        warn(&format!("WARNING: {warning}"));
    }
}

/// Id or digest without its algorithm, cut to twelve letters.
pub(super) fn short_id(id: &str) -> String {
    let bare = id.split_once(':').map_or(id, |(_, rest)| rest);
    bare.chars().take(12).collect()
}
