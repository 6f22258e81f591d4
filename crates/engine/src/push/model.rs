//! What a push is asked, and what it tells.

use crate::error::{Error, Kind, Result};
use dhow_image::{Descriptor, Platform};
use dhow_reference::Reference;
use dhow_registry::Credentials;
use tokio::sync::mpsc;

/// What is to be pushed.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// With a tag; without one, every tag of the repository.
    pub name: Reference,
    /// Only an image for this platform.
    pub platform: Option<Platform>,
    /// For the registry of the name.
    pub credentials: Credentials,
}

/// What a push tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushStep {
    /// It begins, to this repository (`docker.io/library/busybox`).
    To(String),
    /// About a layer, by the digest of its content.
    Layer(String, LayerStep),
    /// The registry has the tag.
    Pushed {
        /// The tag.
        tag: String,
        /// Of the manifest.
        digest: String,
        /// Bytes of the manifest.
        size: u64,
    },
    /// The name stands for an index, but not all of that is here: one image was pushed under it.
    InsteadOfIndex {
        /// The index.
        index: Box<Descriptor>,
        /// The manifest that the tag means there.
        selected: Box<Descriptor>,
    },
}

/// What happens to a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "Docker's words by their names; bytes")]
pub enum LayerStep {
    Preparing,
    Waiting,
    Pushing {
        done: u64,
        total: u64,
    },
    Pushed,
    Exists,
    /// From another repository of the registry.
    Mounted(String),
}

/// Who hears of the steps.
pub type Tell = mpsc::Sender<PushStep>;

/// Tells a step. When nobody listens any more, the push ends.
pub(super) async fn say(tell: &Tell, step: PushStep) -> Result<()> {
    tell.send(step).await.map_err(|_| Error::new(Kind::Unavailable, "context canceled"))
}
