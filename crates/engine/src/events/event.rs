//! What an event is.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the order of all events of this data root.
    pub number: u64,
    /// `container`, `image`, `network`, `volume`, `daemon`.
    pub kind: Cow<'static, str>,
    /// Docker's action, with its text (`exec_create: ls `).
    pub action: String,
    /// Id of the object.
    pub actor: String,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub at: i64,
}

impl Event {
    /// Bytes of its texts.
    pub(super) fn weight(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.action.len() + self.actor.len() + attributes
    }
}
