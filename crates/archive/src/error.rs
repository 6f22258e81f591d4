//! What can go wrong, and the bounds that are kept.

/// Bounds for hostile archives.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of file content.
    pub bytes: u64,
    /// Members.
    pub entries: u64,
    /// Components of a path.
    pub depth: usize,
    /// Bytes of one path or link target.
    pub name: usize,
    /// Bytes of extended headers and attributes of one member.
    pub extensions: usize,
}

impl Default for Limits {
    /// Far above every honest image, far below what hurts for long: 256 GiB, two million members, 256 components, names of 4096 bytes,
    /// 1 MiB of extended headers a member.
    fn default() -> Self {
        Self { bytes: 1 << 38, entries: 1 << 21, depth: 512, name: 4096, extensions: 1 << 20 }
    }
}

/// Why an archive was not read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("archive: {entry}: {reason}")]
    Archive { entry: String, reason: String },
    #[error("archive: more than {limit} {what}")]
    Limit { what: &'static str, limit: u64 },
    #[error("{op} {object}: {source}")]
    Io { op: &'static str, object: String, source: std::io::Error },
    /// A member that must not go where it would; the words are whole.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// In the words that people know: as the text, with the kernel's reason the way Go writes it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Io { op, object, source } => {
                let text = source.to_string();
                let reason = text.split(" (os error").next().unwrap_or_default();
                let mut letters = reason.chars();
                let reason: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
                format!("{op} {object}: {reason}")
            }
            other => other.to_string(),
        }
    }
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Puts operation and object to an error of the kernel's.
pub trait Context<T> {
    /// The object is shown lossily.
    fn on(self, op: &'static str, object: &[u8]) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Context<T> for std::result::Result<T, E> {
    fn on(self, op: &'static str, object: &[u8]) -> Result<T> {
        self.map_err(|source| Error::Io { op, object: String::from_utf8_lossy(object).into_owned(), source: source.into() })
    }
}
