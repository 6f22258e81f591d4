//! The configuration is read again, on SIGHUP.

use crate::app::App;
use crate::config::Settings;
use crate::container_defaults::Defaults;
use crate::live::Live;
use crate::process::log;
use crate::runtimes::Runtimes;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use tracing_subscriber::filter::LevelFilter;

/// Bytes of `/dev/shm` where nobody says otherwise.
const SHM: i64 = 64 << 20;

/// Reads the configuration again, and looks for logs that were moved away. What cannot be used changes nothing.
pub(crate) fn reload(app: &App, handle: &log::Handle) {
    let engine = app.engine.clone();
    tokio::spawn(async move { engine.follow_logs().await });
    match app.settings.again().and_then(|settings| take(app, handle, settings)) {
        Ok(()) => tracing::info!("configuration read again"),
        Err(error) => tracing::error!("configuration not read again: {error:#}"),
    }
}

fn take(app: &App, handle: &log::Handle, settings: Settings) -> Result<()> {
    let live = Live::of(&settings);
    handle.modify(|filter| *filter = LevelFilter::from_level(live.level)).context("change the log level")?;
    app.engine.reconfigure(dhow_engine::Live {
        registry: live.registries.client.clone(),
        max_downloads: live.registries.downloads,
        max_uploads: live.registries.uploads,
        runtimes: settings.runtimes.foreign(),
    });
    let containers = app.facts.containers.get().reloaded(&settings.containers);
    let attributes = attributes(app, &live, &settings.runtimes, &containers);
    app.facts.containers.set(containers);
    app.facts.runtimes.set(settings.runtimes);
    app.live.set(live);
    app.engine.tell_reload(&app.facts.id, attributes);
    Ok(())
}

/// The event's, with what did not change as well.
fn attributes(app: &App, live: &Live, runtimes: &Runtimes, containers: &Defaults) -> BTreeMap<String, String> {
    let list = |items: &[String]| serde_json::to_string(items).unwrap_or_default();
    let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
    let registries = &live.registries;
    let features: Vec<String> = live.features.iter().map(|(name, on)| format!("{name}:{on}")).collect();
    let shm = if containers.shm_size == 0 { SHM } else { containers.shm_size };
    let shown: Vec<String> = runtimes.shown().iter().map(|(name, runtime)| format!("{name}:{}", runtime.path)).collect();
    let pairs = [
        ("name", app.facts.host.name.clone()),
        ("debug", live.debug().to_string()),
        ("labels", list(&live.labels)),
        ("live-restore", live.live_restore.to_string()),
        ("runtimes", shown.join(" ")),
        ("default-runtime", runtimes.default_name().to_owned()),
        ("default-shm-size", shm.to_string()),
        ("default-ipc-mode", or(&containers.ipc_mode, "private")),
        ("default-cgroupns-mode", or(&containers.cgroupns_mode, "private")),
        ("features", format!("map[{}]", features.join(" "))),
        ("insecure-registries", list(&registries.client.insecure)),
        ("registry-mirrors", list(&registries.client.mirrors)),
        ("max-concurrent-downloads", registries.downloads.to_string()),
        ("max-concurrent-uploads", registries.uploads.to_string()),
        ("max-download-attempts", registries.client.tries.to_string()),
        ("shutdown-timeout", live.shutdown_timeout.to_string()),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
