//! Entering a cgroup: the process writes itself into `tasks` of each v1 hierarchy, which takes no grace period, and into
//! `cgroup.procs` of the unified one unless clone has put it there.

use crate::cgroup::{Cgroup, Mode};
use crate::error::{At, Failure, Kind, Result, Step};
use rustix::fs::{CWD, Mode as FileMode, OFlags};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

/// The directory that clone can put a child into; `None` where v1 hierarchies must be entered by the child itself.
pub(crate) fn for_clone(cgroup: &Cgroup) -> Result<Option<OwnedFd>> {
    match (cgroup.mode, cgroup.dirs.first()) {
        (Mode::V2, Some((_, dir))) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(Some(rustix::fs::openat(CWD, dir, flags, FileMode::empty()).at_path(Step::Cgroup, dir)?))
        }
        _ => Ok(None),
    }
}

/// Enters every hierarchy that clone did not. The caller has one thread: a v1 `tasks` file moves only the one that writes.
pub(crate) fn enter(cgroup: &Cgroup) -> Result<()> {
    if cgroup.mode == Mode::V2 {
        return Ok(());
    }
    for (controllers, dir) in &cgroup.dirs {
        // On the unified hierarchy threads cannot be moved singly. On v1, moving by `cgroup.procs` waits 10 ms for a grace period.
        let file = dir.join(if controllers.is_empty() { "cgroup.procs" } else { "tasks" });
        write_self(&file)?;
    }
    Ok(())
}

/// On v2, the directory of the group that a process of the container is in, which may lie below the container's own.
pub(crate) fn leaf_of(cgroup: &Cgroup, pid: i32) -> Result<OwnedFd> {
    let name = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&name).at(Step::Cgroup, &name)?;
    let group = text.lines().find_map(|line| line.strip_prefix("0::"));
    let dir = group.zip(cgroup.dirs.first()).and_then(|(group, (_, dir))| leaf(dir, group));
    let dir = dir.ok_or_else(|| Failure::new(Step::Cgroup, name, Kind::Other, "is not below the container's group"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, &dir, flags, FileMode::empty()).at_path(Step::Cgroup, &dir)
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
    let fd = rustix::fs::openat(CWD, file, OFlags::WRONLY | OFlags::CLOEXEC, FileMode::empty())
        .at_path(Step::Cgroup, file)?;
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
