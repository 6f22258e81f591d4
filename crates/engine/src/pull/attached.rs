//! What an index says of an image beside it: attestations, which are manifests of their own for no platform.

use dhow_registry::protocol::{Document, media};
use dhow_registry::{Fetched, Repository};

/// Says of an entry which manifest it is about.
const ABOUT: &str = "vnd.docker.reference.digest";
/// Most bytes of all that is fetched for one image. Who has more keeps an index that is not whole.
const MOST: u64 = 8 * 1024 * 1024;
/// Most of them for one image.
const COUNT: usize = 8;

/// The attestations of the last of these documents, in the index before it, with what they name. They are no part of the image: one that
/// does not come is left out.
pub(super) async fn fetch(repository: &Repository, documents: &[Fetched]) -> Vec<Vec<u8>> {
    let [.., index, manifest] = documents else { return Vec::new() };
    let Document::Index { manifests, .. } = &index.document else { return Vec::new() };
    let about = |entry: &&dhow_registry::protocol::Descriptor| {
        let named = entry.annotations.as_ref().and_then(|notes| notes.get(ABOUT));
        entry.is_attestation() && named.is_some_and(|digest| *digest == manifest.digest)
    };
    let mut found = Vec::new();
    let mut left = MOST;
    for entry in manifests.iter().filter(about).take(COUNT) {
        match one(repository, &entry.digest, left).await {
            Ok(parts) => {
                left = left.saturating_sub(parts.iter().map(|part| part.len() as u64).sum());
                found.extend(parts);
            }
            Err(error) => tracing::warn!(attestation = entry.digest, %error, "an attestation is left out"),
        }
    }
    found
}

/// Its manifest, and what that names.
async fn one(repository: &Repository, digest: &str, most: u64) -> dhow_registry::Result<Vec<Vec<u8>>> {
    let fetched = repository.manifest(digest).await?;
    let Document::Manifest(manifest) = &fetched.document else { return Ok(Vec::new()) };
    let mut left = most;
    let mut parts = vec![fetched.bytes.to_vec()];
    for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
        // A layer of an image is none of an attestation.
        if media::is_layer(&part.media_type) {
            return Ok(Vec::new());
        }
        parts.push(repository.small_blob(&part.digest, part.size, left).await?.to_vec());
        left = left.saturating_sub(part.size);
    }
    Ok(parts)
}
