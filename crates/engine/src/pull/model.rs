//! What a pull is asked, and what it tells.

use crate::error::{Error, Kind, Result};
use dhow_reference::Reference;
use dhow_registry::Credentials;
use tokio::sync::mpsc;

/// What is to be pulled.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// With a tag or a digest; without either, every tag of the repository.
    pub name: Reference,
    /// `os/arch[/variant]`; this machine's where empty.
    pub platform: String,
    /// For the registry of the name.
    pub credentials: Credentials,
}

/// What a pull tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullStep {
    /// It begins with one tag or digest of a repository.
    From {
        /// `library/busybox`.
        repository: String,
        /// The tag or digest.
        wanted: String,
    },
    /// About a layer, by the digest that it is fetched by.
    Layer(String, LayerStep),
    /// The digest that the registry has for the name.
    Digest(String),
    /// The name is up to date, or it was not and is now.
    Done {
        /// The name.
        name: Reference,
        /// Another image than before.
        newer: bool,
    },
    /// Something that a person should know.
    Warning(String),
}

/// What happens to a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "Docker's words by their names; bytes, seconds")]
pub enum LayerStep {
    Pulling,
    Exists,
    Waiting,
    Downloading { done: u64, total: u64 },
    Retrying { seconds: u64 },
    Verifying,
    Downloaded,
    Extracting { done: u64, total: u64 },
    Complete,
}

/// Who hears of the steps. A bounded channel: a listener that does not read holds nothing up but the telling.
pub type Tell = mpsc::Sender<PullStep>;

/// Tells a step. Who asked and does not listen any more does not want the image any more.
pub(super) async fn say(tell: &Tell, step: PullStep) -> Result<()> {
    tell.send(step).await.map_err(|_| Error::new(Kind::Unavailable, "context canceled"))
}
