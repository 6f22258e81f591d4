//! What was measured, and who looks.

use super::network::Interface;
use dhow_runtime::cgroup::Reading;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// What one container used up to a moment.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Nanoseconds since 1970; 0 where the container does not run: then all is zero.
    pub at: i64,
    /// What the control groups say.
    pub usage: Reading,
    /// CPU time of the whole machine in nanoseconds.
    pub machine_cpu: u64,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Memory of the machine in bytes: the limit of containers that have none.
    pub machine_memory: u64,
    /// Interfaces by name; `None` where the container has no network of its own.
    pub networks: Option<Vec<(String, Interface)>>,
}

/// One container that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) sender: watch::Sender<Option<Arc<Sample>>>,
    pub(super) readers: usize,
}

/// Who is watched.
#[derive(Debug, Default)]
pub(crate) struct Board {
    watched: Mutex<Entries>,
    /// Somebody new is watched.
    pub(super) news: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) by_id: HashMap<String, Watched>,
    /// Who is watched since the last turn of the sampler.
    pub(super) fresh: Vec<String>,
    /// The task runs.
    pub(super) sampling: bool,
}

impl Board {
    /// The watched ones, for a moment.
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
