//! What a specification says about a container's user namespace. Pure.

use crate::error::{Failure, Result};
use crate::idmap::IdMap;
use crate::procplan::ProcessPlan;
use oci_spec::runtime::Linux;
use std::path::PathBuf;

/// The user namespace of a container that does not live in the host's.
#[derive(Debug)]
pub(crate) enum UserNamespace {
    /// A new one.
    New(IdMap),
    /// An existing one, and its mappings where the specification says them.
    Join(PathBuf, Option<IdMap>),
}

/// What a specification says about it. `namespace` is there if it lists one, with the path if it is to be joined.
pub(crate) fn plan(linux: &Linux, namespace: Option<Option<PathBuf>>, process: &ProcessPlan) -> Result<Option<UserNamespace>> {
    let map = IdMap::of(linux.uid_mappings().as_deref(), linux.gid_mappings().as_deref())?;
    let found = match (namespace, map) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(Failure::invalid("linux.uidMappings", "need a user namespace")),
        (Some(None), None) => return Err(Failure::invalid("linux.uidMappings", "are missing, while there is a new user namespace")),
        (Some(None), Some(map)) => UserNamespace::New(map),
        (Some(Some(path)), map) => UserNamespace::Join(path, map),
    };
    if let UserNamespace::New(map) | UserNamespace::Join(_, Some(map)) = &found {
        mapped(map, process)?;
    }
    Ok(Some(found))
}

/// Whom the process runs as must have a name in it.
pub(crate) fn mapped(map: &IdMap, process: &ProcessPlan) -> Result<()> {
    let refuse = |what: &str| {
        let message = format!("cannot set {what} to unmapped user in user namespace");
        Err(Failure::invalid(format!("process.user.{what}"), message))
    };
    if map.host_uid(process.uid).is_none() {
        return refuse("uid");
    }
    if map.host_gid(process.gid).is_none() {
        return refuse("gid");
    }
    match process.groups.iter().find(|&&gid| map.host_gid(gid).is_none()) {
        Some(gid) => Err(Failure::invalid("process.user.additionalGids", format!("{gid} is not mapped"))),
        None => Ok(()),
    }
}
