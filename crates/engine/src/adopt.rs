//! Opening: containers that run are found again, those that ended while nobody looked are recorded, half-made things are removed.

use crate::container::command::Command;
use crate::container::end::delete_content;
use crate::container::machine::is_active;
use crate::container::slot::Slot;
use crate::container::tell::tell;
use crate::container::{self, Adopted};
use crate::create::log;
use crate::error::{Error, Result};
use crate::model::{Container, NetworkMode, Status};
use crate::parts::Parts;
use crate::{clock, health, ids, network, restart, sandbox, volumes};
use dhow_shim::handle::{Shim, clean_up, recorded_exit};
use dhow_shim::protocol::{Exit, State};
use futures_util::StreamExt;
use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// Exit code of a container that was killed with its shim.
const KILLED: i32 = 137;
/// Exit code of a container of which nothing is left, as after a restart of the machine.
const LOST: i32 = 255;
/// Containers that are started side by side when the engine starts.
const STARTS: usize = 8;

/// Takes up every container of the store, all at once.
pub(crate) async fn adopt(parts: &Arc<Parts>, containers: Vec<Container>) -> Result<()> {
    let mut work = JoinSet::new();
    for container in containers {
        if let Err(error) = parts.registry.reserve(&container.name, &container.id) {
            tracing::error!(container = container.id, %error, "two containers have one name");
            continue;
        }
        let parts = parts.clone();
        work.spawn(async move { one(&parts, container).await });
    }
    while let Some(done) = work.join_next().await {
        if let Err(error) = done {
            tracing::error!(%error, "a container was not taken up");
        }
    }
    sweep(parts).await;
    volumes::settle(parts);
    Ok(())
}

async fn one(parts: &Arc<Parts>, mut container: Container) {
    let dir = parts.shim_dir(&container.id);
    let was_active = is_active(container.state.status);
    let between = container.state.status == Status::Restarting;
    if (!was_active || between) && !dir.exists() {
        return at_rest(parts, container).await;
    }
    match Shim::connect(&container.id, &dir).await {
        Ok(running) => {
            parts.layers.adopt(running.shim.pid());
            complete(parts, &mut container);
            if let Some(report) = &running.health {
                health::adopted(parts, &mut container, report, matches!(running.state, State::Running { .. }));
            }
            match &running.state {
                State::Running { pid, start_time, at } => {
                    if !was_active || between {
                        container.state.status = Status::Running;
                    }
                    container.state.restarts.due = None;
                    container.state.pid = *pid;
                    container.state.pid_start_time = *start_time;
                    container.state.started_at = Some(*at);
                    parts.store.state_later(&container.id, &container.state);
                }
                // An end that is not recorded yet: the actor does that.
                State::Exited(exit) if container.state.finished_at != Some(exit.at) => {
                    container.state.status = Status::Running;
                    container.state.started_at.get_or_insert(exit.at);
                }
                State::Exited(_) | State::Starting | State::Unknown => {}
            }
            network::adopt(&parts.networks, &container);
            tracing::info!(container = container.id, shim = running.shim.pid(), "adopted");
            let volumes = volumes::adopt(parts, &container);
            let slot = container::spawn(parts, container, Some(Adopted { running, volumes }));
            parts.registry.insert(slot);
        }
        Err(error) => {
            tracing::warn!(container = container.id, %error, "its shim cannot be reached");
            lost(parts, container, dir).await;
        }
    }
}

/// The engine may have died after the start and before what it found out was written.
fn complete(parts: &Parts, container: &mut Container) {
    let own = !matches!(container.request.host.network, NetworkMode::Container(_));
    if own && container.sandbox.key.is_empty() {
        container.sandbox = sandbox::described(parts, container);
    }
    let usual = parts.log_file(&container.id);
    if let Some(path) = log::file(&container.request.host.log, usual).filter(|_| container.log_path.is_empty()) {
        container.log_path = path.to_string_lossy().into_owned();
    }
}

/// Makes the host what the networks need, now that all is known that runs.
pub(crate) async fn bring_networks_up(parts: &Arc<Parts>) {
    let all: Vec<Arc<Container>> = parts.registry.all().iter().map(|slot| slot.get()).collect();
    let places = all.iter().flat_map(|container| container.networks.values()).filter_map(|membership| membership.place.as_ref());
    let known: HashSet<String> = places.map(|place| place.port.clone()).collect();
    let work = parts.clone();
    if let Err(error) = crate::container::links::open(parts, None) {
        tracing::warn!(%error, "links may open nothing");
    }
    if let Err(error) = tokio::task::spawn_blocking(move || work.networks.bring_up(&known)).await {
        tracing::error!(%error, "networks were not brought up");
    }
}

/// Answers what containers asked for names meanwhile, now that all are known that have one.
pub(crate) async fn serve_names(parts: &Parts) {
    for slot in parts.registry.all() {
        let container = slot.get();
        if container.state.pid != 0 && network::has_names(&container) && slot.send(Command::ServeNames).await.is_err() {
            tracing::debug!(container = container.id, "it has gone meanwhile");
        }
    }
}

/// Sees to it that the packet filter's table stays: who clears the rules of a host clears ours too.
pub(crate) fn guard_networks(parts: &Arc<Parts>) {
    let (mut watch, ready) = match parts.networks.watch().and_then(|watch| Ok((readiness(&watch)?, watch))) {
        Ok((ready, watch)) => (watch, ready),
        Err(error) => return tracing::warn!(%error, "the packet filter is not watched"),
    };
    let parts = Arc::downgrade(parts);
    tokio::spawn(async move {
        while ready.readable().await.is_ok() {
            // All of it is read now; what comes from here on wakes us again.
            let _ = ready.try_io(Interest::READABLE, || Err::<(), _>(std::io::ErrorKind::WouldBlock.into()));
            let Some(parts) = parts.upgrade() else { return };
            match parts.networks.restore(&mut watch) {
                Ok(false) => {}
                Ok(true) => {
                    // Who changes one rule often changes more.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    parts.networks.cooperate();
                }
                Err(error) => {
                    tracing::error!(%error, "the packet filter's table may not be there");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
}

/// tokio has no type for netlink sockets; its stream waits for readiness just as well, and nothing is read or written through it.
fn readiness(socket: &impl AsFd) -> Result<UnixStream> {
    let copy = socket.as_fd().try_clone_to_owned().map(std::os::unix::net::UnixStream::from);
    let copy = copy.and_then(|copy| copy.set_nonblocking(true).map(|()| copy)).and_then(UnixStream::from_std);
    copy.map_err(|e| Error::internal("watch", "the packet filter", e))
}

/// Starts what ran and whose policy says so, in the background: those that join another's namespaces after it, a few at a time.
pub(crate) fn start_again(parts: &Arc<Parts>) {
    let all: Vec<Arc<Container>> = parts.registry.all().iter().map(|slot| slot.get()).collect();
    let wanted = all.iter().filter(|c| c.state.status == Status::Exited && restart::at_open(c));
    let rounds = restart::rounds(wanted.map(Arc::as_ref));
    if rounds.is_empty() {
        return;
    }
    let parts = parts.clone();
    let work = {
        let parts = parts.clone();
        async move {
            for round in rounds {
                let parts = &parts;
                futures_util::stream::iter(round).for_each_concurrent(STARTS, |id| async move { start_one(parts, &id).await }).await;
            }
        }
    };
    parts.background.spawn(work);
}

async fn start_one(parts: &Parts, id: &str) {
    // One that was removed meanwhile needs nothing; one that was started is left alone.
    let Ok(slot) = parts.registry.get(id) else { return };
    if parts.is_closing() {
        return;
    }
    match slot.ask(Command::StartAtOpen).await {
        Ok(()) => tracing::info!(container = id, "started again"),
        Err(error) => tracing::error!(container = id, %error, "it was not started again"),
    }
}

/// It does not run. One that was to be removed at its end, and has ended, is.
async fn at_rest(parts: &Arc<Parts>, mut container: Container) {
    network::forget(&mut container);
    if container.request.auto_remove || container.state.status == Status::Removing {
        return remove(parts, container).await;
    }
    let slot = container::spawn(parts, container, None);
    parts.registry.insert(slot);
}

/// Its shim is gone: what is on disk says how it ended.
async fn lost(parts: &Arc<Parts>, mut container: Container, dir: PathBuf) {
    let existed = dir.exists();
    let exit = recorded_exit(&dir).unwrap_or_else(|error| {
        tracing::warn!(container = container.id, %error, "the recorded exit cannot be read");
        None
    });
    if container.state.status == Status::Restarting && exit.as_ref().is_none_or(|exit| container.state.finished_at == Some(exit.at)) {
        // Its last run is known. The shim was on its way out, or on its way to the next run.
        clean(dir).await;
        return at_rest(parts, container).await;
    }
    let exit = exit.unwrap_or(Exit { code: if existed { KILLED } else { LOST }, at: clock::now(), oom: false });
    clean(dir).await;
    if is_active(container.state.status) || existed {
        let state = &mut container.state;
        state.status = Status::Exited;
        health::ended(state);
        state.pid = 0;
        state.pid_start_time = 0;
        state.exit_code = exit.code;
        state.oom_killed |= exit.oom;
        state.started_at.get_or_insert(exit.at);
        state.finished_at = Some(exit.at);
        if let Err(error) = parts.store.state(&container.id, &container.state).await {
            tracing::error!(container = container.id, %error, "the exit was not recorded");
        }
        let seconds = exit.at.saturating_sub(container.state.started_at.unwrap_or(exit.at)).max(0) / 1_000_000_000;
        tell(parts, &container, "die", &[("exitCode", exit.code.to_string()), ("execDuration", seconds.to_string())]);
    }
    at_rest(parts, container).await;
}

async fn remove(parts: &Arc<Parts>, container: Container) {
    if let Err(error) = parts.store.delete(&container.id).await {
        tracing::error!(container = container.id, %error, "it was not removed");
        let slot = container::spawn(parts, container, None);
        parts.registry.insert(slot);
        return;
    }
    parts.registry.remove(&container.id);
    tell(parts, &container, "destroy", &[]);
    let (parts, id, image) = (parts.clone(), container.id, container.image_id);
    if let Err(error) = tokio::task::spawn_blocking(move || delete_content(&parts, &id, Some(&image))).await {
        tracing::error!(%error, "a removal failed");
    }
}

async fn clean(dir: PathBuf) {
    for _ in 0..200 {
        let work = dir.clone();
        match tokio::task::spawn_blocking(move || clean_up(&work)).await.map_err(std::io::Error::other).and_then(|r| r) {
            Ok(()) => return,
            // A shim on its way out closes one thing after the other.
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => {
                tracing::warn!(directory = %dir.display(), %error, "not all that a shim left was removed");
                return;
            }
        }
    }
    tracing::warn!(directory = %dir.display(), "its shim neither answers nor ends");
}

/// Names in a directory; a missing one has none.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// Removes what no record speaks of: shims whose container was removed in the same instant, directories, pinned namespaces.
async fn sweep(parts: &Arc<Parts>) {
    let known: HashSet<String> = parts.registry.all().iter().map(|s: &Arc<Slot>| s.id.clone()).collect();
    let short: HashSet<&str> = known.iter().map(|id| ids::short(id)).collect();
    let containers = parts.options.data_root.join("containers");
    let orphans: Vec<String> = names(&containers).into_iter().filter(|n| !known.contains(n)).collect();
    let shims = parts.options.exec_root.join("c");
    for name in names(&shims).into_iter().filter(|n| !short.contains(n.as_str())) {
        let dir = shims.join(&name);
        // Its record went before its directory, so the directory still tells the whole id.
        if let Some(id) = orphans.iter().find(|id| ids::short(id) == name) {
            end_orphan(id, &dir).await;
        }
        if dir.exists() {
            clean(dir).await;
        }
    }
    for id in orphans {
        if ids::is_full(&id) {
            let parts = parts.clone();
            let done = tokio::task::spawn_blocking(move || delete_content(&parts, &id, None)).await;
            if let Err(error) = done {
                tracing::error!(%error, "a removal failed");
            }
        }
    }
    let pins = parts.options.exec_root.join("netns");
    for name in names(&pins).into_iter().filter(|n| !short.contains(n.as_str())) {
        let pin = pins.join(name);
        let flags = rustix::mount::UnmountFlags::DETACH | rustix::mount::UnmountFlags::NOFOLLOW;
        match rustix::mount::unmount(&pin, flags) {
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => tracing::warn!(pin = %pin.display(), %error, "a pinned namespace was not unmounted"),
        }
        if let Err(error) = std::fs::remove_file(&pin) {
            tracing::warn!(pin = %pin.display(), %error, "a pinned namespace was not removed");
        }
    }
}

/// A shim without a record: its container was removed, or was never recorded. It ends.
async fn end_orphan(id: &str, dir: &Path) {
    let Ok(running) = Shim::connect(id, dir).await else { return };
    if !matches!(running.state, State::Exited(_)) {
        tracing::warn!(container = id, "it runs without a record and is killed");
        if let Err(error) = running.shim.kill(crate::signal::KILL, true).await {
            tracing::warn!(container = id, %error, "it was not killed");
        }
        let mut events = running.events;
        let ended = async {
            while let Some(event) = events.recv().await {
                if matches!(event, dhow_shim::handle::Event::Exited(_) | dhow_shim::handle::Event::Gone) {
                    break;
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(10), ended).await.is_err() {
            tracing::warn!(container = id, "it did not end");
        }
    }
    if let Err(error) = running.shim.release().await {
        tracing::warn!(container = id, %error, "its shim did not end as asked");
    }
}
