//! Creating, attaching and starting by one request: `run` of our own client.
//!
//! It is a `POST /containers/create` with the header [`ASKS`], whose value is the query of an attach, and which lets its connection be taken
//! over. The answer is then an attach's, with the container's id in the header [`ID`], and the container is started. What became of the start,
//! and of the container, is told by `POST /dhow/runs/{id}`, once. An engine that does not know the header answers as to any `create`, and so
//! do we where there is a warning to tell: then the client goes on by the API's own requests.

use super::{attach, wait};
use crate::app::App;
use crate::error::{Failure, Result};
use crate::http::hijack::{Slot, Takeover};
use crate::http::{Cx, Reply};
use dhow_api::Query;
use dhow_engine::client::{AttachRequest, Client};
use dhow_engine::container::WaitFor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What the client sends.
const ASKS: &str = "dhow-run";
/// What it is answered.
const ID: &str = "dhow-id";

/// A client asks as soon as it has the id. One that has not for so long has gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that hears so late that its container runs only follows the size of its terminal later.
const MOMENT: Duration = Duration::from_millis(10);

/// What a request asks for beyond a container.
pub(super) struct Run {
    attach: AttachRequest,
}

/// What a request asks for, where it does.
pub(super) fn asked(cx: &Cx) -> Option<Run> {
    let query = cx.headers.get(ASKS)?.to_str().ok()?;
    cx.wants_upgrade().then(|| Run { attach: attach::request(&Query::parse(query)) })
}

impl Run {
    /// Attaches the client to a new container and starts that. `removed`: it removes itself.
    pub(super) async fn go(self, app: Arc<App>, slot: Slot, id: &str, content_type: &str, removed: bool) -> Result<Reply> {
        app.engine.check_attach(id, &self.attach)?;
        let until = if removed { WaitFor::Removed } else { WaitFor::NextExit };
        let ended = app.engine.wait(id, until).await?;
        let (tell, started) = oneshot::channel();
        app.runs.keep(id, Outcome { started, ended });
        let name = id.to_owned();
        let then = move |client: Client| async move {
            let done = app.engine.attach_and_start(&name, self.attach, client).await;
            // Who asked may have gone; the container runs, as it would after a start by a client that goes.
            if let Err(Err(error)) = tell.send(done.map_err(Failure::from)) {
                tracing::debug!(container = name, error = error.0.message, "a container was not started");
            }
        };
        Cx::take_over(slot, Takeover::with_header(true, content_type, Some((ID, id)), then)).await
    }
}

/// What comes of one that was started.
struct Outcome {
    started: oneshot::Receiver<Result<()>>,
    ended: oneshot::Receiver<wait::Ended>,
}

/// Those that were not asked for yet.
#[derive(Default)]
pub(crate) struct Runs {
    kept: Mutex<Vec<(String, Instant, Outcome)>>,
}

impl Runs {
    /// Keeps one. Those that nobody asked for in time go.
    fn keep(&self, id: &str, outcome: Outcome) {
        let mut kept = self.lock();
        kept.retain(|(_, since, _)| since.elapsed() < PATIENCE);
        kept.push((id.to_owned(), Instant::now(), outcome));
    }

    fn take(&self, id: &str) -> Option<Outcome> {
        let mut kept = self.lock();
        let at = kept.iter().position(|(kept, ..)| kept == id)?;
        Some(kept.swap_remove(at).2)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Instant, Outcome)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `POST /dhow/runs/{id}`: why it was not started, or as `wait` does how it ended.
pub(crate) async fn post(cx: &Cx, id: &str) -> Result<Reply> {
    let outcome = cx.app.runs.take(id).ok_or_else(|| Failure::not_found(format!("No such run: {id}")))?;
    match outcome.started.await {
        Ok(started) => {
            started?;
            wait::answer_whole(outcome.ended, MOMENT).await
        }
        Err(_) => Err(Failure::internal(format!("the start of container {id} was given up"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome { started: oneshot::channel().1, ended: oneshot::channel().1 }
    }

    #[test]
    fn once_and_not_for_ever() {
        let runs = Runs::default();
        runs.keep("a", outcome());
        assert!(runs.take("b").is_none());
        assert!(runs.take("a").is_some());
        assert!(runs.take("a").is_none());
        runs.lock().push(("late".to_owned(), Instant::now() - PATIENCE, outcome()));
        runs.keep("c", outcome());
        assert!(runs.take("late").is_none());
        assert!(runs.take("c").is_some());
    }
}
