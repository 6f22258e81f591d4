//! Manifests and indexes as they stand in the store and in archives: read, checked to be one thing, never made here.

use crate::error::{Error, Result};
use crate::model::{self, host_architecture};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Largest manifest or index that is read.
pub(crate) const DOCUMENT_MAX: u64 = 4 * 1024 * 1024;

pub(crate) const INDEX: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
pub(crate) const MANIFEST: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// Says of an attestation what it is, and which manifest it is about.
const ATTESTATION: [&str; 2] = ["vnd.docker.reference.type", "vnd.docker.reference.digest"];

/// Names content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// `sha256:…`.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// What the image is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformEntry>,
}

impl Descriptor {
    /// BuildKit puts what it says of an image beside it, as a manifest for no platform.
    pub(crate) fn is_attestation(&self) -> bool {
        let marked = self.annotations.as_ref().is_some_and(|a| a.contains_key(ATTESTATION[0]));
        marked || self.platform.as_ref().is_some_and(|p| p.os == "unknown")
    }

    /// The manifest that an attestation is about.
    pub(crate) fn attests(&self) -> Option<&str> {
        let about = self.annotations.as_ref().and_then(|notes| notes.get(ATTESTATION[1]));
        about.filter(|_| self.is_attestation()).map(String::as_str)
    }

    /// For this machine, or for no particular one.
    pub(crate) fn is_native(&self) -> bool {
        self.platform.as_ref().is_none_or(|p| p.os == "linux" && p.architecture == host_architecture())
    }
}

/// What an index says of an image's platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in the specification of OCI")]
pub struct PlatformEntry {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(rename = "os.version", default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl From<&PlatformEntry> for model::Platform {
    fn from(entry: &PlatformEntry) -> Self {
        Self { os: entry.os.clone(), architecture: entry.architecture.clone(), variant: entry.variant.clone() }
    }
}

/// An index or a manifest: one document type, so that one that claims to be both is seen.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    #[serde(default)]
    pub(crate) media_type: Option<String>,
    #[serde(default)]
    pub(crate) config: Option<Descriptor>,
    #[serde(default)]
    pub(crate) layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    pub(crate) manifests: Option<Vec<Descriptor>>,
}

/// A document as a registry gets it.
#[derive(Debug, Clone)]
pub struct OutgoingManifest {
    /// As it is sent.
    pub bytes: Vec<u8>,
    /// What it is.
    pub media_type: String,
    /// `sha256:…`.
    pub digest: String,
}

impl OutgoingManifest {
    /// What names it.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        let size = self.bytes.len() as u64;
        Descriptor { media_type: self.media_type.clone(), digest: self.digest.clone(), size, ..Descriptor::default() }
    }
}

/// Parses a JSON document.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::Archive(format!("{what}: {e}")))
}

impl Document {
    /// CVE-2021-41190: a document is what its descriptor says, and not two things at once.
    pub(crate) fn check(self, what: &str, expected: &[&str]) -> Result<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str, expected: &[&str]) -> std::result::Result<(), String> {
        super::parse::<Document>("it", json.as_bytes()).and_then(|d| d.check("it", expected)).map(|_| ()).map_err(|e| e.to_string())
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
