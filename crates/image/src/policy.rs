//! Which bytes stay when a layer is in its place.

use crate::error::Result;
use crate::store::Images;
use dhow_storage::{ChainId, DiffId};

/// What becomes of the compressed bytes that a layer came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compressed {
    /// They stay as long as an image needs them, so that a push or `save` gives back the very bytes.
    #[default]
    Keep,
    /// They go where the layer's own tar is kept. A push compresses it again, under another digest.
    Drop,
}

impl Images {
    /// The same store with this policy, which is about what comes from now on.
    #[must_use]
    pub fn with_compressed(mut self, policy: Compressed) -> Self {
        self.compressed = policy;
        self
    }

    /// Whether these bytes of a chain's top layer stay. A directory does not give back the tar that it came from, so nothing else may go.
    pub(crate) fn stays(&self, digest: &str, diff: &DiffId, chain: &ChainId) -> Result<bool> {
        Ok(self.compressed == Compressed::Keep || digest == diff.as_str() || self.layers.kept_tar(chain)?.is_none())
    }

    /// Removes what an operation brought and did not keep. Others that work with it hold it.
    pub(crate) fn collect_dropped(&self, blobs: &[String]) {
        if self.compressed == Compressed::Drop {
            self.collect(blobs.to_vec(), Vec::new());
        }
    }
}
