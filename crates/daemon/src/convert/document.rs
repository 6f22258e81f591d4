//! The document that the engine keeps for us with each container: what was asked for, with Docker's defaults filled in.

use dhow_api::types::{Config, HostConfig, NetworkingConfig};
use serde::{Deserialize, Serialize};

/// Docker's view of a container's making. Fields may be added; what an older daemon wrote must stay readable.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Document {
    #[serde(rename = "Config")]
    pub(crate) config: Config,
    #[serde(rename = "HostConfig")]
    pub(crate) host_config: HostConfig,
    #[serde(rename = "NetworkingConfig")]
    pub(crate) networking: NetworkingConfig,
}

impl Document {
    /// Of a container. One that cannot be read (none of ours) shows defaults.
    pub(crate) fn of(container: &dhow_engine::model::Container) -> Self {
        serde_json::from_str(&container.request.document).unwrap_or_else(|error| {
            tracing::warn!(container = container.id, %error, "the container's document is unreadable");
            Self::default()
        })
    }

    /// For the engine to keep.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
