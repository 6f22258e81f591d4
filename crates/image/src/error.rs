//! The image store's errors. The messages are Docker's where Docker has one.

/// What the store answers when it cannot.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("No such image: {0}")]
    NotFound(String),
    #[error("reference does not exist")]
    NoReference,
    #[error("image with reference {name} was found but its platform ({found}) does not match the specified platform ({wanted})")]
    WrongPlatform { name: String, found: String, wanted: String },
    #[error("{what} has the digest {found}: the store is damaged")]
    Damaged { what: String, found: String },
    #[error("a prune operation is already running")]
    Pruning,
    #[error("{0}")]
    Reference(#[from] dhow_reference::Error),
    #[error("invalid archive: {0}")]
    Archive(String),
    #[error("conflict: {0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Storage(dhow_storage::Error),
    #[error("{op} {object}: {source}")]
    Io { op: &'static str, object: String, source: std::io::Error },
    #[error("the transfer was broken off")]
    Aborted,
    #[error("image database: {0}")]
    Database(String),
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl From<dhow_storage::Error> for Error {
    /// What an archive's content does wrong is the sender's fault, whoever notices it.
    fn from(error: dhow_storage::Error) -> Self {
        use dhow_storage::Error as Storage;
        match error {
            Storage::Archive { entry, reason } => Self::Archive(format!("{entry}: {reason}")),
            Storage::Io { source, .. } if source.kind() == std::io::ErrorKind::UnexpectedEof => Self::Archive("unexpected EOF".into()),
            Storage::Limit { .. } | Storage::Digest { .. } | Storage::Invalid { .. } => Self::Archive(error.to_string()),
            other => Self::Storage(other),
        }
    }
}

impl From<dhow_archive::Error> for Error {
    fn from(error: dhow_archive::Error) -> Self {
        dhow_storage::Error::from(error).into()
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<dhow_db::Error> for Error {
    fn from(error: dhow_db::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// Names the operation and the object of an I/O error.
pub(crate) fn io(op: &'static str, object: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Error {
    let object = object.to_string();
    move |source| Error::Io { op, object, source }
}
