//! What happens, told to whoever listens. The last 256 are kept for `since`.

use std::collections::BTreeMap;

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
