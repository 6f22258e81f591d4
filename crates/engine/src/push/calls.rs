//! Calls of the store and of the registry, and what their errors become.

use crate::error::{Error, Kind, Result};

/// Runs a call of the store on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> dhow_image::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Error::from),
        Err(error) => Err(Error::internal("use", "the image store", error)),
    }
}

/// A registry's words, as Docker's engine gives them on in a push.
pub(super) fn translate(error: dhow_registry::Error) -> Error {
    let message = match &error {
        dhow_registry::Error::Identity { message, .. } => message.clone(),
        other => other.to_string(),
    };
    Error { kind: Kind::Internal, message, source: None }
}
