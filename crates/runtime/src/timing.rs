//! How long each phase took.

use std::time::Instant;

/// Phases in order, in microseconds.
#[derive(Debug)]
pub(crate) struct Clock {
    last: Instant,
    pub(crate) phases: Vec<(String, u64)>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { last: Instant::now(), phases: Vec::with_capacity(16) }
    }

    /// Ends a phase; the next one begins.
    pub(crate) fn mark(&mut self, name: &str) {
        let now = Instant::now();
        self.phases.push((name.to_owned(), now.duration_since(self.last).as_micros() as u64));
        self.last = now;
    }
}
