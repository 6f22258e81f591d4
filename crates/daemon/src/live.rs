//! The part of the settings that may change while the daemon runs.

use crate::config::Settings;
use crate::registries::Registries;
use tracing::Level;

/// What is in force now.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) labels: Vec<String>,
    pub(crate) level: Level,
    pub(crate) live_restore: bool,
    pub(crate) registries: Registries,
}

impl Live {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            labels: settings.labels.clone(),
            level: settings.level,
            live_restore: settings.live_restore,
            registries: settings.registries.clone(),
        }
    }

    pub(crate) fn debug(&self) -> bool {
        self.level >= Level::DEBUG
    }
}
