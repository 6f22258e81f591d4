//! Control groups on v1, hybrid and v2 (the file system driver).

use crate::error::Result;
use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which hierarchies this host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Only v1 hierarchies.
    V1,
    /// v1 hierarchies with controllers, and a v2 hierarchy beside them.
    Hybrid,
    /// The unified hierarchy alone.
    V2,
}

/// One container's directory in every hierarchy. As data it is enough to find the directories again after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The host's mode.
    pub mode: Mode,
    /// (controllers, absolute directory), one for each hierarchy.
    pub dirs: Vec<(String, PathBuf)>,
}

/// What the container used. Zero where a controller is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in nanoseconds: total, user, system.
    pub cpu_total: u64,
    /// User part.
    pub cpu_user: u64,
    /// System part.
    pub cpu_system: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Inactive file pages in bytes, which `stats` takes off.
    pub memory_inactive_file: u64,
    /// Limit in bytes, if there is one.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// How often the kernel killed a process of the group for lack of memory.
    pub oom_kills: u64,
}

impl Cgroup {
    /// Makes `path` (absolute within the hierarchies, as in `linux.cgroupsPath`) in every hierarchy and applies the limits. On an error
    /// the directories that were made are removed again.
    pub fn create(_path: &str, _resources: Option<&LinuxResources>) -> Result<Self> {
        todo!()
    }
    /// Applies changed limits.
    pub fn update(&self, _resources: &LinuxResources) -> Result<()> {
        todo!()
    }
    /// Every process in it.
    pub fn pids(&self) -> Result<Vec<i32>> {
        todo!()
    }
    /// Sends SIGKILL to every process in it (`cgroup.kill`, else by freezing or repeating until it is empty).
    pub fn kill(&self) -> Result<()> {
        todo!()
    }
    /// Freezes or thaws all processes; returns when done.
    pub fn freeze(&self, _frozen: bool) -> Result<()> {
        todo!()
    }
    /// What was used.
    pub fn usage(&self) -> Result<Usage> {
        todo!()
    }
    /// Removes the directories (with retries while processes end). Missing ones are fine.
    pub fn remove(&self) -> Result<()> {
        todo!()
    }
}

/// This host's mode.
pub fn mode() -> Mode {
    todo!()
}
