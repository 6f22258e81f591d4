//! A caller that is not root: what it may not do itself is done by the container's own root, in the container's user namespace.
//!
//! The root filesystem and every bind are cloned by the child, in its own mount namespace. Mappings of more than the caller's own ids are
//! written by `newuidmap` and `newgidmap`, who know which ids are the caller's by `/etc/subuid` and `/etc/subgid`; a group of one's own is
//! mapped without them, after which nobody in there can change supplementary groups. Those of the caller stay.

use crate::error::{At, Failure, Kind, Result, Step};
use crate::idmap::{IdMap, Range};
use crate::manner::Root;
use crate::usersplan::UserNamespace;
use crate::validate::{Plan, Source};
use dhow_sys::mount;
use rustix::fs::CWD;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether the caller is such a one.
pub(crate) fn unaided() -> bool {
    !rustix::process::geteuid().is_root()
}

/// Marks a plan of such a caller, and checks what it cannot do.
pub(crate) fn settle(plan: &mut Plan) -> Result<()> {
    if !unaided() {
        // Root of a user namespace may mount nothing as long as the mount namespace is another one's.
        plan.mounts_inside = plan.userns.is_some() && !may_mount();
        return Ok(());
    }
    plan.unaided = true;
    plan.mounts_inside = true;
    plan.process.keeps_groups = true;
    check(plan)
}

fn may_mount() -> bool {
    !matches!(mount::clone_tree(CWD, Path::new("/"), false), Err(e) if e.raw_os_error() == Some(libc::EPERM))
}

fn check(plan: &Plan) -> Result<()> {
    let map = match &plan.userns {
        None => return Err(Failure::invalid("linux.namespaces", "rootless container requires user namespaces")),
        Some(UserNamespace::New(map)) => Some(map),
        Some(UserNamespace::Join(_, map)) => map.as_ref(),
    };
    groups(&plan.process.groups)?;
    for (n, mount) in plan.mounts.iter().enumerate() {
        let Source::Filesystem { data, .. } = &mount.source else { continue };
        for (key, value) in data {
            let id = value.as_deref().and_then(|value| value.parse().ok());
            let host = |id: u32| match key.as_str() {
                "uid" => map.map_or(Some(id), |map| map.host_uid(id)),
                "gid" => map.map_or(Some(id), |map| map.host_gid(id)),
                _ => Some(id),
            };
            if id.is_some_and(|id| host(id).is_none()) {
                let why = format!(
                    "cannot specify {key}={} mount option for rootless container: it is not mapped",
                    value.as_deref().unwrap_or_default()
                );
                return Err(Failure::invalid(format!("mounts[{n}].options"), why));
            }
        }
    }
    Ok(())
}

/// Nobody without rights may choose them.
pub(crate) fn groups(wanted: &[u32]) -> Result<()> {
    match wanted {
        [] => Ok(()),
        _ => Err(Failure::invalid("process.user.additionalGids", "cannot set any additional groups in a rootless container")),
    }
}

/// Writes the mappings of a child of the caller's that has just been born into a new user namespace.
pub(crate) fn map(map: &IdMap, pid: i32) -> Result<()> {
    write(pid, "uid_map", &map.uids, "newuidmap")?;
    if alone(&map.gids, rustix::process::getegid().as_raw()) {
        // Else a group that takes rights away could be left.
        let name = format!("/proc/{pid}/setgroups");
        std::fs::write(&name, "deny").at(Step::Namespaces, &name)?;
    }
    write(pid, "gid_map", &map.gids, "newgidmap")
}

fn alone(ranges: &[Range], own: u32) -> bool {
    matches!(ranges, [range] if range.size == 1 && range.host == own)
}

fn write(pid: i32, name: &str, ranges: &[Range], helper: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{name}");
    match std::fs::write(&path, crate::idmap::text(ranges)) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            let field = if name == "uid_map" { "linux.uidMappings" } else { "linux.gidMappings" };
            call(helper, pid, ranges).map_err(|why| Failure::new(Step::Namespaces, field, Kind::Invalid, why))
        }
        other => other.at(Step::Namespaces, &path),
    }
}

/// With nothing of the caller's environment, since it runs with another's rights.
fn call(helper: &str, pid: i32, ranges: &[Range]) -> std::result::Result<(), String> {
    let path = std::env::var_os("PATH");
    let program = find(helper, path.as_deref()).ok_or_else(|| format!("more than the own id is mapped, and {helper} is not installed"))?;
    let numbers = ranges.iter().flat_map(|range| [range.container, range.host, range.size]).map(|number| number.to_string());
    let mut command = Command::new(&program);
    let out = command.arg(pid.to_string()).args(numbers).env_clear().stdin(Stdio::null()).output();
    let out = out.map_err(|e| format!("{}: {}", program.display(), crate::error::describe(&e)))?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}: {}", program.display(), out.status, String::from_utf8_lossy(&out.stderr).trim()))
}

/// The first program of that name on the way.
fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let path = path.filter(|path| !path.is_empty()).unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    let runs = |file: &PathBuf| file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(runs)
}

/// The directory of a root filesystem that the child can clone by itself.
pub(crate) fn dir(root: &Root, needed: bool) -> Result<Option<&Path>> {
    match root {
        Root::Dir(dir) => Ok(Some(dir)),
        _ if !needed => Ok(None),
        _ => Err(Failure::invalid("root", "only a directory can be the root of a rootless container")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refused(change: impl FnOnce(&mut Value)) -> Option<String> {
        let map = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
        let mut spec = json!({
            "ociVersion": "1.2.0",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"},
            "mounts": [{"destination": "/tmp", "type": "tmpfs", "options": ["gid=0"]}],
            "linux": {"namespaces": [{"type": "mount"}, {"type": "user"}], "uidMappings": map, "gidMappings": map},
        });
        change(&mut spec);
        let mut plan = crate::validate::plan(&serde_json::from_value(spec).unwrap()).unwrap();
        plan.unaided = true;
        check(&plan).err().map(|failure| failure.object)
    }

    #[test]
    fn what_it_cannot_do() {
        assert_eq!(refused(|_| ()), None);
        let without = |spec: &mut Value| spec["linux"] = json!({"namespaces": [{"type": "mount"}]});
        assert_eq!(refused(without).as_deref(), Some("linux.namespaces"));
        let unmapped = |spec: &mut Value| spec["mounts"][0]["options"] = json!(["gid=5"]);
        assert_eq!(refused(unmapped).as_deref(), Some("mounts[0].options"));
        let group = |spec: &mut Value| spec["process"]["user"]["additionalGids"] = json!([0]);
        assert_eq!(refused(group).as_deref(), Some("process.user.additionalGids"));
    }

    #[test]
    fn own_ids_need_no_helper() {
        let range = |container, host, size| Range { container, host, size };
        assert!(alone(&[range(0, 1000, 1)], 1000) && alone(&[range(5, 1000, 1)], 1000));
        assert!(!alone(&[range(0, 1000, 2)], 1000) && !alone(&[range(0, 1001, 1)], 1000));
        assert!(!alone(&[range(0, 1000, 1), range(1, 100_000, 10)], 1000));
    }

    #[test]
    fn helpers_are_found_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("newuidmap"), "").unwrap();
        let path = std::env::join_paths([Path::new("relative"), dir.path(), Path::new("/bin")]).unwrap();
        assert_eq!(find("newuidmap", Some(&path)), find("newuidmap", Some(OsStr::new("/bin"))), "what cannot be executed is no program");
        std::fs::set_permissions(dir.path().join("newuidmap"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("newuidmap", Some(&path)), Some(dir.path().join("newuidmap")));
        assert_eq!(find("no-such-helper", None), None);
    }
}
