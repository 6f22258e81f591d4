//! What registries are asked without anything being brought: searches, and what stands under a name.

use crate::error::{Error, Kind, Result};
use crate::parts::Parts;
use crate::pull::CONFIG_MAX;
use dhow_reference::Reference;
use dhow_registry::protocol::{Descriptor, Document, Platform, codes};
use dhow_registry::{Credentials, Found, Search};
use std::sync::Arc;

/// What a registry has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// What there are images for.
    pub platforms: Vec<Platform>,
}

/// Looks for images in an index.
pub(crate) async fn search(parts: &Arc<Parts>, search: &Search, credentials: &Credentials) -> Result<Vec<Found>> {
    let client = parts.registries();
    client.search(search, credentials).await.map_err(translate)
}

/// Looks a name up.
pub(crate) async fn distribution(parts: &Arc<Parts>, name: &Reference, credentials: &Credentials) -> Result<Distribution> {
    let client = parts.registries();
    let (repository, found) = client.resolve(name, credentials).await.map_err(translate)?;
    let descriptor =
        Descriptor { media_type: found.media_type, digest: found.digest, size: found.bytes.len() as u64, ..Descriptor::default() };
    let platforms = match found.document {
        Document::Index { manifests, .. } => manifests.into_iter().filter_map(|entry| entry.platform).collect(),
        Document::Manifest(manifest) => {
            let config = repository.small_blob(&manifest.config.digest, manifest.config.size, CONFIG_MAX).await.map_err(translate)?;
            vec![serde_json::from_slice(&config).map_err(|error| Error::internal("read", "the configuration", error))?]
        }
        Document::Schema1 => return Err(Error::new(Kind::Invalid, "manifests of schema 1 are not supported")),
    };
    Ok(Distribution { descriptor, platforms })
}

/// The registry's own words, with the status that they mean.
fn translate(error: dhow_registry::Error) -> Error {
    let kind = match error.code() {
        Some(codes::MANIFEST_UNKNOWN | codes::NAME_UNKNOWN) => Kind::NotFound,
        Some(codes::DENIED) => Kind::Forbidden,
        _ if error.is_unauthorized() => Kind::Unauthorized,
        _ => Kind::Internal,
    };
    Error { kind, message: error.to_string(), source: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_registry::protocol::ErrorEntry;

    #[test]
    fn statuses() {
        for (status, code, kind) in [
            (404, codes::MANIFEST_UNKNOWN, Kind::NotFound),
            (401, codes::UNAUTHORIZED, Kind::Unauthorized),
            (403, codes::DENIED, Kind::Forbidden),
            (429, codes::TOO_MANY_REQUESTS, Kind::Internal),
        ] {
            let entry = ErrorEntry { code: code.into(), message: String::new() };
            assert_eq!(translate(dhow_registry::Error::Refused { status, entry, retry_after: None }).kind, kind, "{code}");
        }
    }
}
