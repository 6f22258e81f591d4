//! Login at a registry: the engine asks, whoever wants to know keeps the answer.

use crate::error::{Error, Kind, Result};
use crate::parts::Parts;
use dhow_registry::Credentials;
use std::sync::Arc;

/// Asks whether the credentials are right; gives the token to keep instead of a password, if there is one.
pub(crate) async fn login(parts: &Arc<Parts>, server: &str, credentials: &Credentials) -> Result<String> {
    let client = parts.registries();
    client.login(server, credentials).await.map_err(|error| {
        let kind = if error.is_unauthorized() { Kind::Unauthorized } else { Kind::Internal };
        Error { kind, message: error.to_string(), source: None }
    })
}
