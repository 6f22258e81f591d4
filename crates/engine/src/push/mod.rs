//! Push: from an image to a name at a registry. A push belongs to who asks for it: when that future is dropped, it ends.

mod calls;
mod index;
mod layers;
pub mod model;

use crate::error::{Error, Kind, Result};
use crate::parts::Parts;
use bytes::Bytes;
use calls::{blocking, translate};
use dhow_image::{Descriptor, Image, OutgoingManifest, Platform};
use dhow_reference::Reference;
use dhow_registry::{Access, Content, Repository};
use model::{PushRequest, PushStep, Tell, say};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pushes one tag, or every tag of a repository.
pub(crate) async fn push(parts: &Arc<Parts>, request: PushRequest, tell: &Tell) -> Result<()> {
    let name = &request.name;
    if name.digest().is_some() {
        return Err(Error::new(Kind::Invalid, "cannot push a digest reference"));
    }
    say(tell, PushStep::To(name.name())).await?;
    let wanted = wanted(name, parts.images.of_repository(name))?;
    let client = parts.registries();
    let repository = client.repository(name, &request.credentials, Access::Push).await.map_err(translate)?;
    for (name, image) in wanted {
        named(parts, &repository, &name, &image, request.platform.as_ref(), tell).await?;
    }
    Ok(())
}

/// One tag: the index that it stands for, if all of that is here and no platform is asked for; else one image.
async fn named(
    parts: &Arc<Parts>,
    repository: &Repository,
    name: &Reference,
    image: &Arc<Image>,
    platform: Option<&Platform>,
    tell: &Tell,
) -> Result<()> {
    if let Some(wanted) = platform {
        let image = parts.images.resolve_for(&name.to_string(), wanted).map_err(|error| familiar(error, name))?;
        return one(parts, repository, name, &image, tell).await.map(drop);
    }
    let (images, own) = (parts.images.clone(), name.clone());
    let Some(held) = blocking(move || images.held_index(&own)).await? else {
        return one(parts, repository, name, image, tell).await.map(drop);
    };
    if held.is_whole() {
        return index::push(parts, repository, name, image, &held, tell).await;
    }
    let selected = one(parts, repository, name, image, tell).await?;
    say(tell, PushStep::InsteadOfIndex { index: Box::new(held.top.descriptor()), selected: Box::new(selected) }).await
}

fn familiar(error: dhow_image::Error, name: &Reference) -> Error {
    match error {
        dhow_image::Error::WrongPlatform { found, wanted, .. } => {
            dhow_image::Error::WrongPlatform { name: name.familiar(), found, wanted }.into()
        }
        other => other.into(),
    }
}

/// Which names and images are meant, of those that a repository has here. Pure.
fn wanted(name: &Reference, here: Vec<(Reference, Arc<Image>)>) -> Result<Vec<(Reference, Arc<Image>)>> {
    if here.is_empty() {
        let message = format!("An image does not exist locally with the tag: {}", name.familiar_name());
        return Err(Error::new(Kind::NotFound, message));
    }
    if name.tag().is_none() {
        return Ok(here.into_iter().filter(|(name, _)| name.digest().is_none()).collect());
    }
    match here.into_iter().find(|(known, _)| known == name) {
        Some(found) => Ok(vec![found]),
        None => Err(Error::new(Kind::NotFound, format!("tag does not exist: {}", name.familiar()))),
    }
}

/// One image under a tag: its layers, its configuration, its manifest.
async fn one(parts: &Arc<Parts>, repository: &Repository, name: &Reference, image: &Arc<Image>, tell: &Tell) -> Result<Descriptor> {
    let manifest = content(parts, repository, name, image, None, tell).await?;
    let descriptor = manifest.descriptor();
    finish(parts, repository, name, image, manifest, tell).await?;
    Ok(descriptor)
}

/// Everything that an image's manifest names; then the manifest is told, which is still to be sent.
async fn content(
    parts: &Arc<Parts>,
    repository: &Repository,
    name: &Reference,
    image: &Arc<Image>,
    wanted: Option<&str>,
    tell: &Tell,
) -> Result<OutgoingManifest> {
    let (images, known, to, wanted) = (parts.images.clone(), image.clone(), name.clone(), wanted.map(str::to_owned));
    let outgoing = Arc::new(blocking(move || images.outgoing(&known, &to, wanted.as_deref())).await?);
    let packed = layers::send(parts, repository, &outgoing, name, tell).await?;
    configuration(repository, image).await?;
    blocking(move || outgoing.manifest(&packed)).await
}

async fn configuration(repository: &Repository, image: &Image) -> Result<()> {
    if repository.has_blob(&image.id).await.map_err(translate)? {
        return Ok(());
    }
    let raw = Bytes::copy_from_slice(&image.raw);
    let open = move |from: u64| {
        let (sender, pieces) = mpsc::channel(1);
        let rest = raw.slice(usize::try_from(from).unwrap_or(raw.len()).min(raw.len())..);
        // There is room for one.
        let _fits = sender.try_send(Ok(rest));
        pieces
    };
    let content = Content { digest: &image.id, size: image.raw.len() as u64, open: &open, sent: Arc::default() };
    let begun = repository.begin().await.map_err(translate)?;
    repository.upload(&content, begun).await.map_err(translate)
}

/// The manifest or the index goes last: then the name means something whole.
async fn finish(
    parts: &Arc<Parts>,
    repository: &Repository,
    name: &Reference,
    image: &Arc<Image>,
    manifest: OutgoingManifest,
    tell: &Tell,
) -> Result<()> {
    let tag = name.tag().unwrap_or_default().to_owned();
    let OutgoingManifest { bytes, media_type, digest } = manifest;
    let size = bytes.len() as u64;
    repository.put_manifest(&tag, &media_type, bytes.into()).await.map_err(translate)?;
    let (images, id, at, named) = (parts.images.clone(), image.id.clone(), digest.clone(), name.clone());
    blocking(move || images.pushed(&id, &named, &at)).await?;
    let mut attributes = BTreeMap::from([("name".to_owned(), name.familiar_name())]);
    let config = image.config.config().as_ref();
    attributes.extend(config.and_then(|config| config.labels().clone()).unwrap_or_default());
    parts.events.tell("image", "push", &name.familiar(), attributes);
    say(tell, PushStep::Pushed { tag, digest, size }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_here() {
        let name = Reference::parse("x:1").unwrap();
        let check = |here, expect: &str| assert_eq!(wanted(&name, here).unwrap_err().message, expect);
        check(Vec::new(), "An image does not exist locally with the tag: x");
    }

    #[test]
    fn who_we_are_is_told_in_short() {
        let error =
            dhow_registry::Error::Identity { method: "Head", url: "http://r/v2/".into(), message: "no basic auth credentials".into() };
        assert_eq!(translate(error).message, "no basic auth credentials");
    }
}
