//! `manifest.json`: a list of images, each a configuration, layers from the bottom, and names.

use super::spool::Members;
use super::{Group, oci};
use crate::blobs::Spooled;
use crate::document::{DOCUMENT_MAX, parse};
use crate::error::{Error, Result};
use crate::incoming::{self, CONFIG_MAX, Incoming};
use dhow_reference::Reference;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
    /// The image that this one was made from, where the archive has it too.
    #[serde(default)]
    parent: Option<String>,
}

/// Every image that the manifest names, each checked as far as can be without unpacking.
pub(super) fn images(members: &Members) -> Result<Vec<Group>> {
    let manifest = members.get("manifest.json")?.read("manifest.json", DOCUMENT_MAX)?;
    let items: Option<Vec<Item>> = parse("manifest.json", &manifest)?;
    let items = items.ok_or_else(|| Error::Archive("invalid manifest, manifest cannot be null (but can be [])".into()))?;
    let mut found: Vec<(String, Option<String>, Named)> = Vec::new();
    for item in items {
        let parent = item.parent.clone().filter(|parent| !parent.is_empty());
        let image = image(members, item)?;
        let id = format!("sha256:{}", hex::encode(Sha256::digest(&image.1.config)));
        found.push((id, parent, image));
    }
    link_parents(&mut found);
    let group = |(_, _, (names, image))| Group { names, top: None, images: vec![image] };
    let mut found: Vec<Group> = found.into_iter().map(group).collect();
    oci::keep_documents(members, &mut found)?;
    Ok(found)
}

/// An image with its names.
type Named = (Vec<Reference>, Incoming);

/// A parent counts where the archive has it and its history is the beginning of the child's. Parents come first.
fn link_parents(found: &mut [(String, Option<String>, Named)]) {
    let histories: HashMap<String, Vec<Value>> = found.iter().map(|(id, _, (_, image))| (id.clone(), history(&image.config))).collect();
    for (id, parent, (_, image)) in found.iter_mut() {
        let own = &histories[id.as_str()];
        let fits = |parent: &String| histories.get(parent).is_some_and(|of| own.len() == of.len() + 1 && own.starts_with(of));
        image.parent = parent.take().filter(|parent| parent != id && fits(parent));
    }
    found.sort_by_key(|(id, _, _)| histories[id.as_str()].len());
}

fn history(config: &[u8]) -> Vec<Value> {
    #[derive(Deserialize)]
    struct Image {
        #[serde(default)]
        history: Vec<Value>,
    }
    serde_json::from_slice::<Image>(config).map_or_else(|_| Vec::new(), |image| image.history)
}

fn image(members: &Members, item: Item) -> Result<Named> {
    let config = member(members, &item.config)?.read(&item.config, CONFIG_MAX)?;
    let layers = item.layers.unwrap_or_default().iter().map(|l| member(members, l)).collect::<Result<Vec<_>>>()?;
    incoming::check(&config, Some(layers.len()))?;
    let names = item.repo_tags.unwrap_or_default().iter().map(|n| name(n)).collect::<Result<Vec<_>>>()?;
    Ok((names, Incoming { config, layers, ..Incoming::default() }))
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
