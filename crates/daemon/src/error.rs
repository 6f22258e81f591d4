//! The one place where errors become HTTP statuses.

use dhow_api::ApiError;
use dhow_api::mount::MountError;
use dhow_engine::Kind;

/// What a handler answers when it cannot do its work.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) ApiError);

/// Result of a handler.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self(ApiError::invalid(message))
    }
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self(ApiError::not_found(message))
    }
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self(ApiError::new(500, message))
    }
    /// What this release does not do, by the name of the option or call.
    pub(crate) fn unsupported(what: &str) -> Self {
        Self(ApiError::not_implemented(format!("{what} is not supported by this release")))
    }
}

/// Status of each kind.
pub(crate) fn status(kind: Kind) -> u16 {
    match kind {
        Kind::NotFound => 404,
        Kind::Invalid => 400,
        Kind::Conflict => 409,
        Kind::NotModified => 304,
        Kind::Forbidden => 403,
        Kind::Unauthorized => 401,
        Kind::NotImplemented => 501,
        Kind::Unavailable => 503,
        Kind::Internal => 500,
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        Self(error.into())
    }
}

impl From<dhow_reference::Error> for Failure {
    fn from(error: dhow_reference::Error) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<dhow_engine::Error> for Failure {
    fn from(error: dhow_engine::Error) -> Self {
        let status = status(error.kind);
        if status == 500 {
            let mut causes = String::new();
            let mut next = std::error::Error::source(&error);
            while let Some(cause) = next {
                causes.push_str(": ");
                causes.push_str(&cause.to_string());
                next = cause.source();
            }
            tracing::error!("{}{causes}", error.message);
        }
        Self(ApiError::new(status, error.message))
    }
}
