//! An index of which everything is here: every manifest with what it names, then the index itself, under the digest that it came with.

use super::calls::{blocking, translate};
use super::model::Tell;
use super::{content, finish, layers};
use crate::error::{Error, Kind, Result};
use crate::parts::Parts;
use dhow_image::{Held, HeldContent, HeldEntry, Image};
use dhow_reference::Reference;
use dhow_registry::{Content, Repository};
use std::sync::Arc;

/// Sends it all. What the tag says is told at the end only.
pub(super) async fn push(
    parts: &Arc<Parts>,
    repository: &Repository,
    name: &Reference,
    image: &Arc<Image>,
    held: &Held,
    tell: &Tell,
) -> Result<()> {
    for entry in &held.entries {
        let digest = &entry.descriptor.digest;
        let bytes = match (&entry.image, &entry.content) {
            (Some(image), _) => {
                let manifest = content(parts, repository, name, image, Some(digest), tell).await?;
                if manifest.digest != *digest {
                    return Err(Error::new(Kind::Internal, format!("the layers of {digest} are not those that it names")));
                }
                manifest.bytes
            }
            (None, Some(content)) => attached(parts, repository, entry, content).await?,
            (None, None) => return Err(Error::new(Kind::Internal, format!("{digest} is not here any more"))),
        };
        repository.put_manifest(digest, &entry.descriptor.media_type, bytes.into()).await.map_err(translate)?;
    }
    finish(parts, repository, name, image, held.top.clone(), tell).await
}

/// What an attestation names. Nothing is told of it: nobody knows it by an id.
async fn attached(parts: &Arc<Parts>, repository: &Repository, entry: &HeldEntry, content: &HeldContent) -> Result<Vec<u8>> {
    for part in &content.parts {
        let _turn = parts.uploads().acquire_owned().await.map_err(|error| Error::internal("wait for", "a turn", error))?;
        if repository.has_blob(&part.digest).await.map_err(translate)? {
            continue;
        }
        let open = layers::opener(parts, &part.digest);
        let content = Content { digest: &part.digest, size: part.size, open: &open, sent: Arc::default() };
        let begun = repository.begin().await.map_err(translate)?;
        repository.upload(&content, begun).await.map_err(translate)?;
    }
    let (images, digest) = (parts.images.clone(), entry.descriptor.digest.clone());
    // It may have been removed since it was found.
    blocking(move || images.open_content(&digest)).await?;
    Ok(content.bytes.clone())
}
