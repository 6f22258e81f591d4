//! Pull: from a name to an image. A pull belongs to who asks for it: when that future is dropped, what nobody else needs is broken off, and
//! what came stays for the next try.

mod attached;
mod bring;
mod errors;
mod layers;
pub mod model;
pub(crate) mod transfer;

use crate::error::{Error, Kind, Result};
use crate::parts::Parts;
use dhow_image::{Arrival, Image};
use dhow_reference::Reference;
use dhow_registry::protocol::{Document, Manifest, Platform, select};
use dhow_registry::{Client, Fetched, Repository};
use model::{PullRequest, PullStep, Tell, say};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest configuration that is fetched.
pub(crate) const CONFIG_MAX: u64 = 8 * 1024 * 1024;
/// How deep indexes may nest.
const DEPTH_MAX: usize = 4;

/// Pulls one tag or digest, or every tag.
pub(crate) async fn pull(parts: &Arc<Parts>, request: PullRequest, tell: &Tell) -> Result<()> {
    let named = request.name.clone().or_latest();
    let known = crate::images::resolve(parts, &named.to_string()).is_ok();
    if let Some(image) = crate::images::embedded(parts, &named).await? {
        return finish(parts, &named, image, None, !known, tell).await;
    }
    let client = parts.registries();
    if !request.name.is_name_only() {
        return one(parts, &client, &request, tell).await;
    }
    let failed = |error| errors::translate(error, &request.name);
    for tag in client.tags(&request.name, &request.credentials).await.map_err(failed)? {
        let name = request.name.with_tag(&tag).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
        one(parts, &client, &PullRequest { name, ..request.clone() }, tell).await?;
    }
    Ok(())
}

/// One tag or digest.
async fn one(parts: &Arc<Parts>, client: &Client, request: &PullRequest, tell: &Tell) -> Result<()> {
    let name = &request.name;
    let failed = |error| errors::translate(error, name);
    let (repository, top) = client.resolve(name, &request.credentials).await.map_err(failed)?;
    let wanted = name.digest().or(name.tag()).unwrap_or_default().to_owned();
    say(tell, PullStep::From { repository: name.path().to_owned(), wanted }).await?;

    let platform = Platform::parse(&request.platform, &Platform::host());
    let (manifest, documents) = choose(&repository, &top, &platform, name).await?;
    if !dhow_registry::protocol::media::is_config(&manifest.config.media_type) {
        let kind = &manifest.config.media_type;
        return Err(Error::new(Kind::Invalid, format!("Encountered remote {kind:?}(unknown) when fetching")));
    }
    let config = repository.small_blob(&manifest.config.digest, manifest.config.size, CONFIG_MAX).await.map_err(failed)?;
    check_system(&config)?;

    let pinned = name.with_digest(&top.digest).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    let mut names = vec![pinned];
    if name.digest().is_none() {
        names.push(name.clone());
    }
    let mut kept: Vec<Vec<u8>> = documents.iter().map(|document| document.bytes.to_vec()).collect();
    if !request.platform.is_empty() {
        // Who gathers an index platform by platform gets what belongs to each, so that the index can be pushed whole.
        kept.extend(attached::fetch(&repository, &documents).await);
    }
    let arrival = Arrival {
        config: config.to_vec(),
        layers: manifest.layers.iter().map(|layer| layer.digest.clone()).collect(),
        documents: kept,
        names,
        top: Some(top.digest.clone()),
    };
    let before = crate::images::resolve(parts, &name.to_string()).ok().map(|image| image.id.clone());
    let image = layers::fetch(parts, &repository, &manifest, arrival, name, tell).await?;
    let newer = before.as_ref() != Some(&image.id);
    if !request.platform.is_empty() {
        warn_of_platform(&image, name, &platform, tell).await?;
    }
    finish(parts, name, image, Some(top.digest), newer, tell).await
}

/// The last words, and the event.
async fn finish(parts: &Parts, name: &Reference, image: Arc<Image>, digest: Option<String>, newer: bool, tell: &Tell) -> Result<()> {
    let config = image.config.config().as_ref();
    let labels = config.and_then(|config| config.labels().clone()).unwrap_or_default();
    let mut attributes: BTreeMap<String, String> = labels.into_iter().collect();
    attributes.insert("name".into(), name.familiar_name());
    parts.events.tell("image", "pull", &name.familiar(), attributes);
    match digest {
        Some(digest) => say(tell, PullStep::Digest(digest)).await?,
        // Embedded in the program.
        None => say(tell, PullStep::From { repository: name.path().to_owned(), wanted: name.tag().unwrap_or_default().to_owned() }).await?,
    }
    say(tell, PullStep::Done { name: name.clone(), newer }).await
}

/// Follows indexes to the manifest for a platform; gives the documents on the way, the manifest last.
async fn choose(repository: &Repository, top: &Fetched, platform: &Platform, name: &Reference) -> Result<(Manifest, Vec<Fetched>)> {
    let mut documents = vec![top.clone()];
    for _ in 0..=DEPTH_MAX {
        let Some(last) = documents.last() else { break };
        match &last.document {
            Document::Manifest(manifest) => return Ok((Manifest::clone(manifest), documents)),
            Document::Schema1 => return Err(errors::schema1(name)),
            Document::Index { manifests, .. } => {
                let entry = select(manifests, platform).ok_or_else(|| errors::no_match(platform))?;
                let next = repository.manifest(&entry.digest).await.map_err(|error| errors::translate(error, name))?;
                documents.push(next);
            }
        }
    }
    Err(Error::new(Kind::Invalid, format!("the indexes of {} nest too deep", name.familiar())))
}

/// What runs here only.
fn check_system(config: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        os: String,
    }
    let config: Config =
        serde_json::from_slice(config).map_err(|error| Error::new(Kind::Invalid, format!("malformed image configuration: {error}")))?;
    if config.os.is_empty() || config.os == "linux" {
        return Ok(());
    }
    let message = format!("image operating system {:?} cannot be used on this platform: operating system is not supported", config.os);
    Err(Error::new(Kind::Invalid, message))
}

/// An image without an index is taken whatever it is for: the person is told.
async fn warn_of_platform(image: &Image, name: &Reference, wanted: &Platform, tell: &Tell) -> Result<()> {
    let made = Platform {
        os: image.config.os().to_string(),
        architecture: image.config.architecture().to_string(),
        variant: image.config.variant().clone().unwrap_or_default(),
        ..Platform::default()
    };
    let found = made.clone().normal();
    if found.os == wanted.os && found.architecture == wanted.architecture {
        return Ok(());
    }
    let name = name.familiar();
    let text = format!("image with reference {name} was found but its platform ({made}) does not match the specified platform ({wanted})");
    say(tell, PullStep::Warning(text)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_systems_are_refused() {
        assert!(check_system(br#"{"os":"linux"}"#).is_ok());
        assert!(check_system(b"{}").is_ok());
        let error = check_system(br#"{"os":"windows"}"#).unwrap_err().to_string();
        assert_eq!(error, "image operating system \"windows\" cannot be used on this platform: operating system is not supported");
        assert!(check_system(b"[").unwrap_err().to_string().starts_with("malformed image configuration: "));
    }
}
