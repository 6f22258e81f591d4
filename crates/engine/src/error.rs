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
    /// Nobody knows who asks (401).
    Unauthorized,
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
    /// The disk was full: an [`std::io::Error`] among the causes says so, or one of the database's.
    pub(crate) fn is_disk_full(&self) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = next {
            let file = error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::StorageFull);
            let database = || error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
            if file || database() == Some(rusqlite::ErrorCode::DiskFull) {
                return true;
            }
            next = error.source();
        }
        false
    }

    /// An error without a cause.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An internal error: what was done, to what, and why it failed.
    pub(crate) fn internal(
        operation: &str,
        object: impl std::fmt::Display,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let cause = cause.into();
        Self { kind: Kind::Internal, message: format!("{operation} {object}: {cause}"), source: Some(cause) }
    }

    /// The same error with words before its message.
    pub(crate) fn prefixed(mut self, prefix: &str) -> Self {
        self.message.insert_str(0, prefix);
        self
    }

    /// The same words again, for a further listener.
    pub(crate) fn again(&self) -> Self {
        Self { kind: self.kind, message: self.message.clone(), source: None }
    }
}

impl From<dhow_image::Error> for Error {
    fn from(error: dhow_image::Error) -> Self {
        use dhow_image::Error as Image;
        let kind = match &error {
            Image::NotFound(_) | Image::NoReference | Image::WrongPlatform { .. } => Kind::NotFound,
            Image::Reference(_) | Image::Archive(_) | Image::Invalid(_) => Kind::Invalid,
            Image::Conflict(_) | Image::Pruning => Kind::Conflict,
            _ => Kind::Internal,
        };
        Self { kind, message: error.to_string(), source: Some(Box::new(error)) }
    }
}

impl From<dhow_storage::Error> for Error {
    fn from(error: dhow_storage::Error) -> Self {
        Self { kind: Kind::Internal, message: error.to_string(), source: Some(Box::new(error)) }
    }
}

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kernel's words without Rust's number behind them.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let bare = text.split(" (os error").next().unwrap_or_default();
    let mut letters = bare.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_one_to_whoever_writes() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let sqlite = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        assert!(Error::internal("write", "x", full()).is_disk_full());
        assert!(Error::internal("write", "state.db", sqlite(rusqlite::ffi::SQLITE_FULL)).is_disk_full());
        assert!(!Error::internal("write", "state.db", sqlite(rusqlite::ffi::SQLITE_BUSY)).is_disk_full());
        assert!(!Error::new(Kind::Internal, "database or disk is full").is_disk_full());
    }
}
