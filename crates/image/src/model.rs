//! What the store tells of an image.

use dhow_reference::Reference;
use dhow_storage::ChainId;
use std::sync::Arc;

/// One image: its configuration, and what the store knows of it.
#[derive(Debug, Clone)]
pub struct Image {
    /// `sha256:…` of the configuration's bytes (Docker's image id).
    pub id: String,
    /// The configuration, parsed.
    pub config: oci_spec::image::ImageConfiguration,
    /// The configuration's bytes, as they came (Docker's extra fields, such as Healthcheck, OnBuild, Shell, are only here).
    pub raw: Arc<[u8]>,
    /// The top of its layers; `None` for an image without layers.
    pub chain: Option<ChainId>,
    /// Sum of its layers' content in bytes.
    pub size: u64,
    /// Names with a tag, sorted.
    pub tags: Vec<Reference>,
    /// Names with a digest, sorted.
    pub digests: Vec<Reference>,
    /// Digests of the documents that it came with (manifests, indexes, attestations), sorted.
    pub documents: Vec<String>,
    /// When it was last tagged here, nanoseconds since 1970.
    pub last_tagged: Option<i64>,
    /// Image that it was built from here, for `image ls -a` and removal rules.
    pub parent: Option<String>,
}

/// One line of a load's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// `Loaded image: NAME:TAG`.
    Tagged(Reference),
    /// `Loaded image ID: sha256:…`.
    Untagged(String),
    /// The tag pointed to another image, which keeps its id only:
    /// `The image NAME:TAG already exists, renaming the old one with ID sha256:… to empty string`.
    Renamed {
        /// The tag.
        name: Reference,
        /// The old image.
        old: String,
    },
}

/// What a load tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadStep {
    /// A layer is being unpacked: so many bytes of its archive are done.
    Layer {
        /// Its diff id.
        diff: String,
        /// Bytes that are done.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// An image is there, by this id.
    Image(String),
    /// A line for the person.
    Line(Loaded),
}

/// One line of a removal's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(String),
    /// An image is gone.
    Deleted(String),
    /// A chain of layers is gone.
    Layer(String),
}

/// Use of an image by a container, which the engine knows: decides what a removal may do.
#[derive(Debug, Clone)]
pub struct User {
    /// The container's id.
    pub container: String,
    /// It is running.
    pub running: bool,
    /// The image's id.
    pub image: String,
    /// The name by which it was made, if any.
    pub reference: Option<String>,
}

/// What an image is made for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`; empty where any will do.
    pub architecture: String,
    /// `v8`; empty where any will do.
    pub variant: String,
}

impl Platform {
    /// What this image is made for.
    pub fn of(image: &oci_spec::image::ImageConfiguration) -> Self {
        Self {
            os: image.os().to_string(),
            architecture: image.architecture().to_string(),
            variant: image.variant().clone().unwrap_or_default(),
        }
    }

    /// An image for `other` will do.
    pub fn accepts(&self, other: &Self) -> bool {
        let fits = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        fits(&self.os, &other.os)
            && fits(normal(&self.architecture), normal(&other.architecture))
            // arm64 is v8 where nothing is said.
            && (fits(&self.variant, &other.variant) || (self.variant == "v8" && other.variant.is_empty()))
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [&self.os, &self.architecture, &self.variant];
        let given: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        f.write_str(&given.join("/"))
    }
}

/// Other names of an architecture.
fn normal(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What an imported image says of itself.
#[derive(Debug, Clone, Default)]
pub struct ImportConfig {
    /// Comment of its history entry (`Imported from -`).
    pub comment: String,
    /// `os/arch[/variant]`; this machine's where empty.
    pub platform: Option<String>,
    /// The `config` object, in Docker's spelling.
    pub config: Option<serde_json::Value>,
}

/// This machine's architecture in image terms.
pub(crate) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Platform;

    #[test]
    fn platforms() {
        let platform = |text: &str| {
            let mut parts = text.split('/').map(str::to_owned);
            let mut next = || parts.next().unwrap_or_default();
            Platform { os: next(), architecture: next(), variant: next() }
        };
        for (wanted, found, expect) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/x86_64", "linux/amd64", true),
            ("linux", "linux/s390x", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm64", "linux/amd64", false),
            ("windows", "linux/amd64", false),
        ] {
            assert_eq!(platform(wanted).accepts(&platform(found)), expect, "{wanted} {found}");
        }
        assert_eq!(platform("linux/arm64/v8").to_string(), "linux/arm64/v8");
    }
}
