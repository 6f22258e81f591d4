//! What a store answers when it cannot.

/// What a store answers when it cannot.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("layer {0} does not exist")]
    NoChain(String),
    #[error("snapshot {0} does not exist")]
    NoSnapshot(String),
    #[error("snapshot {0} exists already")]
    Exists(String),
    #[error("{object} is in use by {by}")]
    InUse { object: String, by: String },
    #[error("the archive's content is {actual}, expected {expected}")]
    Digest { expected: String, actual: String },
    #[error("archive: {entry}: {reason}")]
    Archive { entry: String, reason: String },
    #[error("archive: more than {limit} {what}")]
    Limit { what: &'static str, limit: u64 },
    #[error("invalid {what}: {value:?}")]
    Invalid { what: &'static str, value: String },
    #[error("{op} {object}: {source}")]
    Io { op: &'static str, object: String, source: std::io::Error },
}

impl From<dhow_archive::Error> for Error {
    fn from(error: dhow_archive::Error) -> Self {
        match error {
            dhow_archive::Error::Archive { entry, reason } => Self::Archive { entry, reason },
            dhow_archive::Error::Limit { what, limit } => Self::Limit { what, limit },
            dhow_archive::Error::Io { op, object, source } => Self::Io { op, object, source },
            dhow_archive::Error::Refused(reason) => Self::Archive { entry: "member".into(), reason },
        }
    }
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
