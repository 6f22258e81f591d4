//! The mounts of a specification, each made detached and attached by descriptor onto a place found within the root.

use crate::cgroup::Cgroup;
use crate::cgroupmount;
use crate::error::{At, Failure, Kind, Result, Step};
use crate::path::{self, Links};
use crate::procfs::{self, Procfs};
use crate::validate::{MountPlan, Plan, Source};
use dhow_sys::mount::{self, Filesystem, Propagation};
use rustix::fs::{CWD, FileType};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Files of procfs that a bind may cover (they are for show, as lxcfs uses them).
const COVERABLE: [&str; 11] = [
    "/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/net/dev", "/proc/slabinfo", "/proc/stat",
    "/proc/swaps", "/proc/uptime", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
];

/// Clones the sources of all binds, in the order of the mounts. Done while the host's root is still ours and its mounts are
/// still peers of the host's, so that a slave or shared bind has somebody to hear from.
pub(crate) fn open_binds(plan: &Plan) -> Result<Vec<Option<OwnedFd>>> {
    let open = |m: &MountPlan| match &m.source {
        Source::Bind(source, recursive) => bind(m, source, *recursive).map(Some),
        _ => Ok(None),
    };
    plan.mounts.iter().map(open).collect()
}

fn bind(plan: &MountPlan, source: &Path, recursive: bool) -> Result<OwnedFd> {
    let tree = mount::clone_tree(CWD, source, recursive).at_path(Step::Mount, source)?;
    let (propagation, below) = plan.propagation.unwrap_or((Propagation::Private, true));
    if plan.set | plan.clear == 0 || below == plan.recursive {
        mount::set_attr(&tree, below, plan.set, plan.clear, Some(propagation)).at_path(Step::Mount, source)?;
    } else {
        mount::set_attr(&tree, plan.recursive, plan.set, plan.clear, None).at_path(Step::Mount, source)?;
        mount::set_attr(&tree, below, 0, 0, Some(propagation)).at_path(Step::Mount, source)?;
    }
    Ok(tree)
}

/// Makes all mounts within `root` in their order. Returns the procfs that was mounted at `/proc`, if any.
pub(crate) fn make(
    root: BorrowedFd<'_>,
    plan: &Plan,
    binds: Vec<Option<OwnedFd>>,
    cgroup: &Cgroup,
) -> Result<Option<Procfs>> {
    let mut procfs = None;
    for (m, bind) in plan.mounts.iter().zip(binds) {
        let place = m.destination.as_path();
        let target = target(root, m, bind.as_ref())?;
        match (&m.source, bind) {
            (Source::Bind(..), Some(tree)) => mount::attach(&tree, &target).at_path(Step::Mount, place)?,
            (Source::Bind(source, _), None) => {
                return Err(Failure::new(Step::Mount, source.to_string_lossy(), Kind::Other, "was not opened"));
            }
            (Source::Cgroup, _) => {
                cgroupmount::mount(cgroup, m, target.as_fd(), plan.new_cgroup)?;
            }
            (Source::Filesystem { kind, source, data }, _) => {
                let fresh = filesystem(m, kind, source, data)?;
                mount::attach(&fresh, &target).at_path(Step::Mount, place)?;
                if let Some((propagation, below)) = m.propagation.filter(|(p, _)| *p != Propagation::Private) {
                    mount::set_attr(&fresh, below, 0, 0, Some(propagation)).at_path(Step::Mount, place)?;
                }
                if kind == "proc" && place == Path::new("/proc") {
                    procfs = Some(Procfs::of(fresh));
                }
            }
        }
    }
    Ok(procfs)
}

/// The place of a mount, made where missing. Never below procfs, where a mount could deceive whoever reads there.
fn target(root: BorrowedFd<'_>, plan: &MountPlan, bind: Option<&OwnedFd>) -> Result<OwnedFd> {
    let place = plan.destination.as_path();
    let of_kernel = matches!(&plan.source, Source::Filesystem { kind, .. } if kind == "proc" || kind == "sysfs");
    // These must be where their names say; an image that ships them as links is refused.
    let links = if of_kernel || place == Path::new("/dev") { Links::Refuse } else { Links::Follow };
    let is_file = match bind {
        Some(tree) => {
            let stat = rustix::fs::fstat(tree).at_path(Step::Mount, place)?;
            FileType::from_raw_mode(stat.st_mode) != FileType::Directory
        }
        None => false,
    };
    let target = if is_file { path::ensure_file(root, place, links) } else { path::ensure_dir(root, place, links) }
        .at_path(Step::Mount, place)?;
    let on_procfs = mount::magic(&target).at_path(Step::Mount, place)? == procfs::MAGIC;
    let allowed = bind.is_some() && COVERABLE.iter().any(|name| place == Path::new(name));
    if on_procfs && !allowed {
        return Err(Failure::new(Step::Mount, place.to_string_lossy(), Kind::Invalid, "cannot be mounted because it is inside /proc"));
    }
    Ok(target)
}

fn filesystem(plan: &MountPlan, kind: &str, source: &str, data: &[(String, Option<String>)]) -> Result<OwnedFd> {
    let place = plan.destination.as_path();
    let fs = Filesystem::open(kind).at_path(Step::Mount, place)?;
    let explain = |key: &str, e: std::io::Error| {
        let mut failure = Failure::io(Step::Mount, place.to_string_lossy(), e);
        failure.message = format!("option {key:?}: {}", failure.message);
        failure
    };
    fs.string("source", source).map_err(|e| explain("source", e))?;
    for (key, value) in data {
        match value {
            Some(value) => fs.string(key, value.as_str()),
            None => fs.flag(key),
        }
        .map_err(|e| explain(key, e))?;
    }
    fs.mount_or_log(plan.set).at_path(Step::Mount, place)
}
