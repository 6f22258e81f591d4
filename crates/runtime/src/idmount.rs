//! Mounts with mappings of their own: the kernel takes a mapping as a user namespace, so one is made for each, and kept by its descriptor.

use crate::error::{At, Failure, Kind, Result, Step};
use crate::idmap::IdMap;
use crate::validate::Plan;
use dhow_sys::clone::{CloneArgs, Forked, clone3};
use dhow_sys::{fdpass, process};
use std::fs::File;
use std::os::fd::OwnedFd;

/// The user namespaces of the mounts, by their places; empty where no mount has a mapping of its own. The caller has one thread.
pub(crate) fn namespaces(plan: &Plan) -> Result<Vec<Option<OwnedFd>>> {
    if plan.mounts.iter().all(|m| m.map.is_none()) {
        return Ok(Vec::new());
    }
    plan.mounts.iter().map(|m| m.map.as_ref().map(namespace).transpose()).collect()
}

/// A process is born into it, gets the mapping, and is ended.
fn namespace(map: &IdMap) -> Result<OwnedFd> {
    let (ours, theirs) = fdpass::pair().at(Step::Io, "sync")?;
    let args = CloneArgs { namespaces: libc::CLONE_NEWUSER as u64, ..CloneArgs::default() };
    let Forked::Parent { pid, pidfd } = clone3(&args).at(Step::Namespaces, "user namespace of a mount")? else {
        drop(ours);
        // Until the parent has what it wants, or is gone.
        let _ = fdpass::recv(&theirs);
        process::exit_now(0)
    };
    drop(theirs);
    let name = format!("/proc/{pid}/ns/user");
    let made = map.write(pid).and_then(|()| File::open(&name).at(Step::Namespaces, &name));
    drop(ours);
    process::wait(&pidfd).map_err(|e| Failure::new(Step::Namespaces, name, Kind::Other, e.to_string()))?;
    made.map(OwnedFd::from)
}
