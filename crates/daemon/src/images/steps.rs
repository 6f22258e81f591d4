//! Long work that tells what it does: the answer is a line for each step.

use super::error_line;
use crate::error::{Failure, Result};
use crate::http::body::Body;
use crate::http::{Reply, reply};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Steps between the engine and the connection.
const STEPS: usize = 16;

/// Begins work that tells steps. Nothing is answered before the first one, so that an error before it has its status; a later one is the last
/// line. When the client goes, the work ends.
pub(super) async fn answer<S, W>(work: impl FnOnce(mpsc::Sender<S>) -> W, line: fn(&S) -> Vec<u8>) -> Result<Reply>
where
    S: Send + 'static,
    W: Future<Output = std::result::Result<(), dhow_engine::Error>> + Send + 'static,
{
    let (tell, mut steps) = mpsc::channel(STEPS);
    // Dropped, it ends what it holds.
    let mut working = JoinSet::new();
    working.spawn(work(tell));
    let Some(first) = steps.recv().await else {
        return match end(&mut working).await {
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
        if let Some(failure) = end(&mut working).await {
            // Who does not listen any more has heard enough.
            let _gone = sender.send(error_line(&failure.0.message).into()).await;
        }
    });
    Ok(reply::stream("application/json", body))
}

/// How it ended, if badly.
async fn end(working: &mut JoinSet<std::result::Result<(), dhow_engine::Error>>) -> Option<Failure> {
    match working.join_next().await {
        Some(Ok(Ok(()))) | None => None,
        Some(Ok(Err(error))) => Some(error.into()),
        Some(Err(error)) => Some(Failure::internal(error.to_string())),
    }
}
