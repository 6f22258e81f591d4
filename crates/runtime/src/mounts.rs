//! The mounts of a specification, each made detached and attached by descriptor onto a place found within the root.

use crate::cgroup::Cgroup;
use crate::cgroupmount;
use crate::error::{At, Failure, Kind, Result, Step};
use crate::foreign::Foreign;
use crate::path::{self, Links};
use crate::procfs::{self, Procfs};
use crate::validate::{MountPlan, Plan, Source};
use dhow_sys::idmapped;
use dhow_sys::mount::{self, Filesystem, Propagation};
use rustix::fs::{CWD, FileType};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Files of procfs that a bind may cover (they are for show, as lxcfs uses them).
const COVERABLE: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// Makes, detached, what needs no root to be made: clones of the binds' sources and new filesystems, in the order of the mounts
/// (`None` for the cgroups). Done while the host's root is still ours and its mounts are still peers of the host's, so that a slave or
/// shared bind has somebody to hear from. `given` are those [`from_outside`].
pub(crate) fn prepare(plan: &Plan, given: Vec<OwnedFd>) -> Result<Vec<Option<OwnedFd>>> {
    let mut given = given.into_iter();
    let one = |m: &MountPlan| if is_from_outside(plan, m) { Ok(given.next()) } else { make(m) };
    plan.mounts.iter().map(one).collect()
}

/// One of them.
fn make(plan: &MountPlan) -> Result<Option<OwnedFd>> {
    match &plan.source {
        Source::Bind(source, recursive) => match Foreign::of(source) {
            Some(foreign) => foreign.clone_tree(*recursive).map(Some),
            None => mount::clone_tree(CWD, source, *recursive).at_path(Step::Mount, source).map(Some),
        },
        Source::Filesystem { kind, source, data } => filesystem(plan, kind, source, data).map(Some),
        Source::Cgroup => Ok(None),
    }
}

/// Whether the parent makes this mount, since the root of the container's user namespace could not: binds, whose sources it may not
/// reach, and filesystems that show a namespace of the host's.
pub(crate) fn is_from_outside(plan: &Plan, mount: &MountPlan) -> bool {
    let shows = match &mount.source {
        _ if plan.userns.is_none() => return false,
        Source::Bind(..) => return true,
        Source::Cgroup => return false,
        Source::Filesystem { kind, .. } => match kind.as_str() {
            "proc" => libc::CLONE_NEWPID,
            "sysfs" => libc::CLONE_NEWNET,
            "mqueue" => libc::CLONE_NEWIPC,
            _ => return false,
        },
    } as u64;
    plan.new & shows == 0 && !plan.join.iter().any(|(kind, _)| *kind == shows)
}

/// Those mounts, made by the parent.
pub(crate) fn from_outside(plan: &Plan, userns: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    let mut all = Vec::new();
    for m in plan.mounts.iter().filter(|m| is_from_outside(plan, m)) {
        let Some(made) = make(m)? else { continue };
        if let Some(below) = m.mapped {
            idmapped::set(&made, below, userns).at_path(Step::Mount, &m.destination)?;
        }
        if matches!(m.source, Source::Bind(..)) {
            // As the kernel does with what a new user namespace takes over: it hears of the host's mounts, and the host of none of its.
            mount::set_attr(&made, true, 0, 0, Some(Propagation::Slave)).at_path(Step::Mount, &m.destination)?;
        }
        all.push(made);
    }
    Ok(all)
}

/// What the options of a bind ask for, once it is attached.
fn dress(plan: &MountPlan, tree: &OwnedFd) -> std::io::Result<()> {
    let (propagation, below) = plan.propagation.unwrap_or((Propagation::Private, true));
    if plan.set | plan.clear == 0 || below == plan.recursive {
        return mount::set_attr_attached(tree, below, plan.set, plan.clear, Some(propagation));
    }
    mount::set_attr_attached(tree, plan.recursive, plan.set, plan.clear, None)?;
    mount::set_attr_attached(tree, below, 0, 0, Some(propagation))
}

/// Attaches all mounts within `root` in their order. Returns the procfs that was mounted at `/proc`, if any.
pub(crate) fn attach(root: BorrowedFd<'_>, plan: &Plan, prepared: Vec<Option<OwnedFd>>, cgroup: &Cgroup) -> Result<Option<Procfs>> {
    let mut procfs = None;
    for (m, prepared) in plan.mounts.iter().zip(prepared) {
        let place = m.destination.as_path();
        let target = target(root, m, prepared.as_ref())?;
        let Some(prepared) = prepared else {
            cgroupmount::mount(cgroup, m, target.as_fd(), plan.new_cgroup, plan.userns.is_some())?;
            continue;
        };
        mount::attach(&prepared, &target).at_path(Step::Mount, place)?;
        match &m.source {
            Source::Filesystem { kind, .. } => {
                if let Some((propagation, below)) = m.propagation.filter(|(p, _)| *p != Propagation::Private) {
                    mount::set_attr_attached(&prepared, below, 0, 0, Some(propagation)).at_path(Step::Mount, place)?;
                }
                if kind == "proc" && place == Path::new("/proc") {
                    procfs = Some(Procfs::of(prepared));
                }
            }
            // Only now, because older kernels cannot do it before; nobody else is here to see the moment between.
            Source::Bind(..) | Source::Cgroup => dress(m, &prepared).at_path(Step::Mount, place)?,
        }
    }
    Ok(procfs)
}

/// The place of a mount, made where missing. Never below procfs, where a mount could deceive whoever reads there.
fn target(root: BorrowedFd<'_>, plan: &MountPlan, prepared: Option<&OwnedFd>) -> Result<OwnedFd> {
    let place = plan.destination.as_path();
    let of_kernel = matches!(&plan.source, Source::Filesystem { kind, .. } if kind == "proc" || kind == "sysfs");
    // These must be where their names say; an image that ships them as links is refused.
    let links = if of_kernel || place == Path::new("/dev") { Links::Refuse } else { Links::Follow };
    let bound = matches!(plan.source, Source::Bind(..));
    let is_file = match prepared {
        Some(tree) if bound => {
            let stat = rustix::fs::fstat(tree).at_path(Step::Mount, place)?;
            FileType::from_raw_mode(stat.st_mode) != FileType::Directory
        }
        _ => false,
    };
    let target =
        if is_file { path::ensure_file(root, place, links) } else { path::ensure_dir(root, place, links) }.at_path(Step::Mount, place)?;
    let is_procfs = |fd: BorrowedFd<'_>| Ok(mount::magic(fd).at_path(Step::Mount, place)? == procfs::MAGIC);
    let covered = is_procfs(target.as_fd())?;
    let allowed = bound && COVERABLE.iter().any(|name| place == Path::new(name));
    // What stands at /proc must be one, too: programs, and we, believe what they read there.
    let deceives = match prepared {
        Some(tree) if bound && place == Path::new("/proc") => !is_procfs(tree.as_fd())?,
        _ => false,
    };
    if deceives || (covered && !allowed) {
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
