//! The part of the settings that may change while the daemon runs.

use crate::config::Settings;
use crate::registries::Registries;
use std::collections::BTreeMap;
use tracing::Level;

/// What is in force now.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) labels: Vec<String>,
    pub(crate) level: Level,
    pub(crate) live_restore: bool,
    pub(crate) registries: Registries,
    /// Seconds for containers to end when the engine ends them; negative: as long as they like.
    pub(crate) shutdown_timeout: i64,
    /// Switched on or off by name.
    pub(crate) features: BTreeMap<String, bool>,
}

impl Live {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            labels: settings.labels.clone(),
            level: settings.level,
            live_restore: settings.live_restore,
            registries: settings.registries.clone(),
            shutdown_timeout: settings.shutdown_timeout,
            features: settings.containers.features.clone(),
        }
    }

    pub(crate) fn debug(&self) -> bool {
        self.level >= Level::DEBUG
    }
}
