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

/// One line of a removal's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(String),
    /// An image or chain is gone.
    Deleted(String),
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
