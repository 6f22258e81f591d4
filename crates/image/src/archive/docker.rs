//! `manifest.json`: a list of images, each a configuration, layers from the bottom, and names.

use super::spool::Members;
use super::{DOCUMENT_MAX, Found, document};
use crate::blobs::Spooled;
use crate::error::{Error, Result};
use crate::install::{self, CONFIG_MAX, Incoming};
use dhow_reference::Reference;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Every image that the manifest names, each checked as far as can be without unpacking.
pub(super) fn images(members: &Members) -> Result<Vec<Found>> {
    let manifest = members.get("manifest.json")?.read("manifest.json", DOCUMENT_MAX)?;
    let items: Vec<Item> = document("manifest.json", &manifest)?;
    items.into_iter().map(|item| image(members, item)).collect()
}

fn image(members: &Members, item: Item) -> Result<Found> {
    let config = member(members, &item.config)?.read(&item.config, CONFIG_MAX)?;
    let layers = item.layers.unwrap_or_default().iter().map(|l| member(members, l)).collect::<Result<Vec<_>>>()?;
    install::check(&config, Some(layers.len()))?;
    let names = item.repo_tags.unwrap_or_default().iter().map(|n| name(n)).collect::<Result<Vec<_>>>()?;
    Ok(Found { incoming: Incoming { config, layers, parent: None }, blobs: Vec::new(), names })
}

/// A member by name; one that stands under a digest must have it.
fn member(members: &Members, name: &str) -> Result<Arc<Spooled>> {
    match name.strip_prefix("blobs/sha256/") {
        Some(hex) => members.blob(&format!("sha256:{hex}")),
        None => members.get(name),
    }
}

fn name(text: &str) -> Result<Reference> {
    let reference = Reference::parse(text).map_err(|_| Error::Archive(format!("invalid tag {text:?}")))?;
    if reference.tag().is_none() || reference.digest().is_some() {
        return Err(Error::Archive(format!("invalid tag {text:?}")));
    }
    Ok(reference)
}
