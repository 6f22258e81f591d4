//! A container's own user namespace: how its first process is born into it, and what only the host's root can do for those inside.
//!
//! ```text
//!   parent (the host's root)                     child
//!   clone3 into the user namespace and the other new ones; where some are joined, a midwife
//!   joins them first and then gives birth to the parent's child
//!   mappings written, limits raised              waits
//!   "mapped"                               ->    enters its cgroups, then becomes the container's root
//!   the root filesystem, mounts from outside ->  all else, as without a user namespace
//! ```

use crate::cgroup::{Cgroup, Mode};
use crate::error::{At, Failure, Kind, Result, Step};
use crate::idmap::IdMap;
use crate::mounts;
use crate::nsnames;
use crate::procplan::ProcessPlan;
use crate::rootless;
use crate::sync::{self, Message};
use crate::usersplan::{self, UserNamespace};
use crate::validate::{Plan, Source};
use dhow_sys::clone::{CloneArgs, Forked, clone3};
use dhow_sys::mount;
use dhow_sys::{fdpass, process};
use rustix::fs::{AtFlags, CWD, Gid, Uid};
use rustix::process::{Pid, Rlimit, getrlimit, prlimit};
use rustix::thread::CapabilitySet;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
const NEWPID: u64 = libc::CLONE_NEWPID as u64;

/// Clones the first process. The caller has one thread. In the child all namespaces are joined.
pub(crate) fn clone(
    userns: &UserNamespace,
    plan: &Plan,
    cgroup: Option<OwnedFd>,
    join: &[(u64, OwnedFd)],
    pid: Option<&OwnedFd>,
) -> Result<Forked> {
    let (namespaces, path) = match userns {
        UserNamespace::New(_) => (plan.new | NEWUSER, None),
        UserNamespace::Join(path, _) => (plan.new, Some(path.as_path())),
    };
    if path.is_none() && join.is_empty() && pid.is_none() {
        return clone3(&CloneArgs { namespaces, cgroup, sibling: false }).at(Step::Namespaces, "clone");
    }
    let user = path.map(|path| nsnames::open(NEWUSER, path)).transpose()?;
    by_midwife(|| join_all(join, pid, user.as_ref(), plan.unaided), namespaces, cgroup)
}

/// A child goes where its own child is to be born, which is the caller's, and ends.
pub(crate) fn by_midwife(enter: impl FnOnce() -> Result<()>, namespaces: u64, cgroup: Option<OwnedFd>) -> Result<Forked> {
    let (ours, theirs) = fdpass::pair().at(Step::Io, "sync")?;
    match clone3(&CloneArgs::default()).at(Step::Namespaces, "clone")? {
        Forked::Child => {
            drop(ours);
            let born = enter().and_then(|()| clone3(&CloneArgs { namespaces, cgroup, sibling: true }).at(Step::Namespaces, "clone"));
            match born {
                Ok(Forked::Child) => Ok(Forked::Child),
                // Where even this cannot be said, the parent sees the stream end.
                Ok(Forked::Parent { pid, pidfd }) => {
                    let _ = sync::say(&theirs, &Message::Born(pid), &[pidfd.as_fd()]);
                    process::exit_now(0)
                }
                Err(failure) => {
                    let _ = sync::say(&theirs, &Message::Failed(failure), &[]);
                    process::exit_now(1)
                }
            }
        }
        Forked::Parent { pidfd, .. } => {
            drop(theirs);
            let heard = sync::hear(&ours);
            process::wait(&pidfd).at(Step::Namespaces, "wait for the child that joins")?;
            match heard? {
                Some((Message::Born(pid), fds)) => {
                    let pidfd = fds.into_iter().next();
                    let pidfd = pidfd.ok_or_else(|| Failure::new(Step::Io, "sync", Kind::Other, "descriptors are missing"))?;
                    Ok(Forked::Parent { pid, pidfd })
                }
                Some((Message::Failed(failure), _)) => Err(failure),
                _ => Err(Failure::new(Step::Namespaces, "clone", Kind::Other, "the child that joins ended without a word")),
            }
        }
    }
}

/// The midwife's part. The user namespace comes last, since the right to join the others is the host's; for who has none it comes first, and
/// the right to join the others is that namespace's.
fn join_all(join: &[(u64, OwnedFd)], pid: Option<&OwnedFd>, user: Option<&OwnedFd>, unaided: bool) -> Result<()> {
    process::set_dumpable(false).at(Step::Namespaces, "dumpable")?;
    let enter = || user.map_or(Ok(()), |user| process::setns(user, NEWUSER).at(Step::Namespaces, "join user"));
    if unaided {
        enter()?;
    }
    for (kind, namespace) in join {
        process::setns(namespace, *kind).at(Step::Namespaces, "join")?;
    }
    if let Some(namespace) = pid {
        process::setns(namespace, NEWPID).at(Step::Namespaces, "join pid")?;
    }
    if unaided { Ok(()) } else { enter() }
}

/// What the parent has made for the child.
#[derive(Debug)]
pub(crate) struct Attended {
    /// The child's user namespace.
    pub(crate) namespace: OwnedFd,
    /// Its root, in the host's numbers.
    pub(crate) root: (u32, u32),
    /// The mounts from outside, in their order.
    pub(crate) mounts: Vec<OwnedFd>,
}

/// The parent's part, before the root filesystem: mappings, limits, mounts from outside. The child goes on in the middle of it. `None` from a
/// parent without rights, whose child makes all mounts itself.
pub(crate) fn attend(
    userns: &UserNamespace,
    plan: &Plan,
    pid: i32,
    cgroup: &Cgroup,
    socket: &OwnedFd,
    owners: &[Option<OwnedFd>],
) -> Result<Option<Attended>> {
    let map = match userns {
        UserNamespace::New(map) => {
            if plan.unaided {
                rootless::map(map, pid)?
            } else {
                map.write(pid)?
            }
            map.clone()
        }
        UserNamespace::Join(path, wanted) => {
            let found = IdMap::read(pid)?;
            if wanted.as_ref().is_some_and(|wanted| *wanted != found) {
                return Err(Failure::invalid("linux.uidMappings", format!("are not those of {}", path.display())));
            }
            usersplan::mapped(&found, &plan.process)?;
            found
        }
    };
    let root = map.host_uid(0).zip(map.host_gid(0));
    let root = root.ok_or_else(|| Failure::invalid("linux.uidMappings", "must map the container's root"))?;
    raise_limits(Pid::from_raw(pid), &plan.process)?;
    if plan.unaided {
        // A child that has ended meanwhile shows in what follows.
        let _ = fdpass::send(socket, b"mapped", &[]);
        return Ok(None);
    }
    own_cgroup(map.host_uid(plan.process.uid).unwrap_or(root.0), plan, cgroup)?;
    let name = format!("/proc/{pid}/ns/user");
    let namespace = OwnedFd::from(File::open(&name).at(Step::Namespaces, &name)?);
    // A child that has ended meanwhile shows in what follows.
    let _ = fdpass::send(socket, b"mapped", &[]);
    let mounts = mounts::from_outside(plan, namespace.as_fd(), owners)?;
    Ok(Some(Attended { namespace, root, mounts }))
}

/// Raises the hard limits that are to be higher: inside a user namespace nobody may. The exact values come later.
pub(crate) fn raise_limits(pid: Option<Pid>, plan: &ProcessPlan) -> Result<()> {
    let unlimited = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    for (name, resource, wanted) in &plan.rlimits {
        let now = getrlimit(*resource);
        if unlimited(wanted.maximum) > unlimited(now.maximum) {
            let raised = Rlimit { current: now.current, maximum: wanted.maximum };
            prlimit(pid, *resource, raised).at(Step::Rlimit, name)?;
        }
    }
    Ok(())
}

/// A container that may write to its own group on v2 owns what may be delegated of it, as the runtime specification wants.
fn own_cgroup(owner: u32, plan: &Plan, cgroup: &Cgroup) -> Result<()> {
    let writable = plan.mounts.iter().any(|m| matches!(m.source, Source::Cgroup) && m.set & mount::RDONLY == 0);
    let (Mode::V2, true, true, Some((_, dir))) = (cgroup.mode, plan.new_cgroup, writable, cgroup.dirs.first()) else { return Ok(()) };
    let uid = Uid::from_raw(owner);
    let delegate = "/sys/kernel/cgroup/delegate";
    let listed = match std::fs::read_to_string(delegate) {
        // What a kernel that does not say it delegates.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".to_owned(),
        other => other.at(Step::Cgroup, delegate)?,
    };
    let own = |path: &Path| match rustix::fs::chownat(CWD, path, Some(uid), None, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(Failure::io(Step::Cgroup, path.to_string_lossy(), e)),
    };
    own(dir)?;
    listed.lines().filter(|name| !name.contains('/')).try_for_each(|name| own(&dir.join(name)))
}

/// The child waits until its mappings are there.
pub(crate) fn wait_for_mappings(socket: &OwnedFd) -> Result<()> {
    match fdpass::recv(socket).at(Step::Io, "mappings")? {
        Some(_) => Ok(()),
        None => Err(Failure::new(Step::Io, "mappings", Kind::Other, "were not made")),
    }
}

/// The child takes the mounts from outside.
pub(crate) fn receive_mounts(plan: &Plan, socket: &OwnedFd) -> Result<Vec<OwnedFd>> {
    let wanted = plan.mounts.iter().filter(|m| mounts::is_from_outside(plan, m)).count();
    let mut all = Vec::with_capacity(wanted);
    while all.len() < wanted {
        match fdpass::recv(socket).at(Step::Io, "mounts")? {
            Some((_, fds)) if !fds.is_empty() => all.extend(fds),
            _ => return Err(Failure::new(Step::Io, "mounts", Kind::Other, "were not sent")),
        }
    }
    Ok(all)
}

/// Becomes root in the user namespace. Until then a process in it is still the host's root to files, but to nothing else.
pub(crate) fn become_root(keeps_groups: bool) -> Result<()> {
    if !keeps_groups {
        set_groups(&[])?;
    }
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).at(Step::User, "gid 0")?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).at(Step::User, "uid 0")
}

/// Sets the supplementary groups. Where that is denied to everybody (`/proc/PID/setgroups`, in a namespace that somebody without rights has made)
/// they stay, as for runc: then not even the capability helps.
pub(crate) fn set_groups(groups: &[Gid]) -> Result<()> {
    let may = || rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETGID));
    match rustix::thread::set_thread_groups(groups) {
        Err(rustix::io::Errno::PERM) if may() => Ok(()),
        other => other.at(Step::User, "supplementary groups"),
    }
}

/// Joins the user namespace of the process behind a pidfd and becomes root there.
pub(crate) fn join(init: impl AsFd) -> Result<()> {
    process::setns_pidfd(init, NEWUSER).at(Step::Namespaces, "setns user")?;
    become_root(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate;
    use serde_json::{Value, json};

    fn plan_of(namespaces: &Value, map: Option<&Value>, user: &Value) -> Result<Plan> {
        let mut spec = json!({
            "ociVersion": "1.2.0",
            "process": {"user": user, "args": ["sh"], "cwd": "/"},
            "mounts": [
                {"destination": "/proc", "type": "proc"},
                {"destination": "/sys", "type": "sysfs"},
                {"destination": "/dev/mqueue", "type": "mqueue"},
                {"destination": "/tmp", "type": "tmpfs"},
                {"destination": "/x", "type": "bind", "source": "/x"},
            ],
            "linux": {"namespaces": namespaces},
        });
        if let Some(map) = map {
            spec["linux"]["uidMappings"] = map.clone();
            spec["linux"]["gidMappings"] = map.clone();
        }
        validate::plan(&serde_json::from_value(spec).unwrap())
    }

    fn map() -> Value {
        json!([{"containerID": 0, "hostID": 100_000, "size": 1000}])
    }

    #[test]
    fn what_a_specification_may_say() {
        let (root, user) = (json!({"uid": 0, "gid": 0}), json!({"type": "user"}));
        let check = |namespaces: Value, map: Option<Value>, user: &Value, field: &str| {
            let mut all = vec![json!({"type": "mount"})];
            all.extend(namespaces.as_array().unwrap().iter().cloned());
            let found = plan_of(&json!(all), map.as_ref(), user).err().map(|failure| failure.object);
            assert_eq!(found.as_deref().unwrap_or_default(), field);
        };
        check(json!([]), None, &root, "");
        check(json!([user]), Some(map()), &root, "");
        check(json!([{"type": "user", "path": "/x"}]), None, &root, "");
        check(json!([{"type": "user", "path": "x"}]), None, &root, "linux.namespaces.user");
        check(json!([user, user]), Some(map()), &root, "linux.namespaces.user");
        check(json!([]), Some(map()), &root, "linux.uidMappings");
        check(json!([user]), None, &root, "linux.uidMappings");
        check(json!([user]), Some(map()), &json!({"uid": 1000, "gid": 0}), "process.user.uid");
        check(json!([user]), Some(map()), &json!({"uid": 0, "gid": 1000}), "process.user.gid");
        check(json!([user]), Some(map()), &json!({"uid": 0, "gid": 0, "additionalGids": [3, 2000]}), "process.user.additionalGids");
    }

    #[test]
    fn who_makes_which_mount() {
        let places = |namespaces: Value, map: Option<Value>| {
            let plan = plan_of(&namespaces, map.as_ref(), &json!({"uid": 0, "gid": 0})).unwrap();
            let outside = plan.mounts.iter().filter(|m| mounts::is_from_outside(&plan, m));
            outside.map(|m| m.destination.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let all = json!([{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "network", "path": "/n"}]);
        assert!(places(all.clone(), None).is_empty());
        let with = |mut list: Value| {
            list.as_array_mut().unwrap().push(json!({"type": "user"}));
            list
        };
        assert_eq!(places(with(all), Some(map())), ["/x"]);
        assert_eq!(places(with(json!([{"type": "mount"}])), Some(map())), ["/proc", "/sys", "/dev/mqueue", "/x"]);
    }
}
