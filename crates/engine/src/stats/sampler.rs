//! The task that samples, as long as anybody looks.

use super::board::Sample;
use super::{machine, network};
use crate::clock;
use crate::container::machine::is_active;
use crate::container::start::cgroup_path;
use crate::model::{Container, NetworkMode};
use crate::parts::Parts;
use dhow_runtime::cgroup::{Cgroup, Meter};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Between two samples of a container.
const PERIOD: Duration = Duration::from_secs(1);
/// A container whose last sample is younger than this waits for the turn after: a share reckoned over a moment says nothing.
const YOUNG: i64 = 400_000_000;
/// Open files of one container, at most.
const FILES_EACH: u64 = 16;

/// What is open of one container's run.
struct Source {
    run: (i32, u64),
    meter: Meter,
    network: Option<File>,
}

/// Everything that stays open between two turns.
#[derive(Default)]
struct Sources {
    open: HashMap<String, Source>,
}

/// Samples until nobody looks.
pub(super) async fn run(parts: Arc<Parts>) {
    let mut sources = Sources::default();
    let mut tick = tokio::time::interval_at(Instant::now() + PERIOD, PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let all = tokio::select! {
            _ = tick.tick() => true,
            () = parts.stats.news.notified() => false,
        };
        if parts.is_closing() || (all && stop_if_unwatched(&parts)) {
            return;
        }
        let due = due(&parts, all);
        if due.is_empty() {
            continue;
        }
        let work = tokio::task::spawn_blocking({
            let parts = parts.clone();
            move || {
                // Files of those that nobody watches any more are closed at the end of the second.
                if all {
                    let entries = parts.stats.lock();
                    sources.open.retain(|id, _| entries.by_id.contains_key(id));
                }
                sources.sample(&parts, due);
                sources
            }
        });
        sources = match work.await {
            Ok(back) => back,
            Err(error) => {
                tracing::error!(%error, "sampling failed");
                Sources::default()
            }
        };
    }
}

fn stop_if_unwatched(parts: &Parts) -> bool {
    let mut entries = parts.stats.lock();
    entries.sampling = !entries.by_id.is_empty();
    !entries.sampling
}

/// Whose turn it is: who was not sampled yet, or `all` but those that just were. A container that is gone leaves the board.
fn due(parts: &Parts, all: bool) -> Vec<Arc<Container>> {
    let mut entries = parts.stats.lock();
    let fresh = std::mem::take(&mut entries.fresh);
    let wanted: Vec<String> = if all { entries.by_id.keys().cloned().collect() } else { fresh };
    let now = clock::now();
    let mut due = Vec::with_capacity(wanted.len());
    for id in wanted {
        let Some(watched) = entries.by_id.get(&id) else { continue };
        let young = watched.sender.borrow().as_ref().is_some_and(|last| !all || now - last.at < YOUNG);
        match parts.registry.get(&id) {
            Ok(slot) if !young => due.push(slot.get()),
            Ok(_) => {}
            Err(_) => drop(entries.by_id.remove(&id)),
        }
    }
    due
}

impl Sources {
    /// One turn.
    fn sample(&mut self, parts: &Parts, due: Vec<Arc<Container>>) {
        let kept = files_to_keep();
        let (machine_cpu, cpus) = machine::cpu(&read("/proc/stat"));
        let machine_memory = machine::memory(&read("/proc/meminfo"));
        for container in due {
            let sample = match self.one(parts, &container, kept) {
                Some((usage, networks)) => Sample { at: clock::now(), usage, machine_cpu, cpus, machine_memory, networks },
                None => Sample::default(),
            };
            if let Some(watched) = parts.stats.lock().by_id.get(&container.id) {
                watched.sender.send_replace(Some(Arc::new(sample)));
            }
        }
    }

    /// One container; `None` where it does not run (any more).
    fn one(
        &mut self,
        parts: &Parts,
        container: &Container,
        kept: usize,
    ) -> Option<(super::Reading, Option<Vec<(String, super::Interface)>>)> {
        let state = &container.state;
        if !is_active(state.status) {
            self.open.remove(&container.id);
            return None;
        }
        let run = (state.pid, state.pid_start_time);
        let mut source = match self.open.remove(&container.id) {
            Some(source) if source.run == run => source,
            _ => Source::open(parts, container, run)?,
        };
        let usage = source.meter.read().ok()?;
        let networks = source.network.as_ref().map(read_network);
        if self.open.len() < kept {
            self.open.insert(container.id.clone(), source);
        }
        Some((usage, networks))
    }
}

impl Source {
    fn open(parts: &Parts, container: &Container, run: (i32, u64)) -> Option<Self> {
        let cgroup = Cgroup::at(&cgroup_path(parts, container)).ok()?;
        let network = match container.request.host.network {
            NetworkMode::None | NetworkMode::Host => None,
            // Its own or another container's.
            _ => File::open(format!("/proc/{}/net/dev", run.0)).ok(),
        };
        Some(Self { run, meter: Meter::open(&cgroup), network })
    }
}

fn read_network(file: &File) -> Vec<(String, super::Interface)> {
    let mut bytes = vec![0; 16 * 1024];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    network::parse(&String::from_utf8_lossy(&bytes[..length]))
}

/// Containers whose files stay open: a fourth of the descriptors that this process may have.
fn files_to_keep() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 16);
    usize::try_from(limit / 4 / FILES_EACH).unwrap_or(usize::MAX)
}

/// A file of the kernel, of which the first part is enough.
fn read(path: &str) -> String {
    let mut text = String::new();
    let done = File::open(path).and_then(|file| file.take(64 * 1024).read_to_string(&mut text));
    if let Err(error) = done {
        tracing::debug!(path, %error, "not read");
    }
    text
}
