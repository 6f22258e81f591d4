//! Names of content: `sha256:` and 64 hex digits.

use serde::{Deserialize, Serialize};

/// Digest of a layer's uncompressed tar.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DiffId(String);

/// Digest of a stack of layers (image-spec, "ChainID").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChainId(String);
