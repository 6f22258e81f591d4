//! The image store: what the engine calls. All calls block.

use dhow_reference::Reference;
use dhow_storage::{ChainId, LayerStore};
use std::io::Read;
use std::path::Path;
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

/// What the store answers when it cannot. The messages are Docker's where Docker has one.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("No such image: {0}")]
    NotFound(String),
    #[error("{0}")]
    Reference(#[from] dhow_reference::Error),
    #[error("invalid archive: {0}")]
    Archive(String),
    #[error("conflict: {0}")]
    Conflict(String),
    #[error(transparent)]
    Storage(#[from] dhow_storage::Error),
    #[error("{op} {object}: {source}")]
    Io { op: &'static str, object: String, source: std::io::Error },
    #[error("image database: {0}")]
    Database(String),
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Use of an image by containers, which the engine knows: decides what a removal may do.
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

/// The image store.
#[derive(Debug)]
pub struct Images {}

impl Images {
    /// Opens the store under `root` (made 0700 where missing), finishing or removing what a crash left.
    pub fn open(_root: &Path, _layers: Arc<dyn LayerStore>) -> Result<Self> {
        todo!()
    }
    /// Every image, unsorted.
    pub fn list(&self) -> Result<Vec<Arc<Image>>> {
        todo!()
    }
    /// By name, `name:tag`, `name@digest`, full or short id, with or without `sha256:`, in Docker's order.
    pub fn resolve(&self, _name: &str) -> Result<Arc<Image>> {
        todo!()
    }
    /// Adds or moves a tag. Refuses digests.
    pub fn tag(&self, _source: &str, _target: &Reference) -> Result<Arc<Image>> {
        todo!()
    }
    /// Docker's rules for untagging and deleting (force, prune of untagged parents).
    pub fn remove(&self, _name: &str, _force: bool, _prune: bool, _users: &[User]) -> Result<Vec<Removed>> {
        todo!()
    }
    /// Takes in a docker-archive or OCI layout tar, plain or compressed (gzip, zstd). All or nothing per image.
    pub fn load(&self, _archive: &mut dyn Read) -> Result<Vec<Loaded>> {
        todo!()
    }
    /// Makes an image of one layer from a root filesystem tar, plain or compressed. `changes` are applied to `config` by the caller.
    pub fn import(&self, _tar: &mut dyn Read, _config: ImportConfig, _target: Option<&Reference>) -> Result<Arc<Image>> {
        todo!()
    }
    /// The image embedded in the program (`hello`), taken in as by a pull. `None` if there is none of this name.
    pub fn embedded(&self, _name: &Reference) -> Result<Option<Arc<Image>>> {
        todo!()
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
