//! What can go wrong between us and a registry. The words are Docker's where Docker has words.

use crate::protocol::{DocumentError, ErrorEntry, codes};
use std::time::Duration;

/// What a registry, or the way to it, answers instead of content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The registry says why.
    #[error("{entry}")]
    Refused {
        /// HTTP's status.
        status: u16,
        /// The first error of the body.
        entry: ErrorEntry,
        /// When to come again.
        retry_after: Option<Duration>,
    },
    /// The registry answers with a status and no words that can be read.
    #[error("received unexpected HTTP status: {status} {reason}")]
    Status {
        /// HTTP's status.
        status: u16,
        /// Its name.
        reason: &'static str,
        /// When to come again.
        retry_after: Option<Duration>,
    },
    /// No answer was had, or it broke off.
    #[error("{method} \"{url}\": {message}")]
    Transport {
        /// `Get`, as Go writes it.
        method: &'static str,
        /// The address, without secrets.
        url: String,
        /// Why.
        message: String,
        /// It may work the next time.
        temporary: bool,
        /// What answers does not speak TLS.
        plain: bool,
    },
    /// We cannot say who we are in a way that the registry takes.
    #[error("{method} \"{url}\": {message}")]
    Identity {
        /// `Head`, as Go writes it.
        method: &'static str,
        /// The request that was to be identified.
        url: String,
        /// Why.
        message: String,
    },
    /// A registry that does not take name and password.
    #[error("login attempt to {url} failed with status: {status} {reason}")]
    Login {
        /// The registry's greeting.
        url: String,
        /// HTTP's status.
        status: u16,
        /// Its name.
        reason: &'static str,
    },
    /// What came is not what it should be.
    #[error("{0}")]
    Invalid(String),
    /// Content has another digest than its name.
    #[error("{what} verification failed for digest {digest}")]
    Digest {
        /// `manifest`, `filesystem layer`.
        what: &'static str,
        /// What was wanted.
        digest: String,
    },
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// It may work the next time.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused { status, .. } | Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::Transport { temporary, .. } => *temporary,
            Self::Identity { .. } | Self::Login { .. } | Self::Invalid(_) | Self::Digest { .. } => false,
        }
    }

    /// When the registry wants to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The code of what the registry says, if it says one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { entry, .. } => Some(&entry.code),
            _ => None,
        }
    }

    /// HTTP's status, where there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Status { status, .. } | Self::Login { status, .. } => Some(*status),
            Self::Identity { .. } => Some(401),
            _ => None,
        }
    }

    /// Neither name nor password, or wrong ones.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.code() == Some(codes::UNAUTHORIZED) || self.status() == Some(401)
    }

    /// What answers at a TLS port is no TLS server.
    #[must_use]
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Transport { plain: true, .. })
    }
}

impl From<DocumentError> for Error {
    fn from(error: DocumentError) -> Self {
        Self::Invalid(error.0)
    }
}
