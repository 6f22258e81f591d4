//! The mounts of a specification, each made detached and attached by descriptor onto a place found within the root.

use crate::cgroup::Cgroup;
use crate::cgroupmount;
use crate::copyup;
use crate::error::{At, Failure, Kind, Result, Step};
use crate::foreign::Foreign;
use crate::labels;
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
/// shared bind has somebody to hear from. `given` are those [`from_outside`]; `owners` the user namespaces of mounts with their own mappings.
pub(crate) fn prepare(plan: &Plan, given: Vec<OwnedFd>, owners: &[Option<OwnedFd>]) -> Result<Vec<Option<OwnedFd>>> {
    let mut given = given.into_iter();
    let one = |(n, m): (usize, &MountPlan)| match is_from_outside(plan, m) {
        true => Ok(given.next()),
        false => {
            let made = make(plan, m)?;
            map(m, made.as_ref(), owner(owners, n))?;
            Ok(made)
        }
    };
    plan.mounts.iter().enumerate().map(one).collect()
}

fn owner(owners: &[Option<OwnedFd>], n: usize) -> Option<BorrowedFd<'_>> {
    owners.get(n).and_then(Option::as_ref).map(AsFd::as_fd)
}

/// Gives a bind the mapping that it asks for.
fn map(plan: &MountPlan, made: Option<&OwnedFd>, owner: Option<BorrowedFd<'_>>) -> Result<()> {
    let (Some(below), Some(made), Some(owner)) = (plan.mapped, made, owner) else { return Ok(()) };
    idmapped::set(made, below, owner).at_path(Step::Mount, &plan.destination)
}

/// One of them.
fn make(plan: &Plan, m: &MountPlan) -> Result<Option<OwnedFd>> {
    match &m.source {
        Source::Bind(source, recursive) => bind(plan, m, source, *recursive).map(Some),
        Source::Filesystem { kind, source, data } => filesystem(m, kind, source, data, plan.mount_label.as_ref()).map(Some),
        Source::Cgroup | Source::Remount => Ok(None),
    }
}

fn bind(plan: &Plan, m: &MountPlan, source: &Path, recursive: bool) -> Result<OwnedFd> {
    let tree = match (&m.tree, Foreign::of(source)) {
        (Some(tree), _) => tree.try_clone().at_path(Step::Mount, source),
        (None, Some(foreign)) => foreign.clone_tree(recursive),
        (None, None) => mount::clone_tree(CWD, source, recursive).at_path(Step::Mount, source),
    }?;
    // The caller has looked, and somebody may have changed a link on the way since then.
    if plan.itself.map(|itself| itself.is_reached_by(&tree)).transpose().at_path(Step::Mount, source)?.unwrap_or(false) {
        let why = format!("the source of {} has changed meanwhile, and leads to the runtime itself", m.destination.display());
        return Err(Failure::new(Step::Mount, source.to_string_lossy(), Kind::Invalid, why));
    }
    Ok(tree)
}

/// Whether the parent makes this mount, since the root of the container's user namespace could not: binds, whose sources it may not
/// reach, and filesystems that show a namespace of the host's.
pub(crate) fn is_from_outside(plan: &Plan, mount: &MountPlan) -> bool {
    let shows = match &mount.source {
        _ if plan.userns.is_none() || plan.mounts_inside => return false,
        Source::Bind(..) => return true,
        Source::Cgroup | Source::Remount => return false,
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
pub(crate) fn from_outside(plan: &Plan, userns: BorrowedFd<'_>, owners: &[Option<OwnedFd>]) -> Result<Vec<OwnedFd>> {
    let mut all = Vec::new();
    for (n, m) in plan.mounts.iter().enumerate().filter(|(_, m)| is_from_outside(plan, m)) {
        let Some(made) = make(plan, m)? else { continue };
        map(m, Some(&made), Some(owner(owners, n).unwrap_or(userns)))?;
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
    let own = plan.set | plan.clear != 0 && plan.below != Some((plan.set, plan.clear));
    match plan.below {
        None if !own || !below => return mount::set_attr_attached(tree, below, plan.set, plan.clear, Some(propagation)),
        Some((set, clear)) if !own && below => return mount::set_attr_attached(tree, true, set, clear, Some(propagation)),
        Some((set, clear)) => mount::set_attr_attached(tree, true, set, clear, None)?,
        None => {}
    }
    if own {
        mount::set_attr_attached(tree, false, plan.set, plan.clear, None)?;
    }
    mount::set_attr_attached(tree, below, 0, 0, Some(propagation))
}

/// Changes what is mounted in a place already.
fn remount(root: BorrowedFd<'_>, plan: &MountPlan) -> Result<()> {
    let place = plan.destination.as_path();
    let there = path::place(root, place, Links::Follow).at_path(Step::Mount, place)?;
    let change = || {
        if let Some((set, clear)) = plan.below {
            mount::set_attr_attached(&there, true, set, clear, None)?;
        }
        mount::set_attr_attached(&there, false, plan.set, plan.clear, plan.propagation.map(|(propagation, _)| propagation))
    };
    change().at_path(Step::Mount, place)
}

/// Attaches all mounts within `root` in their order. Returns the procfs that was mounted at `/proc`, if any. `grouped` is called before each
/// mount that shows the cgroup, or takes memory that the cgroup is to be charged for.
pub(crate) fn attach(
    root: BorrowedFd<'_>,
    plan: &Plan,
    prepared: Vec<Option<OwnedFd>>,
    cgroup: &Cgroup,
    grouped: &mut dyn FnMut() -> Result<()>,
) -> Result<Option<Procfs>> {
    let mut procfs = None;
    for (m, prepared) in plan.mounts.iter().zip(prepared) {
        let place = m.destination.as_path();
        if matches!(m.source, Source::Remount) {
            remount(root, m)?;
            continue;
        }
        if m.copy_up || matches!(m.source, Source::Cgroup) {
            grouped()?;
        }
        let target = target(root, m, prepared.as_ref())?;
        let Some(prepared) = prepared else {
            cgroupmount::mount(cgroup, m, target.as_fd(), plan.new_cgroup, plan.userns.is_some())?;
            continue;
        };
        if m.copy_up {
            copyup::copy(target.as_fd(), prepared.as_fd()).at_path(Step::Mount, place)?;
        }
        mount::attach(&prepared, &target).at_path(Step::Mount, place)?;
        match &m.source {
            Source::Filesystem { kind, .. } => {
                if m.copy_up && m.set & mount::RDONLY != 0 {
                    mount::set_attr_attached(&prepared, false, mount::RDONLY, 0, None).at_path(Step::Mount, place)?;
                }
                if let Some((propagation, below)) = m.propagation.filter(|(p, _)| *p != Propagation::Private) {
                    mount::set_attr_attached(&prepared, below, 0, 0, Some(propagation)).at_path(Step::Mount, place)?;
                }
                if kind == "proc" && place == Path::new("/proc") {
                    procfs = Some(Procfs::of(prepared));
                }
            }
            // Only now, because older kernels cannot do it before; nobody else is here to see the moment between.
            Source::Bind(..) | Source::Cgroup | Source::Remount => dress(m, &prepared).at_path(Step::Mount, place)?,
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
    let target = if is_file { path::ensure_file(root, place, links) } else { path::ensure_dir(root, place, links) };
    let target = target.at_path(Step::Mount, place).map_err(|failure| match (&plan.source, failure.errno) {
        (Source::Filesystem { kind, .. }, libc::ELOOP) if links == Links::Refuse => {
            Failure { message: format!("filesystem {kind:?} must be mounted on ordinary directory"), ..failure }
        }
        _ => failure,
    })?;
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

fn filesystem(plan: &MountPlan, kind: &str, source: &str, data: &[(String, Option<String>)], label: Option<&String>) -> Result<OwnedFd> {
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
    if let Some((key, value)) = labels::of_filesystem(kind, label) {
        fs.string(key, value).map_err(|e| explain(key, e))?;
    }
    // What is to be filled first is written to once.
    let later = if plan.copy_up { mount::RDONLY } else { 0 };
    fs.mount_or_log(plan.set & !later).at_path(Step::Mount, place)
}
