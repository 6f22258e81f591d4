//! Manifests and indexes. The bytes are hostile: a document is what its type says, and not two things at once (CVE-2021-41190).

use super::{Platform, media};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most entries of one document.
const ENTRIES_MAX: usize = 1000;

/// Names content: what it is, its digest, its length.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// `sha256:…`.
    #[serde(default)]
    pub digest: String,
    /// Bytes.
    #[serde(default)]
    pub size: u64,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// In an index: what the image is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// What BuildKit says of an image stands beside it in the index, as a manifest for no platform.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        let marked = self.annotations.as_ref().is_some_and(|notes| notes.contains_key("vnd.docker.reference.type"));
        marked || self.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
    }

    fn check(&self, what: &str) -> Result<(), DocumentError> {
        if is_digest(&self.digest) { Ok(()) } else { Err(DocumentError(format!("{what} has the invalid digest {:?}", self.digest))) }
    }
}

/// `sha256:` and 64 lower-case hex digits: the one algorithm that content is kept under.
#[must_use]
pub(crate) fn is_digest(text: &str) -> bool {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(lower))
}

/// The manifest of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its own type.
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, from the bottom.
    pub layers: Vec<Descriptor>,
}

/// A document, parsed and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Box<Manifest>),
    /// Several.
    Index {
        /// Its own type.
        media_type: String,
        /// The images.
        manifests: Vec<Descriptor>,
    },
    /// Of the old form, which is known by name only.
    Schema1,
}

/// Why bytes are no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DocumentError(pub String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    fs_layers: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads bytes that came as `content_type` (a header's value, or what a descriptor says).
    pub fn parse(bytes: &[u8], content_type: &str) -> Result<Self, DocumentError> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if media::SCHEMA1.contains(&kind) {
            return Ok(Self::Schema1);
        }
        let plain = matches!(kind, "" | "application/json" | "application/octet-stream" | "text/plain");
        if !plain && !media::is_index(kind) && !media::is_manifest(kind) {
            return Err(DocumentError(format!("unsupported manifest media type and no default available: {kind}")));
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| DocumentError(format!("malformed manifest: {error}")))?;
        if raw.schema_version == Some(1) || raw.fs_layers.is_some() {
            return if plain { Ok(Self::Schema1) } else { Err(DocumentError(format!("a manifest of schema 1 came as {kind}"))) };
        }
        let own = raw.media_type.clone().filter(|own| !own.is_empty());
        if let Some(own) = &own
            && !plain
            && own != kind
        {
            return Err(DocumentError(format!("mediaType in manifest should be '{kind}' not '{own}'")));
        }
        let kind = own.unwrap_or_else(|| if plain { media::OCI_MANIFEST.into() } else { kind.into() });
        raw.checked(kind)
    }
}

impl Raw {
    fn checked(self, kind: String) -> Result<Document, DocumentError> {
        let wrong = |what: &str| DocumentError(format!("malformed manifest of type {kind}: {what}"));
        if self.schema_version != Some(2) {
            return Err(wrong("schemaVersion is not 2"));
        }
        if self.manifests.is_some() && (self.layers.is_some() || self.config.is_some()) {
            return Err(wrong("it is both an index and a manifest"));
        }
        let count = self.layers.as_ref().or(self.manifests.as_ref()).map_or(0, Vec::len);
        if count > ENTRIES_MAX {
            return Err(wrong(&format!("more than {ENTRIES_MAX} entries")));
        }
        if media::is_index(&kind) {
            let manifests = self.manifests.ok_or_else(|| wrong("it names no manifests"))?;
            manifests.iter().try_for_each(|entry| entry.check("a manifest"))?;
            return Ok(Document::Index { media_type: kind, manifests });
        }
        if !media::is_manifest(&kind) {
            return Err(DocumentError(format!("unsupported manifest media type and no default available: {kind}")));
        }
        let config = self.config.ok_or_else(|| wrong("it names no configuration"))?;
        config.check("the configuration")?;
        let layers = self.layers.ok_or_else(|| wrong("it names no layers"))?;
        for layer in &layers {
            layer.check("a layer")?;
            if media::is_index(&layer.media_type) || media::is_manifest(&layer.media_type) {
                return Err(wrong("a layer has the type of a manifest"));
            }
        }
        Ok(Document::Manifest(Box::new(Manifest { media_type: kind, config, layers })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, digit: char) -> String {
        format!(r#"{{"mediaType":"{kind}","size":1,"digest":"sha256:{}"}}"#, digit.to_string().repeat(64))
    }

    fn check(bytes: &str, kind: &str) -> Result<&'static str, String> {
        match Document::parse(bytes.as_bytes(), kind) {
            Ok(Document::Manifest(_)) => Ok("manifest"),
            Ok(Document::Index { .. }) => Ok("index"),
            Ok(Document::Schema1) => Ok("schema 1"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn documents() {
        let (config, layer) = (entry(media::OCI_CONFIG, 'a'), entry(media::OCI_LAYER, 'b'));
        let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#);
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entry(media::OCI_MANIFEST, 'c'));
        assert_eq!(check(&manifest, media::OCI_MANIFEST), Ok("manifest"));
        assert_eq!(check(&manifest, "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"), Ok("manifest"));
        assert_eq!(check(&index, media::DOCKER_LIST), Ok("index"));
        assert_eq!(check(r#"{"schemaVersion":1,"fsLayers":[]}"#, "application/json"), Ok("schema 1"));
        assert_eq!(check("junk", media::SCHEMA1[0]), Ok("schema 1"));
    }

    #[test]
    fn class15_cve_2021_41190_a_document_is_one_thing() {
        let (config, layer) = (entry(media::OCI_CONFIG, 'a'), entry(media::OCI_LAYER, 'b'));
        let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}],"manifests":[]}}"#);
        for (bytes, kind, expect) in [
            (both.as_str(), media::OCI_MANIFEST, "it is both an index and a manifest"),
            (&both, media::OCI_INDEX, "it is both an index and a manifest"),
            (
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
                media::OCI_MANIFEST,
                "mediaType in manifest should be 'application/vnd.oci.image.manifest.v1+json' not 'application/vnd.oci.image.index.v1+json'",
            ),
            (r#"{"schemaVersion":2,"manifests":[]}"#, media::OCI_MANIFEST, "it names no configuration"),
            (r#"{"schemaVersion":2,"fsLayers":[]}"#, media::OCI_MANIFEST, "a manifest of schema 1 came as"),
            ("{}", media::OCI_MANIFEST, "schemaVersion is not 2"),
            ("<html>", "text/html", "unsupported manifest media type and no default available: text/html"),
            ("<html>", media::OCI_INDEX, "malformed manifest: expected value"),
        ] {
            let error = check(bytes, kind).unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn names_that_are_no_digests_are_refused() {
        for digest in ["sha256:../../etc/passwd", "sha256:ABC", "md5:d41d8cd98f00b204e9800998ecf8427e", ""] {
            let bytes = format!(
                r#"{{"schemaVersion":2,"config":{},"layers":[{{"mediaType":"x","size":1,"digest":"{digest}"}}]}}"#,
                entry(media::OCI_CONFIG, 'a')
            );
            assert!(check(&bytes, media::OCI_MANIFEST).unwrap_err().contains("a layer has the invalid digest"));
        }
    }
}
