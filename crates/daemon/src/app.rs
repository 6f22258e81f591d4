//! What all handlers share.

use crate::config::Settings;
use crate::containers::run::Runs;
use crate::current::Current;
use crate::facts::Facts;
use crate::live::Live;
use crate::system::host::HostFacts;
use anyhow::{Context, Result};
use dhow_engine::Engine;
use std::path::Path;
use tokio::sync::Notify;

/// The engine, the settings, and what does not change while the daemon runs.
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) settings: Settings,
    pub(crate) facts: Facts,
    /// What a reload changes.
    pub(crate) live: Current<Live>,
    /// Told of every request.
    pub(crate) activity: Notify,
    /// What was created and started by one request.
    pub(crate) runs: Runs,
}

impl App {
    /// Puts it together once the engine is open.
    pub(crate) fn new(engine: Engine, settings: Settings) -> Result<Self> {
        let (id, made) = engine_id(&settings.data_root)?;
        let facts = Facts {
            host: HostFacts::read(),
            id,
            made,
            log_driver: settings.log_driver.clone(),
            bridged: settings.network.bridge.is_some(),
            runtimes: Current::new(settings.runtimes.clone()),
            containers: Current::new(settings.containers.clone()),
            data_root: settings.data_root.clone(),
        };
        let live = Current::new(Live::of(&settings));
        Ok(Self { engine, facts, settings, live, activity: Notify::new(), runs: Runs::default() })
    }
}

/// Reads the engine's id, or makes one.
fn engine_id(root: &Path) -> Result<(String, i64)> {
    let path = root.join("engine-id");
    let read = || -> std::io::Result<(String, i64)> {
        let id = std::fs::read_to_string(&path)?;
        let made = std::fs::metadata(&path)?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok((id.trim().to_owned(), i64::try_from(made.as_nanos()).unwrap_or(0)))
    };
    match read() {
        Ok(found) if !found.0.is_empty() => return Ok(found),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("read {}", path.display()));
        }
        _ => {}
    }
    let fresh = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("make an engine id")?;
    let partial = root.join("engine-id.new");
    std::fs::write(&partial, fresh.trim()).with_context(|| format!("write {}", partial.display()))?;
    std::fs::rename(&partial, &path).with_context(|| format!("write {}", path.display()))?;
    read().with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (id, made) = engine_id(dir.path()).unwrap();
        assert_eq!(id.len(), 36);
        assert_eq!(engine_id(dir.path()).unwrap(), (id, made));
    }
}
