//! The engine's errors. The message is what Docker would say; the kind decides status and exit code, in one place, in the daemon.

/// What sort of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No such object (404).
    NotFound,
    /// The request is wrong (400).
    Invalid,
    /// The object's state forbids it (409).
    Conflict,
    /// Nothing to do (304).
    NotModified,
    /// Not allowed (403).
    Forbidden,
    /// Not built yet, or not possible here (501).
    NotImplemented,
    /// Not now (503).
    Unavailable,
    /// All else (500).
    Internal,
}

/// An error with its message.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What sort.
    pub kind: Kind,
    /// Docker's words.
    pub message: String,
    /// What caused it, for the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without a cause.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
