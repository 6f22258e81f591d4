//! The daemon's life: set up, open the engine, listen, wait for a signal, leave.

use crate::app::App;
use crate::config::{DOCKER_SOCKET, Settings};
use crate::http::address::Address;
use crate::http::listen::{self, Listener, Manner};
use crate::process::{self, log};
use crate::{metrics, reload, remap, tls};
use anyhow::{Context, Result};
use dhow_engine::{Engine, Options};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

/// Worker threads, at most. The work is in the kernel, the shims and blocking calls; two keep one slow answer from holding all others.
const WORKERS: usize = 2;
/// Blocking calls at once: archives, log files, the database.
const BLOCKING: usize = 64;
/// Address space of a thread's stack.
const STACK: usize = 1 << 20;
/// A blocking thread without work ends after this.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// Without a request for so long the daemon is at rest.
const QUIET: Duration = Duration::from_millis(1500);

/// Runs the daemon with these settings until a signal ends it.
pub(crate) fn run(settings: Settings) -> Result<()> {
    let level = log::open(settings.level, settings.format, settings.background.then_some(settings.exec_root.as_path()))?;
    process::settle()?;
    if settings.background {
        process::leave_caller();
    }
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers(std::thread::available_parallelism().map_or(1, NonZero::get)))
        .max_blocking_threads(BLOCKING)
        .thread_stack_size(STACK)
        .thread_keep_alive(KEEP_ALIVE)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(serve(settings, level));
    // What is left are answers nobody may wait for any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Worker threads for so many processors. Half of them, since what a worker is told it tells another one, and that one, awake for nothing, takes
/// the processor that the spawner, a shim or a container wants.
fn workers(processors: usize) -> usize {
    (processors / 2).clamp(1, WORKERS)
}

async fn serve(settings: Settings, level: log::Handle) -> Result<()> {
    // Signals are listened to before anything is done that they should undo.
    let mut terminate = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen to SIGINT")?;
    let mut with_all = signal(SignalKind::from_raw(crate::stop::WITH_ALL.as_raw())).context("listen to SIGUSR2")?;
    let mut hangup = signal(SignalKind::hangup()).context("listen to SIGHUP")?;

    let engine = Engine::open(options(&settings)?).await.context("open the engine")?;
    let app = Arc::new(App::new(engine, settings)?);
    let started = listen_all(&app).await;
    let started = match started {
        Ok(listeners) => metrics::listen(&app).await.map(|task| (listeners, task)),
        Err(error) => Err(error),
    };
    let (listeners, _metrics) = match started {
        Ok(listeners) => listeners,
        Err(error) => {
            app.engine.close().await;
            return Err(error);
        }
    };
    process::write_pidfile(&app.settings.pidfile)?;
    process::notify("READY=1");
    tokio::spawn(rest(app.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), data_root = %app.settings.data_root.display(), "the daemon is ready");

    let stay = loop {
        tokio::select! {
            _ = terminate.recv() => break app.live.get().live_restore,
            _ = interrupt.recv() => break app.live.get().live_restore,
            _ = with_all.recv() => break false,
            _ = hangup.recv() => reload::reload(&app, &level),
        }
    };
    leave(&app, listeners, stay).await;
    Ok(())
}

/// Gives memory back once nothing was asked for a while: mostly this program's share in pages of code that only the start needed. They come
/// back from the page cache when they are touched. At rest there is no timer.
async fn rest(app: Arc<App>) {
    loop {
        while tokio::time::timeout(QUIET, app.activity.notified()).await.is_ok() {}
        if let Err(error) = dhow_sys::alloc::shed() {
            tracing::debug!(%error, "memory was not given back");
        }
        app.activity.notified().await;
    }
}

fn options(settings: &Settings) -> Result<Options> {
    Ok(Options {
        data_root: settings.data_root.clone(),
        exec_root: settings.exec_root.clone(),
        cgroup_parent: settings.cgroup_parent.clone(),
        cdi_dirs: settings.containers.cdi_dirs.clone(),
        log: dhow_engine::model::Log { driver: settings.log_driver.clone(), options: settings.log_opts.clone() },
        layers: settings.layers,
        registry: settings.registries.client.clone(),
        max_downloads: settings.registries.downloads,
        max_uploads: settings.registries.uploads,
        runtimes: settings.runtimes.foreign(),
        userns: remap::load(&settings.userns_remap)?,
        network: settings.network.clone(),
    })
}

/// A socket and the task that accepts its connections.
type Served = (Arc<Listener>, JoinHandle<()>);

async fn listen_all(app: &Arc<App>) -> Result<Vec<Served>> {
    let tls = app.settings.tls.as_ref().filter(|_| app.settings.hosts.iter().any(|host| !matches!(host, Address::Unix(_))));
    let manner = Manner { group: listen::socket_group(app.settings.group.as_deref())?, tls: tls.map(tls::Files::load).transpose()? };
    let mut bound = Vec::new();
    for address in &app.settings.hosts {
        match Listener::bind(address, &manner).await {
            Ok(listeners) => bound.extend(listeners.into_iter().map(Arc::new)),
            Err(error) => {
                bound.iter().for_each(|listener| listener.remove());
                return Err(error.into());
            }
        }
    }
    if app.settings.docker_socket && !listen::is_served(Path::new(DOCKER_SOCKET)) {
        match Listener::bind(&Address::Unix(DOCKER_SOCKET.into()), &manner).await {
            Ok(listeners) => bound.extend(listeners.into_iter().map(Arc::new)),
            Err(error) => tracing::warn!(%error, "Docker's own socket is not served"),
        }
    }
    let permits = listen::permits();
    let serve = |listener: Arc<Listener>| {
        tracing::info!("listening on {listener}");
        let task = tokio::spawn(listen::accept_all(app.clone(), listener.clone(), permits.clone()));
        (listener, task)
    };
    Ok(bound.into_iter().map(serve).collect())
}

/// How long containers may take to end: as long as is set, but no shorter than any of them may take on its own and somewhat more; `None`: as
/// long as they like. As with Docker.
fn patience(set: i64, own: impl Iterator<Item = Option<i64>>) -> Option<Duration> {
    const USUAL: i64 = 10;
    const GRACE: i64 = 5;
    let mut longest = set;
    for seconds in own.map(|own| own.unwrap_or(USUAL)) {
        longest = if longest < 0 || seconds < 0 { -1 } else { longest.max(seconds.saturating_add(GRACE)) };
    }
    u64::try_from(longest).ok().map(Duration::from_secs)
}

async fn leave(app: &App, listeners: Vec<Served>, stay: bool) {
    tracing::info!(containers_stay = stay, "the daemon is leaving");
    process::notify("STOPPING=1");
    for (listener, task) in listeners {
        task.abort();
        listener.remove();
    }
    if !stay {
        let all = app.engine.containers();
        let limit = patience(app.live.get().shutdown_timeout, all.iter().map(|container| container.request.stop_timeout));
        match limit {
            None => app.engine.stop_all().await,
            Some(limit) if tokio::time::timeout(limit, app.engine.stop_all()).await.is_err() => {
                tracing::warn!(seconds = limit.as_secs(), "not all containers have ended, and nobody waits for them any longer");
            }
            Some(_) => {}
        }
    }
    app.engine.close().await;
    if let Err(error) = std::fs::remove_file(&app.settings.pidfile) {
        tracing::debug!(%error, "the pid file was not removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_processors_work() {
        assert_eq!([1, 2, 3, 4, 64].map(workers), [1, 1, 1, 2, 2]);
    }

    #[test]
    fn time_for_a_shutdown() {
        let check = |set: i64, own: &[Option<i64>], expect: Option<u64>| {
            assert_eq!(patience(set, own.iter().copied()), expect.map(Duration::from_secs), "{set} {own:?}");
        };
        check(15, &[], Some(15));
        check(15, &[None, Some(30), Some(1)], Some(35));
        check(-1, &[None], None);
        check(60, &[None, Some(-1), Some(3)], None);
        check(1, &[None], Some(15));
    }
}
