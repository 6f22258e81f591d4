//! Entering a cgroup: clone puts the process into the unified hierarchy, and it writes itself into `tasks` of each v1 hierarchy.

use crate::cgroup::{Cgroup, Mode};
use crate::error::{At, Failure, Kind, Result, Step};
use rustix::fs::{CWD, Mode as FileMode, OFlags};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

/// The directory of the unified hierarchy, into which clone puts a child; `None` on a host without one.
pub(crate) fn for_clone(cgroup: &Cgroup) -> Result<Option<OwnedFd>> {
    unified(cgroup).map(open_dir).transpose()
}

fn unified(cgroup: &Cgroup) -> Option<&Path> {
    let found = cgroup.dirs.iter().find(|(controllers, _)| controllers.is_empty() || cgroup.mode == Mode::V2);
    found.map(|(_, dir)| dir.as_path())
}

fn open_dir(dir: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, dir, flags, FileMode::empty()).at_path(Step::Cgroup, dir)
}

/// Enters every v1 hierarchy. The caller has one thread: `tasks` moves only the one that writes, and only for that one the
/// kernel spares itself the grace period (10 ms) that a write to `cgroup.procs` takes.
pub(crate) fn enter(cgroup: &Cgroup) -> Result<()> {
    if cgroup.mode == Mode::V2 {
        return Ok(());
    }
    for (_, dir) in cgroup.dirs.iter().filter(|(controllers, _)| !controllers.is_empty()) {
        write_self(&dir.join("tasks"))?;
    }
    Ok(())
}

/// The directory of the unified group that a process of the container is in, which may lie below the container's own.
pub(crate) fn leaf_of(cgroup: &Cgroup, pid: i32) -> Result<OwnedFd> {
    let name = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&name).at(Step::Cgroup, &name)?;
    let group = text.lines().find_map(|line| line.strip_prefix("0::"));
    let dir = group.zip(unified(cgroup)).and_then(|(group, dir)| leaf(dir, group));
    let dir = dir.ok_or_else(|| Failure::new(Step::Cgroup, name, Kind::Other, "is not below the container's group"))?;
    open_dir(&dir)
}

/// Where `group` (a path from the hierarchy's root) lies, given the directory of a group above it.
fn leaf(dir: &Path, group: &str) -> Option<PathBuf> {
    let group = Path::new(group);
    let parts: Vec<_> = dir.components().skip(1).collect();
    (0..parts.len()).find_map(|n| {
        let above: PathBuf = std::iter::once(Component::RootDir).chain(parts[n..].iter().copied()).collect();
        let below = group.strip_prefix(above).ok()?;
        below.components().all(|part| matches!(part, Component::Normal(_))).then(|| dir.join(below))
    })
}

fn write_self(file: &Path) -> Result<()> {
    let fd = rustix::fs::openat(CWD, file, OFlags::WRONLY | OFlags::CLOEXEC, FileMode::empty()).at_path(Step::Cgroup, file)?;
    rustix::io::write(&fd, b"0").at_path(Step::Cgroup, file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_below_the_containers() {
        let dir = Path::new("/sys/fs/cgroup/dhow/abc");
        for (group, expect) in [
            ("/dhow/abc/init.scope", Some("/sys/fs/cgroup/dhow/abc/init.scope")),
            ("/dhow/abc", Some("/sys/fs/cgroup/dhow/abc")),
            ("/elsewhere", None),
            ("/dhow/abc/../../x", None),
        ] {
            assert_eq!(leaf(dir, group), expect.map(PathBuf::from), "{group}");
        }
    }
}
