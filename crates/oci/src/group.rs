//! A container's control group: where the specification wants it, made, and taken away again.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::record::Record;
use dhow_runtime::Failure;
use dhow_runtime::cgroup::systemd::{self, Holder};
use dhow_runtime::cgroup::{self, Cgroup, Unfinished};
use nix::libc;
use oci_spec::runtime::{LinuxResources, Spec};

/// A control group that was made.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) cgroup: Cgroup,
    /// Where systemd knows it, if it made it.
    pub(crate) unit: Option<String>,
    /// Keeps it until the container's first process is in it.
    pub(crate) holder: Option<Holder>,
    /// What is still to be made of it.
    pub(crate) unfinished: Unfinished,
}

impl Group {
    fn whole(cgroup: Cgroup) -> Self {
        Self { cgroup, unit: None, holder: None, unfinished: Unfinished::default() }
    }
}

/// Makes it, with the limits, or begins to.
pub(crate) fn create(context: &Context<'_>, spec: &Spec, id: &str) -> Result<Group> {
    let linux = spec.linux().as_ref();
    let given = linux.and_then(|linux| linux.cgroups_path().as_deref()).and_then(|path| path.to_str()).unwrap_or_default();
    let path = path(context.systemd, given, id)?;
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    for warning in resources.map(cgroup::warnings).into_iter().flatten() {
        context.log.warn(&warning);
    }
    if context.systemd {
        let (cgroup, holder) = systemd::create(&path, resources, spec.annotations().iter().flatten())?;
        return Ok(Group { unit: Some(path), holder: Some(holder), ..Group::whole(cgroup) });
    }
    if !context.rootless {
        let (cgroup, unfinished) = Cgroup::begin(&path, resources, false)?;
        return Ok(Group { unfinished, ..Group::whole(cgroup) });
    }
    let denied = |failure: &Failure| matches!(failure.errno, libc::EACCES | libc::EPERM | libc::EROFS);
    let cgroup = match Cgroup::take(&path, resources) {
        // Who may make groups may still not say which devices are open to them.
        Err(failure) if denied(&failure) => match Cgroup::take_without_devices(&path, resources) {
            // Who may not make any has none, as long as nothing is asked that only a group can give.
            Err(failure) if denied(&failure) && given.is_empty() => Cgroup::none(resources)?,
            other => other?,
        },
        other => other?,
    };
    Ok(Group::whole(cgroup))
}

/// Takes it away. Its processes have ended.
pub(crate) fn remove(record: &Record) -> Result<()> {
    let told = record.unit.as_deref().map_or(Ok(()), systemd::remove);
    Ok(record.cgroup.remove().and(told)?)
}

/// Changes limits.
pub(crate) fn update(record: &Record, resources: &LinuxResources) -> std::result::Result<(), Failure> {
    record.cgroup.update(resources)?;
    record.unit.as_deref().map_or(Ok(()), |unit| systemd::update(unit, resources))
}

/// The group's path within the hierarchies; a relative one is below the caller's own group.
fn path(systemd: bool, given: &str, id: &str) -> Result<String> {
    if systemd {
        return systemd_path(given, id);
    }
    match given.trim_matches('/') {
        "" if given.is_empty() => Ok(format!("/{}/{id}", crate::NAME)),
        "" => Err(Error::new("linux.cgroupsPath: the root cannot be a container's")),
        path if given.starts_with('/') => Ok(format!("/{path}")),
        path => Ok(path.to_owned()),
    }
}

/// `slice:prefix:name` as systemd lays it out: a slice's name holds the slices above it.
fn systemd_path(given: &str, id: &str) -> Result<String> {
    let parts: Vec<&str> = given.split(':').collect();
    let (slice, prefix, name) = match parts.as_slice() {
        [""] => ("system.slice", crate::NAME, id),
        [slice, prefix, name] => (if slice.is_empty() { "system.slice" } else { *slice }, *prefix, *name),
        _ => return Err(Error::new("linux.cgroupsPath: expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups")),
    };
    let stem = slice.strip_suffix(".slice").filter(|stem| !stem.is_empty() && !stem.contains('/'));
    let stem = stem.ok_or_else(|| Error::new(format!("linux.cgroupsPath: {slice}: is no slice")))?;
    let mut path = String::new();
    if stem != "-" {
        for (at, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
            path.push_str(&format!("/{}.slice", &stem[..at]));
        }
    }
    let unit = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}-{name}") };
    let unit = if unit.ends_with(".slice") { unit } else { format!("{unit}.scope") };
    Ok(format!("{path}/{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_groups_are() {
        let check = |systemd: bool, given: &str, expect: &str| assert_eq!(path(systemd, given, "box").unwrap(), expect, "{given}");
        check(false, "", "/dhow-runtime/box");
        check(false, "/docker/abc", "/docker/abc");
        check(false, "a/b/", "a/b");
        check(true, "", "/system.slice/dhow-runtime-box.scope");
        check(true, "system.slice:docker:abc", "/system.slice/docker-abc.scope");
        check(true, "kubepods-pod1.slice:cri:x", "/kubepods.slice/kubepods-pod1.slice/cri-x.scope");
        check(true, ":p:x", "/system.slice/p-x.scope");
        check(true, "-.slice::x", "/x.scope");
        for (systemd, given) in [(false, "/"), (true, "/a/b"), (true, "a:b:c"), (true, "a/b.slice:x:y")] {
            assert!(path(systemd, given, "box").unwrap_err().message.starts_with("linux.cgroupsPath: "), "{given}");
        }
    }
}
