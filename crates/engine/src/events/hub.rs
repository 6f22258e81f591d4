//! Where events are told: numbered, sent to who listens, and written.

use super::event::Event;
use super::log::{Log, Segments};
use super::past::{Past, Range};
use crate::clock;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;

/// A listener that falls behind by more than this is cut.
pub const BACKLOG: usize = 1024;
/// Events that may wait for the writer where the disk takes none; the oldest are given up first.
const WAITING: usize = 4096;
/// The same in bytes of their texts.
const WAITING_BYTES: usize = 16 << 20;
/// Events that the writer does not let wait.
const MANY: usize = 512;
/// How long events gather before they are written.
const GATHER: Duration = Duration::from_millis(50);

/// Where events are told and kept.
#[derive(Debug)]
pub(crate) struct Hub {
    sender: broadcast::Sender<Arc<Event>>,
    state: Mutex<State>,
    /// Only the writer holds it, and it holds it while it writes.
    log: Mutex<Log>,
    /// There is something to write.
    some: Notify,
    /// There is much to write.
    many: Notify,
}

/// Changes as one: so what is told, what waits and what is written always add up.
#[derive(Debug)]
struct State {
    next: u64,
    waiting: VecDeque<Arc<Event>>,
    /// Bytes of what waits.
    weight: usize,
    written: Segments,
}

impl Hub {
    /// Opens the log below `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let log = Log::open(dir).map_err(|error| Error::internal("open the events in", dir.display(), error))?;
        let state = State { next: log.last() + 1, waiting: VecDeque::new(), weight: 0, written: log.segments() };
        Ok(Self {
            sender: broadcast::channel(BACKLOG).0,
            state: Mutex::new(state),
            log: Mutex::new(log),
            some: Notify::new(),
            many: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells an event that happens now.
    pub(crate) fn tell(&self, kind: &'static str, action: impl Into<String>, actor: &str, attributes: BTreeMap<String, String>) {
        let (action, actor) = (action.into(), actor.to_owned());
        let mut state = self.state();
        let event = Arc::new(Event { number: state.next, kind: kind.into(), action, actor, attributes, at: clock::now() });
        state.next += 1;
        state.weight += event.weight();
        state.waiting.push_back(event.clone());
        while state.waiting.len() > WAITING || state.weight > WAITING_BYTES {
            state.forget_oldest();
        }
        // No listener is no error.
        let _ = self.sender.send(event);
        let many = state.waiting.len() == MANY;
        drop(state);
        self.some.notify_one();
        if many {
            self.many.notify_one();
        }
    }

    /// What was told in a range of time (nothing where it has neither end), and what will be, without a gap or an overlap.
    pub(crate) fn listen(&self, range: Range) -> (Past, broadcast::Receiver<Arc<Event>>) {
        let state = self.state();
        let past = if range.is_open() { Past::nothing() } else { Past::new(state.written.clone(), state.waiting.iter().cloned(), range) };
        (past, self.sender.subscribe())
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }

    /// Writes what waits, as long as the runtime lives.
    pub(crate) fn spawn_writer(self: &Arc<Self>) -> JoinHandle<()> {
        let hub = self.clone();
        tokio::spawn(async move {
            loop {
                hub.some.notified().await;
                // A burst of events becomes one write.
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = hub.many.notified() => {}
                }
                hub.flush().await;
            }
        })
    }

    /// Writes what waits now.
    pub(crate) async fn flush(self: &Arc<Self>) {
        let hub = self.clone();
        match tokio::task::spawn_blocking(move || hub.write()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "events wait in memory: they could not be written"),
            Err(error) => tracing::error!(%error, "the writer of events failed"),
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let batch: Vec<Arc<Event>> = self.state().waiting.iter().take(MANY).cloned().collect();
            if batch.is_empty() {
                return Ok(());
            }
            let done = log.append(&batch);
            let mut state = self.state();
            state.written = log.segments();
            while state.waiting.front().is_some_and(|event| event.number <= log.last()) {
                state.forget_oldest();
            }
            done?;
        }
    }
}

impl State {
    fn forget_oldest(&mut self) {
        let gone = self.waiting.pop_front();
        self.weight -= gone.map_or(0, |event| event.weight());
    }
}

#[cfg(test)]
mod tests;
