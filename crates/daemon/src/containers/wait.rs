//! `POST /containers/{id}/wait`.

use crate::error::{Failure, Result};
use crate::http::body::Body;
use crate::http::{Cx, Reply, reply};
use dhow_api::types::{WaitAnswer, WaitError};
use dhow_engine::container::WaitFor;
use std::time::Duration;
use tokio::sync::oneshot;

/// Answers the head as soon as the wait is registered, and the code when it ends: clients start the container in between.
pub(crate) async fn post(cx: &Cx, id: &str) -> Result<Reply> {
    let condition = if cx.since(30) { condition(cx.query.get("condition"))? } else { WaitFor::NotRunning };
    Ok(answer(cx.app.engine.wait(id, condition).await?))
}

/// What a wait brings: the code and, of one that was not started, why.
pub(super) type Ended = (i64, Option<String>);

/// The head, and in its time the end.
pub(super) fn answer(ended: oneshot::Receiver<Ended>) -> Reply {
    let (sender, body) = Body::stream();
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = ended => ended,
            () = sender.closed() => return,
        };
        let mut bytes = serde_json::to_vec(&told(ended)).unwrap_or_default();
        bytes.push(b'\n');
        // A client that left does not want it.
        let _ = sender.send(bytes.into()).await;
    });
    reply::stream("application/json", body)
}

/// The same in one piece where the end comes within `moment`: a client that waits for a short program wakes once.
pub(super) async fn answer_whole(mut ended: oneshot::Receiver<Ended>, moment: Duration) -> Result<Reply> {
    match tokio::time::timeout(moment, &mut ended).await {
        Ok(ended) => reply::json(&told(ended)),
        Err(_) => Ok(answer(ended)),
    }
}

fn told(ended: std::result::Result<Ended, oneshot::error::RecvError>) -> WaitAnswer {
    match ended {
        Ok((status_code, error)) => WaitAnswer { status_code, error: error.map(|message| WaitError { message }) },
        // The engine closes while a client waits.
        Err(_) => WaitAnswer { status_code: -1, error: Some(WaitError { message: "the engine is shutting down".into() }) },
    }
}

fn condition(text: &str) -> Result<WaitFor> {
    match text {
        "" | "not-running" => Ok(WaitFor::NotRunning),
        "next-exit" => Ok(WaitFor::NextExit),
        "removed" => Ok(WaitFor::Removed),
        _ => Err(Failure::invalid(format!("invalid condition: {text:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        assert_eq!(condition("").unwrap(), WaitFor::NotRunning);
        assert_eq!(condition("removed").unwrap(), WaitFor::Removed);
        assert_eq!(condition("bogus").unwrap_err().0.message, "invalid condition: \"bogus\"");
    }
}
