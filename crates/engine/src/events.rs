//! What happens, told to whoever listens. The last 256 are kept for `since`.

use crate::clock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `container`, `image`, `network`, `volume`, `daemon`.
    pub kind: &'static str,
    /// Docker's action, with its text (`exec_create: ls `).
    pub action: String,
    /// Id of the object.
    pub actor: String,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub at: i64,
}

/// A listener that falls behind by more than this is cut.
pub const BACKLOG: usize = 1024;
/// Events kept for `since`.
pub const KEPT: usize = 256;

/// Where events are told and kept.
#[derive(Debug)]
pub(crate) struct Hub {
    sender: broadcast::Sender<Event>,
    /// Guards the order too: what is kept and what is sent agree for a listener that asks for both.
    kept: Mutex<VecDeque<Event>>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::channel(BACKLOG).0, kept: Mutex::new(VecDeque::new()) }
    }

    /// Tells an event that happens now.
    pub(crate) fn tell(&self, kind: &'static str, action: impl Into<String>, actor: &str, attributes: BTreeMap<String, String>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event { kind, action: action.into(), actor: actor.to_owned(), attributes, at: clock::now() };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // No listener is no error.
        let _ = self.sender.send(event);
    }

    /// The kept ones since a time (none where no time is given), and those to come, without a gap or an overlap.
    pub(crate) fn listen(&self, since: Option<i64>) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let past = since.map(|since| kept.iter().filter(|e| e.at >= since).cloned().collect()).unwrap_or_default();
        (past, self.sender.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_and_no_event_is_lost_or_doubled() {
        let hub = Hub::new();
        for n in 0..KEPT + 10 {
            hub.tell("container", format!("a{n}"), "x", BTreeMap::new());
        }
        let (past, mut next) = hub.listen(Some(0));
        assert_eq!(past.len(), KEPT);
        assert_eq!(past[0].action, "a10");
        hub.tell("container", "new", "x", BTreeMap::new());
        assert_eq!(next.try_recv().unwrap().action, "new");
        assert!(hub.listen(None).0.is_empty());
        assert!(hub.listen(Some(i64::MAX)).0.is_empty());
    }
}
