//! OCI image layouts: `index.json`, perhaps nested indexes, manifests.

use super::spool::Members;
use super::{DOCUMENT_MAX, Found, document};
use crate::blobs::{Blobs, Spooled};
use crate::error::{Error, Result};
use crate::incoming::{self, CONFIG_MAX, Incoming};
use crate::model::host_architecture;
use dhow_reference::Reference;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const INDEX: [&str; 2] = ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFEST: [&str; 2] = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// How deep indexes may nest.
const DEPTH_MAX: usize = 4;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    platform: Option<Platform>,
}

impl Descriptor {
    /// BuildKit puts what it says of an image beside it, as a manifest for no platform.
    fn is_attestation(&self) -> bool {
        let marked = self.annotations.as_ref().is_some_and(|a| a.contains_key("vnd.docker.reference.type"));
        marked || self.platform.as_ref().is_some_and(|p| p.os == "unknown")
    }

    /// For this machine, or for no particular one.
    fn is_native(&self) -> bool {
        self.platform.as_ref().is_none_or(|p| p.os == "linux" && p.architecture == host_architecture())
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

/// An index or a manifest: one document type, so that one that claims to be both is seen.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// CVE-2021-41190: a document is what its descriptor says, and not two things at once.
    fn check(self, what: &str, expected: &[&str]) -> Result<Self> {
        if self.manifests.is_some() && (self.layers.is_some() || self.config.is_some()) {
            return Err(Error::Archive(format!("{what} is both an index and a manifest")));
        }
        if let Some(found) = &self.media_type
            && !expected.contains(&found.as_str())
        {
            return Err(Error::Archive(format!("{what} has the media type {found:?}")));
        }
        Ok(self)
    }
}

/// Every image of the layout's index that is for this machine.
pub(super) fn images(blobs: &Blobs, members: &Members) -> Result<Vec<Found>> {
    let bytes = members.get("index.json")?.read("index.json", DOCUMENT_MAX)?;
    let index = document::<Document>("index.json", &bytes)?.check("index.json", &INDEX)?;
    let mut found: Vec<Found> = Vec::new();
    for descriptor in wanted(index.manifests.unwrap_or_default()) {
        let names = names(&descriptor)?;
        let manifest = select(members, descriptor, 0)?;
        found.push(image(blobs, members, &manifest, names)?);
    }
    if found.is_empty() {
        return Err(Error::Archive("index.json names no image".into()));
    }
    Ok(found)
}

/// An archive that has both documents: `manifest.json` says what it holds; a manifest of the index is kept where it says exactly the same,
/// for a later push or save under its digest.
pub(super) fn keep_manifests(blobs: &Blobs, members: &Members, found: &mut [Found]) -> Result<()> {
    let Ok(file) = members.get("index.json") else { return Ok(()) };
    let Ok(index) = serde_json::from_slice::<Document>(&file.read("index.json", DOCUMENT_MAX)?) else { return Ok(()) };
    let mut kept = BTreeSet::new();
    let manifests = index.manifests.unwrap_or_default().into_iter().filter(|d| MANIFEST.contains(&d.media_type.as_str()));
    for descriptor in manifests.filter(|d| kept.insert(d.digest.clone())) {
        let Ok(content) = content(members, &descriptor) else { continue };
        let bytes = content.read(&descriptor.digest, DOCUMENT_MAX)?;
        let Ok(document) = serde_json::from_slice::<Document>(&bytes) else { continue };
        let Ok(document) = document.check(&descriptor.digest, &[&descriptor.media_type]) else { continue };
        let (Some(config), Some(layers)) = (document.config, document.layers) else { continue };
        let same = |image: &Found| {
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(&image.incoming.config)));
            let named = layers.iter().map(|layer| layer.digest.as_str());
            digest == config.digest && named.eq(image.incoming.layers.iter().map(|layer| layer.digest()))
        };
        for image in found.iter_mut().filter(|image| same(image)) {
            image.blobs.push(blobs.spool(&mut &bytes[..], DOCUMENT_MAX)?);
        }
    }
    Ok(())
}

/// The entries of an index that are images for this machine; where none is, all that are images: a person may load a foreign one.
fn wanted(entries: Vec<Descriptor>) -> Vec<Descriptor> {
    let images: Vec<Descriptor> = entries.into_iter().filter(|d| !d.is_attestation()).collect();
    if images.iter().any(Descriptor::is_native) { images.into_iter().filter(Descriptor::is_native).collect() } else { images }
}

/// The bytes of what a descriptor names, as long as it says.
fn content(members: &Members, descriptor: &Descriptor) -> Result<Arc<Spooled>> {
    let blob = members.blob(&descriptor.digest)?;
    if blob.size() != descriptor.size {
        return Err(Error::Archive(format!("blob {} has {} bytes, not {}", descriptor.digest, blob.size(), descriptor.size)));
    }
    Ok(blob)
}

/// Follows indexes to the manifest for this machine.
fn select(members: &Members, descriptor: Descriptor, depth: usize) -> Result<Descriptor> {
    if MANIFEST.contains(&descriptor.media_type.as_str()) {
        return Ok(descriptor);
    }
    if !INDEX.contains(&descriptor.media_type.as_str()) || depth >= DEPTH_MAX {
        return Err(Error::Archive(format!("unexpected media type {:?} of {}", descriptor.media_type, descriptor.digest)));
    }
    let bytes = content(members, &descriptor)?.read(&descriptor.digest, DOCUMENT_MAX)?;
    let index = document::<Document>(&descriptor.digest, &bytes)?.check(&descriptor.digest, &[&descriptor.media_type])?;
    match index.manifests.unwrap_or_default().into_iter().find(|d| d.is_native() && !d.is_attestation()) {
        Some(next) => select(members, next, depth + 1),
        None => Err(Error::Archive(format!("no matching manifest for linux/{} in the manifest list entries", host_architecture()))),
    }
}

fn image(blobs: &Blobs, members: &Members, descriptor: &Descriptor, names: Vec<Reference>) -> Result<Found> {
    let bytes = content(members, descriptor)?.read(&descriptor.digest, DOCUMENT_MAX)?;
    let manifest = document::<Document>(&descriptor.digest, &bytes)?.check(&descriptor.digest, &[&descriptor.media_type])?;
    let config = manifest.config.ok_or_else(|| Error::Archive(format!("{} has no configuration", descriptor.digest)))?;
    let config = content(members, &config)?.read("image configuration", CONFIG_MAX)?;
    let layers = manifest.layers.unwrap_or_default();
    if let Some(layer) = layers.iter().find(|l| INDEX.contains(&l.media_type.as_str()) || MANIFEST.contains(&l.media_type.as_str())) {
        return Err(Error::Archive(format!("the layer {} has the media type {:?}", layer.digest, layer.media_type)));
    }
    let layers = layers.iter().map(|l| content(members, l)).collect::<Result<Vec<_>>>()?;
    incoming::check(&config, Some(layers.len()))?;
    let kept = blobs.spool(&mut &bytes[..], DOCUMENT_MAX)?;
    Ok(Found { incoming: Incoming { config, layers, parent: None }, blobs: vec![kept], names })
}

/// The name that an archive gives an image: containerd's annotation, or the OCI one where it is more than a tag.
fn names(descriptor: &Descriptor) -> Result<Vec<Reference>> {
    let Some(annotations) = &descriptor.annotations else { return Ok(Vec::new()) };
    let full = annotations.get("io.containerd.image.name");
    let plain = annotations.get("org.opencontainers.image.ref.name").filter(|n| n.contains([':', '/']));
    let Some(text) = full.or(plain) else { return Ok(Vec::new()) };
    let name = Reference::parse(text).map_err(|_| Error::Archive(format!("invalid tag {text:?}")))?;
    Ok(if name.digest().is_some() { Vec::new() } else { vec![name.or_latest()] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str, expected: &[&str]) -> std::result::Result<(), String> {
        document::<Document>("it", json.as_bytes()).and_then(|d| d.check("it", expected)).map(|_| ()).map_err(|e| e.to_string())
    }

    #[test]
    fn class15_cve_2021_41190_a_document_is_one_thing() {
        assert!(parse(r#"{"manifests":[]}"#, &INDEX).is_ok());
        assert_eq!(parse(r#"{"manifests":[],"layers":[]}"#, &MANIFEST).unwrap_err(), "invalid archive: it is both an index and a manifest");
        let index = format!(r#"{{"mediaType":{:?},"manifests":[]}}"#, INDEX[0]);
        assert!(parse(&index, &INDEX).is_ok());
        assert!(parse(&index, &MANIFEST).unwrap_err().contains("has the media type"));
    }
}
