//! The documents of an archive. Pure but for the manifest that an image came with.

use super::layer::Layer;
use super::{Chosen, diffs};
use crate::error::{Error, Result, io};
use crate::held::Held;
use crate::model::{Image, Platform as Made};
use crate::store::Images;
use dhow_reference::Reference;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Largest manifest that is looked at.
const MANIFEST_MAX: u64 = 4 * 1024 * 1024;

/// Name, tag, and the top layer's digest.
pub(super) type Repositories = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    media_type: String,
    pub(super) digest: String,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
}

#[derive(Debug, Clone, Serialize)]
struct Platform {
    architecture: String,
    os: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'a str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'a str,
    manifests: &'a [Descriptor],
}

/// An element of `manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent: String,
    layer_sources: BTreeMap<String, Descriptor>,
}

/// A manifest that an image came with, and the layers that it names.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
    pub(crate) media_type: String,
    pub(crate) layers: Vec<String>,
    pub(super) media_types: Vec<String>,
}

/// Among an image's content, the manifests that name its configuration and bytes for each of its layers that are here.
pub(crate) fn kept_manifests(images: &Images, image: &Image, content: &[(String, Option<String>)]) -> Result<Vec<Kept>> {
    let diffs = diffs(image)?;
    let mut found = Vec::new();
    for (digest, _) in content.iter().filter(|(digest, diff)| diff.is_none() && *digest != image.id) {
        let mut bytes = Vec::new();
        images.blobs.get(digest)?.take(MANIFEST_MAX).read_to_end(&mut bytes).map_err(io("read", digest))?;
        let Some(kept) = read_manifest(&bytes, &image.id) else { continue };
        let held = |(layer, diff): (&String, &dhow_storage::DiffId)| {
            content.iter().any(|(digest, of)| digest == layer && of.as_deref() == Some(diff.as_str()))
        };
        if kept.layers.len() == diffs.len() && kept.layers.iter().zip(&diffs).all(held) {
            found.push(Kept { bytes, digest: digest.clone(), ..kept });
        }
    }
    Ok(found)
}

/// A manifest of this configuration.
fn read_manifest(bytes: &[u8], id: &str) -> Option<Kept> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        #[serde(default)]
        media_type: String,
        digest: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        #[serde(default)]
        media_type: Option<String>,
        config: Entry,
        layers: Vec<Entry>,
    }
    let document: Document = serde_json::from_slice(bytes).ok()?;
    let (layers, media_types) = document.layers.into_iter().map(|entry| (entry.digest, entry.media_type)).unzip();
    let media_type = document.media_type.unwrap_or_else(|| MANIFEST.to_owned());
    (document.config.digest == id).then_some(Kept { bytes: Vec::new(), digest: String::new(), media_type, layers, media_types })
}

fn plain(media_type: &str, digest: &str, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest: digest.to_owned(), size, annotations: BTreeMap::new(), platform: None }
}

fn layer(layer: &Layer) -> Descriptor {
    plain(&layer.media_type, &layer.digest, layer.size)
}

/// A manifest for an image that came without.
pub(super) fn manifest(image: &Image, layers: &[Layer]) -> Result<Vec<u8>> {
    let config = plain(CONFIG, &image.id, image.raw.len() as u64);
    bytes(&Manifest { schema_version: 2, media_type: MANIFEST, config, layers: layers.iter().map(layer).collect() })
}

/// What the index says of a manifest.
pub(super) fn descriptor_of(image: &Image, manifest: &[u8]) -> Descriptor {
    let media_type = read_manifest(manifest, &image.id).map_or_else(|| MANIFEST.to_owned(), |kept| kept.media_type);
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(manifest)));
    let Made { os, architecture, variant } = Made::of(&image.config);
    Descriptor { platform: Some(Platform { architecture, os, variant }), ..plain(&media_type, &digest, manifest.len() as u64) }
}

/// What the index says of another index.
pub(super) fn descriptor_of_index(held: &Held) -> Descriptor {
    plain(&held.top.media_type, &held.top.digest, held.top.bytes.len() as u64)
}

/// The index's entries for an image: one for each name, or one without.
pub(super) fn entries(names: &[Reference], descriptor: &Descriptor) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![descriptor.clone()];
    }
    let named = |name: &Reference| {
        let tag = name.tag().unwrap_or_default().to_owned();
        let annotations = [("io.containerd.image.name", name.to_string()), ("org.opencontainers.image.ref.name", tag)];
        Descriptor { annotations: annotations.into(), ..descriptor.clone() }
    };
    names.iter().map(named).collect()
}

pub(super) fn index(manifests: &[Descriptor]) -> Result<Vec<u8>> {
    bytes(&Index { schema_version: 2, media_type: INDEX, manifests })
}

pub(super) fn item(chosen: &Chosen, layers: &[Layer]) -> Item {
    let names: Vec<String> = chosen.names.iter().map(Reference::familiar).collect();
    Item {
        config: path(&chosen.image.id),
        repo_tags: Some(names).filter(|names| !names.is_empty()),
        layers: layers.iter().map(|layer| path(&layer.digest)).collect(),
        parent: String::new(),
        layer_sources: layers.iter().map(|l| (l.diff.clone(), layer(l))).collect(),
    }
}

/// An image whose parent is in the archive too says so.
pub(super) fn link_parents(items: &mut [Item], chosen: &[Chosen]) {
    for (item, own) in items.iter_mut().zip(chosen) {
        if let Some(parent) = own.image.parent.as_ref().filter(|parent| chosen.iter().any(|other| other.image.id == **parent)) {
            item.parent.clone_from(parent);
        }
    }
}

pub(super) fn name_layer(repositories: &mut Repositories, chosen: &Chosen, layers: &[Layer]) {
    let Some(top) = layers.last() else { return };
    for name in &chosen.names {
        let tag = name.tag().unwrap_or_default().to_owned();
        repositories.entry(name.familiar_name()).or_default().insert(tag, super::hex(&top.digest));
    }
}

fn path(digest: &str) -> String {
    format!("blobs/sha256/{}", super::hex(digest))
}

fn bytes(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Invalid(error.to_string()))
}

/// With a newline, as Go's encoder ends a document.
pub(super) fn line(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = bytes(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}
