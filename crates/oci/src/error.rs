//! Why a command failed: one sentence for people and for callers that look for words in it, and the exit code.

use dhow_runtime::{Failure, words};
use std::fmt::Display;

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct Error {
    /// What callers find in the log and on standard error.
    pub(crate) message: String,
    /// The exit code.
    pub(crate) code: i32,
}

/// Result with [`Error`].
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A plain one, exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// No container of that id. Callers look for these words.
    pub(crate) fn no_container() -> Self {
        Self::new("container does not exist")
    }

    /// With what was tried in front.
    pub(crate) fn within(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(words::of(&failure))
    }
}

/// Gives an error of the system its operation and object.
pub(crate) trait At<T> {
    /// `what` is `open /x` or the like.
    fn at(self, what: impl Display) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, what: impl Display) -> Result<T> {
        self.map_err(|error| Error::new(format!("{what}: {}", dhow_runtime::error::describe(&error.into()))))
    }
}
