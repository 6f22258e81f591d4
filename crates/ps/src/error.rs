//! Arguments that `ps` would not take.

use std::fmt;

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// What `ps` says of its arguments, without `error: ` in front.
    Words(String),
    /// It would print something else, or no line of headings.
    NoTable,
}

/// Result with [`Refused`].
pub type Result<T> = std::result::Result<T, Refused>;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => write!(f, "error: {words}"),
            Self::NoTable => f.write_str("no table"),
        }
    }
}

impl std::error::Error for Refused {}

/// `ps` refuses in these words.
pub(crate) fn refused(words: &str) -> Refused {
    Refused::Words(words.to_owned())
}
