//! `/sys/fs/cgroup` as a container sees it: its own directory of each hierarchy.
//!
//! A bind of the container's directory, inside its cgroup namespace, is what a fresh mount there would be: the same superblock
//! and directory, with `/` as its root in mountinfo. It takes fewer calls.

use crate::cgroup::{Cgroup, Mode};
use crate::error::{At, Result, Step};
use crate::validate::MountPlan;
use dhow_sys::mount::{self, Filesystem};
use rustix::fs::{CWD, Mode as FileMode, mkdirat, symlinkat};
use rustix::mount::{MoveMountFlags, move_mount};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// Where the host has it on v2.
const HOST: &str = "/sys/fs/cgroup";

/// Mounts it onto `target`. `private`: the container has its own cgroup namespace; `mapped`: its own user namespace.
pub(crate) fn mount(cgroup: &Cgroup, plan: &MountPlan, target: BorrowedFd<'_>, private: bool, mapped: bool) -> Result<OwnedFd> {
    let place = plan.destination.as_path();
    let top = match (cgroup.mode, cgroup.dirs.first()) {
        // Only the host's root may mount what shows the host's namespace.
        (Mode::V2, _) if !private && mapped => mount::clone_tree(CWD, Path::new(HOST), true).at(Step::Mount, HOST)?,
        // With the host's namespace, the host's whole tree, as Docker has it.
        (Mode::V2, _) if !private => Filesystem::open("cgroup2").and_then(|fs| fs.mount_or_log(0)).at_path(Step::Mount, place)?,
        // Without a group of the container's own the namespace shows the caller's.
        (Mode::V2, None) => Filesystem::open("cgroup2").and_then(|fs| fs.mount_or_log(0)).at_path(Step::Mount, place)?,
        (Mode::V2, Some((_, dir))) => mount::clone_tree(CWD, dir, false).at_path(Step::Mount, dir)?,
        _ => tmpfs().at_path(Step::Mount, place)?,
    };
    mount::attach(&top, target).at_path(Step::Mount, place)?;
    mount::set_attr_attached(&top, false, 0, 0, Some(mount::Propagation::Private)).at_path(Step::Mount, place)?;
    if cgroup.mode != Mode::V2 {
        for (controllers, dir) in &cgroup.dirs {
            hierarchy(&top, controllers, dir)?;
        }
    }
    // One call for what is mounted in it.
    mount::set_attr_attached(&top, true, plan.set, plan.clear, Some(mount::Propagation::Private)).at_path(Step::Mount, place)?;
    Ok(top)
}

fn tmpfs() -> std::io::Result<OwnedFd> {
    let fs = Filesystem::open("tmpfs")?;
    fs.string("source", "cgroup")?;
    fs.string("mode", "755")?;
    fs.mount_or_log(0)
}

/// One v1 hierarchy (or the unified one beside them) in the fresh tmpfs, which nobody else can reach yet.
fn hierarchy(top: &OwnedFd, controllers: &str, dir: &Path) -> Result<()> {
    let name = name(controllers);
    mkdirat(top, name, FileMode::from_raw_mode(0o755)).at(Step::Mount, name)?;
    let tree = mount::clone_tree(CWD, dir, false).at_path(Step::Mount, dir)?;
    move_mount(&tree, "", top, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).at(Step::Mount, name)?;
    if name.contains(',') {
        for part in name.split(',') {
            symlinkat(name, top, part).at(Step::Mount, part)?;
        }
    }
    Ok(())
}

fn name(controllers: &str) -> &str {
    match controllers.strip_prefix("name=") {
        Some(name) => name,
        None if controllers.is_empty() => "unified",
        None => controllers,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names() {
        for (controllers, expect) in [("", "unified"), ("name=systemd", "systemd"), ("cpu,cpuacct", "cpu,cpuacct")] {
            assert_eq!(super::name(controllers), expect);
        }
    }
}
