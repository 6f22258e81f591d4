//! What a front end may change while the engine runs, and see of its own listeners.

use crate::engine::Engine;
use dhow_shim::config::Foreign;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

impl Engine {
    /// Changes which foreign runtimes there are. Containers that run keep theirs; one whose runtime is gone does not start again.
    pub fn set_runtimes(&self, runtimes: BTreeMap<String, Foreign>) {
        *self.parts.runtimes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(runtimes);
    }

    /// How many listen to events now.
    pub fn listeners(&self) -> usize {
        self.parts.events.listeners()
    }

    /// Tells the listeners of events that the configuration was read again. `actor` is the engine's own id.
    pub fn tell_reload(&self, actor: &str, attributes: BTreeMap<String, String>) {
        self.parts.events.tell("daemon", "reload", actor, attributes);
    }
}
