//! Control groups on v1, hybrid and v2 (the file system driver).
//!
//! A container has one directory in every mounted hierarchy, at the same path. On v1 each controller (or joint mount of
//! several) is a hierarchy; named ones (`name=systemd`) and, on a hybrid host, the unified one get a directory too, so that
//! the container's processes are found there and its cgroup namespace shows `/` everywhere.

mod control;
mod devices;
mod features;
mod fields;
mod files;
mod further;
mod hierarchy;
mod meter;
mod notice;
mod own;
mod plan;
mod remove;
pub mod systemd;
mod tally;
mod usage;
mod v1;
mod v2;
mod warnings;
mod write;

pub use features::{Features, features};
pub use further::{Account, Further, Waiting};
pub use notice::{Level, Notice};
pub use tally::Tally;
pub use warnings::warnings;

use crate::error::{Failure, Kind, Result, Step};
use hierarchy::{Hierarchy, layout};
use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use write::State;

pub use meter::{Io, Meter, Reading};

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
    /// (controllers, absolute directory), one for each hierarchy. The controllers are `cpu,cpuacct` or `name=systemd` for a
    /// v1 hierarchy, empty for the unified one, which is last.
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
    /// Makes `path` (as in `linux.cgroupsPath`: absolute within the hierarchies, or relative as in [`Cgroup::at`]) in every hierarchy and
    /// applies the limits. On an error the directories that were made are removed again.
    ///
    /// With resources given, devices are closed except for the rules given and the basic devices of every container; without
    /// (`None`) nothing is limited. An empty directory that is there already is made anew; one with processes is refused.
    pub fn create(path: &str, resources: Option<&LinuxResources>) -> Result<Self> {
        let plan = resources.map(|resources| plan::plan(resources, layout(), State::Fresh)).transpose()?.unwrap_or_default();
        Self::establish(path, &plan, files::There::Anew)
    }

    /// The same for a caller who may have made the directories, empty ones, with limits: what is not given stays as it is there.
    pub fn take(path: &str, resources: Option<&LinuxResources>) -> Result<Self> {
        let plan = resources.map(|resources| plan::plan(resources, layout(), State::Fresh)).transpose()?.unwrap_or_default();
        Self::establish(path, &plan, files::There::Taken)
    }

    /// The same for a caller who may make groups, but not say which devices are open to them: those of the group above are.
    pub fn take_without_devices(path: &str, resources: Option<&LinuxResources>) -> Result<Self> {
        let mut plan = resources.map(|resources| plan::plan(resources, layout(), State::Fresh)).transpose()?.unwrap_or_default();
        plan.forget_devices();
        Self::establish(path, &plan, files::There::Taken)
    }

    /// For who may not make any: processes stay in the caller's groups.
    ///
    /// # Errors
    /// Something is asked for that only a group can give.
    pub fn none(resources: Option<&LinuxResources>) -> Result<Self> {
        let mut plan = resources.map(|resources| plan::plan(resources, layout(), State::Fresh)).transpose()?.unwrap_or_default();
        plan.forget_devices();
        match plan.writes.first() {
            None => Ok(Self { mode: layout().mode(), dirs: Vec::new() }),
            Some(write) => {
                Err(invalid("linux.resources", format!("cannot set {} limit: container could not join or create cgroup", write.controller)))
            }
        }
    }

    /// The same where somebody else has made some of the directories, which stay as they are.
    fn adopt(path: &str, plan: &plan::Plan) -> Result<Self> {
        Self::establish(path, plan, files::There::Kept)
    }

    fn establish(path: &str, plan: &plan::Plan, there: files::There) -> Result<Self> {
        let cgroup = Self::at(path)?;
        let mut made = Vec::new();
        let result = cgroup.make(layout(), plan, there, |_| true, &mut made).and_then(|()| cgroup.apply(plan));
        result.map(|()| cgroup).inspect_err(|_| take_back(&made))
    }

    /// Like [`Cgroup::create`] (`anew`) or [`Cgroup::take`], but of a host with v1 hierarchies only what a process is born into: the rest is the
    /// second value's. Until then only a process that has nothing to do with limits may be in it.
    pub fn begin(path: &str, resources: Option<&LinuxResources>, anew: bool) -> Result<(Self, Unfinished)> {
        let there = if anew { files::There::Anew } else { files::There::Taken };
        let plan = resources.map(|resources| plan::plan(resources, layout(), State::Fresh)).transpose()?.unwrap_or_default();
        if layout().mode() == Mode::V2 {
            return Ok((Self::establish(path, &plan, there)?, Unfinished { rest: None }));
        }
        let cgroup = Self::at(path)?;
        // Before anything is made: whoever gives up later ends all that is in there.
        cgroup.unused()?;
        let mut made = Vec::new();
        cgroup.make(layout(), &plan, there, Hierarchy::is_unified, &mut made).inspect_err(|_| take_back(&made))?;
        Ok((cgroup, Unfinished { rest: Some((plan, there)) }))
    }

    /// The directories that `path` has, or would have. A relative one is below the caller's own group, on v2 beside it, where groups with
    /// limits may be made. Touches nothing.
    pub fn at(path: &str) -> Result<Self> {
        let layout = layout();
        if layout.hierarchies.is_empty() {
            // Or the list of mounts could not be read.
            let mounts = Path::new("/proc/self/mountinfo");
            std::fs::read(mounts).map_err(|error| refused(mounts, "read", &error))?;
            return Err(invalid(path, "no cgroup file system is mounted"));
        }
        let relative = relative(path)?;
        let own = if path.starts_with('/') { own::Groups::default() } else { own::Groups::read()? };
        let dir = |h: &Hierarchy| h.mount.join(own.base(h, layout.mode())).join(relative);
        let dirs = layout.hierarchies.iter().map(|h| (h.controllers.clone(), dir(h))).collect();
        Ok(Self { mode: layout.mode(), dirs })
    }

    /// Applies changed limits. What is not given stays as it is.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        self.needed()?;
        self.check_memory(resources)?;
        let plan = plan::plan(resources, layout(), State::InUse(self.present()?))?;
        self.apply(&plan)
    }

    /// Without a group nothing can be limited, told or stopped.
    fn needed(&self) -> Result<()> {
        if self.dirs.is_empty() { Err(invalid("cgroup", "the container has none of its own")) } else { Ok(()) }
    }

    /// On v2 a limit below the present use kills at once; a caller may ask to be refused instead (v1 refuses by itself).
    fn check_memory(&self, resources: &LinuxResources) -> Result<()> {
        let Some(memory) = resources.memory().filter(|memory| memory.check_before_update() == Some(true)) else {
            return Ok(());
        };
        let used = self.usage()?.memory;
        match memory.limit() {
            Some(limit) if limit > 0 && (limit as u64) < used => {
                Err(invalid("memory", format!("limit {limit} is below what is in use, {used}")))
            }
            _ => Ok(()),
        }
    }

    /// The directory of the unified hierarchy, where there is one: `CLONE_INTO_CGROUP` takes it, also on a hybrid host.
    pub fn unified_dir(&self) -> Option<&Path> {
        self.dir("")
    }

    /// The `tasks` files of the v1 hierarchies. A single-threaded process enters by writing `0` to each of them.
    pub fn v1_tasks(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.dirs.iter().filter(|(controllers, _)| !controllers.is_empty()).map(|(_, dir)| dir.join("tasks"))
    }

    /// Where a controller's files are: its v1 hierarchy, else the unified one. The empty name is the unified one alone.
    fn dir(&self, controller: &str) -> Option<&Path> {
        let of = |name: &str| {
            let found = self.dirs.iter().find(|(controllers, _)| controllers.split(',').any(|one| one == name));
            found.map(|(_, dir)| dir.as_path())
        };
        of(controller).or_else(|| of(""))
    }

    /// The v1 directory of a controller, if it has one.
    fn v1_dir(&self, controller: &str) -> Option<&Path> {
        self.dir(controller).filter(|dir| Some(*dir) != self.unified_dir())
    }
}

/// What is still to be made of a group that was [begun](Cgroup::begin).
#[derive(Debug, Default)]
pub struct Unfinished {
    rest: Option<(plan::Plan, files::There)>,
}

impl Unfinished {
    /// Whether there is anything.
    pub fn is_something(&self) -> bool {
        self.rest.is_some()
    }

    /// Makes it: directories and limits. On an error those directories are removed again; the one that was there before stays.
    pub fn finish(&self, cgroup: &Cgroup) -> Result<()> {
        let Some((plan, there)) = &self.rest else { return Ok(()) };
        let mut made = Vec::new();
        let result = cgroup.make(layout(), plan, *there, |hierarchy| !hierarchy.is_unified(), &mut made).and_then(|()| cgroup.apply(plan));
        result.inspect_err(|_| take_back(&made))
    }
}

/// Removes directories that nobody can be in yet; what still refuses is not ours alone.
fn take_back(made: &[PathBuf]) {
    for dir in made.iter().rev() {
        let _ = std::fs::remove_dir(dir);
    }
}

/// This host's mode.
pub fn mode() -> Mode {
    layout().mode()
}

/// A path that leads out of the hierarchy, or nowhere, is refused.
fn relative(path: &str) -> Result<&Path> {
    let relative = Some(path.strip_prefix('/').unwrap_or(path)).filter(|relative| !relative.is_empty());
    let clean = relative.filter(|relative| relative.split('/').all(|part| !matches!(part, "" | "." | "..")) && !relative.contains('\0'));
    clean.map(Path::new).ok_or_else(|| invalid(path, "a cgroup path is not the root, and has no empty part, . or .."))
}

/// A failure that is the caller's.
fn invalid(object: impl Into<String>, message: impl Into<String>) -> Failure {
    Failure { step: Step::Cgroup, object: object.into(), kind: Kind::Invalid, errno: 0, message: message.into() }
}

/// A failure that is the kernel's: what was done to which file.
fn refused(path: &Path, action: &str, error: &std::io::Error) -> Failure {
    Failure {
        step: Step::Cgroup,
        object: path.display().to_string(),
        kind: Kind::Other,
        errno: error.raw_os_error().unwrap_or(0),
        message: format!("{action}: {}", crate::error::describe(error)),
    }
}

#[cfg(test)]
mod tests;
