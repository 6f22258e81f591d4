//! A specification checked whole, before anything is done, and turned into a plan. Pure; errors name the field.

use crate::error::{Failure, Result};
use crate::mountopts;
use crate::procplan::{self, ProcessPlan};
use crate::usersplan::{self, UserNamespace};
use dhow_sys::mount::{Attr, Propagation};
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, LinuxNamespaceType, LinuxPersonalityDomain, Mount, Spec};
use std::path::{Component, Path, PathBuf};

/// All that the steps need to know.
#[derive(Debug)]
pub(crate) struct Plan {
    /// New namespaces (`CLONE_NEW*`) that clone makes: all but the cgroup namespace.
    pub(crate) new: u64,
    /// The cgroup namespace is new: made once the cgroup is entered.
    pub(crate) new_cgroup: bool,
    /// Namespaces that exist: kind and path.
    pub(crate) join: Vec<(u64, PathBuf)>,
    /// The user namespace; `None`: the host's.
    pub(crate) userns: Option<UserNamespace>,
    pub(crate) mounts: Vec<MountPlan>,
    pub(crate) devices: Vec<DevicePlan>,
    /// `/dev` is somebody else's (a bind): nothing is made in it.
    pub(crate) foreign_dev: bool,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) readonly: Vec<PathBuf>,
    pub(crate) root_readonly: bool,
    pub(crate) propagation: Option<(Propagation, bool)>,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    /// Paths below `/proc/sys`, and values.
    pub(crate) sysctls: Vec<(String, String)>,
    pub(crate) personality: Option<u32>,
    pub(crate) process: ProcessPlan,
}

/// One mount.
#[derive(Debug)]
pub(crate) struct MountPlan {
    /// Absolute, without `.` and `..`.
    pub(crate) destination: PathBuf,
    pub(crate) source: Source,
    pub(crate) set: Attr,
    pub(crate) clear: Attr,
    /// The attributes hold for the mounts below, too.
    pub(crate) recursive: bool,
    pub(crate) propagation: Option<(Propagation, bool)>,
    /// A bind whose files have the container's ids, for the mounts below it, too, or not.
    pub(crate) mapped: Option<bool>,
}

/// Only binds have ids of others, and only a user namespace says which.
fn mapped(userns: Option<UserNamespace>, mounts: &[MountPlan]) -> Result<Option<UserNamespace>> {
    let wrong = |m: &&MountPlan| m.mapped.is_some() && (userns.is_none() || !matches!(m.source, Source::Bind(..)));
    match mounts.iter().find(wrong) {
        Some(m) => Err(Failure::invalid("mounts.options", format!("{}: idmap needs a bind and a user namespace", m.destination.display()))),
        None => Ok(userns),
    }
}

/// What is mounted.
#[derive(Debug)]
pub(crate) enum Source {
    /// A host path, with the mounts below it or without.
    Bind(PathBuf, bool),
    /// A new filesystem.
    Filesystem { kind: String, source: String, data: Vec<(String, Option<String>)> },
    /// The container's view of its cgroups.
    Cgroup,
}

/// One device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DevicePlan {
    pub(crate) path: PathBuf,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub(crate) kind: rustix::fs::FileType,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

const NEWNS: u64 = libc::CLONE_NEWNS as u64;
const NEWNET: u64 = libc::CLONE_NEWNET as u64;
const NEWIPC: u64 = libc::CLONE_NEWIPC as u64;
const NEWUTS: u64 = libc::CLONE_NEWUTS as u64;

/// Checks and converts.
pub(crate) fn plan(spec: &Spec) -> Result<Plan> {
    let linux = spec.linux().as_ref().ok_or_else(|| Failure::invalid("linux", "is missing"))?;
    let process = spec.process().as_ref().ok_or_else(|| Failure::invalid("process", "is missing"))?;
    refuse_unsupported(linux)?;
    let Namespaces { new, new_cgroup, join, user } = namespaces(linux)?;
    let process = procplan::plan(process)?;
    let own = |kind: u64| new & kind != 0 || join.iter().any(|(joined, _)| *joined == kind);
    for (field, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        if name.as_ref().is_some_and(|name| !name.is_empty()) && !own(NEWUTS) {
            return Err(Failure::invalid(field, "needs a uts namespace of the container's own"));
        }
        if name.as_ref().is_some_and(|name| name.len() > 64) {
            return Err(Failure::invalid(field, "is longer than 64 bytes"));
        }
    }
    let named = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mounts = mounts.iter().enumerate().map(|(n, m)| mount(n, m)).collect::<Result<Vec<_>>>()?;
    let foreign_dev = mounts.iter().any(|m| m.destination == Path::new("/dev") && matches!(m.source, Source::Bind(..)));
    Ok(Plan {
        new,
        new_cgroup,
        devices: devices(linux.devices().as_deref().unwrap_or_default())?,
        masked: paths("linux.maskedPaths", linux.masked_paths())?,
        readonly: paths("linux.readonlyPaths", linux.readonly_paths())?,
        root_readonly: spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
        propagation: linux.rootfs_propagation().as_deref().map(propagation).transpose()?.flatten(),
        hostname: named(spec.hostname()),
        domainname: named(spec.domainname()),
        sysctls: sysctls(linux, own)?,
        personality: linux.personality().as_ref().map(|p| match p.domain() {
            LinuxPersonalityDomain::PerLinux => 0,
            LinuxPersonalityDomain::PerLinux32 => 8,
        }),
        userns: mapped(usersplan::plan(linux, user, &process)?, &mounts)?,
        process,
        join,
        mounts,
        foreign_dev,
    })
}

fn refuse_unsupported(linux: &Linux) -> Result<()> {
    let fields = [
        ("linux.mountLabel", linux.mount_label().as_ref().is_some_and(|label| !label.is_empty())),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|m| !m.is_empty())),
        ("linux.timeOffsets", linux.time_offsets().as_ref().is_some_and(|m| !m.is_empty())),
    ];
    for (field, present) in fields {
        if present {
            return Err(Failure::invalid(field, "is not supported yet"));
        }
    }
    Ok(())
}

/// As in [`Plan`]; the user namespace with its path, if it has one.
struct Namespaces {
    new: u64,
    new_cgroup: bool,
    join: Vec<(u64, PathBuf)>,
    user: Option<Option<PathBuf>>,
}

fn namespaces(linux: &Linux) -> Result<Namespaces> {
    let (mut new, mut join, mut seen, mut user) = (0u64, Vec::new(), 0u64, None);
    for namespace in linux.namespaces().as_deref().unwrap_or_default() {
        let kind = namespace.typ() as u64;
        let field = || format!("linux.namespaces.{}", namespace.typ());
        if seen & kind != 0 {
            return Err(Failure::invalid(field(), "is given twice"));
        }
        seen |= kind;
        match (namespace.typ(), namespace.path()) {
            (LinuxNamespaceType::Time, _) => {
                return Err(Failure::invalid(field(), "is not supported yet"));
            }
            (LinuxNamespaceType::Mount, Some(_)) => {
                return Err(Failure::invalid(field(), "cannot be joined by path"));
            }
            (_, Some(path)) if !path.is_absolute() => {
                return Err(Failure::invalid(field(), "the path must be absolute"));
            }
            (LinuxNamespaceType::User, path) => user = Some(path.clone()),
            (_, Some(path)) => join.push((kind, path.clone())),
            (_, None) => new |= kind,
        }
    }
    if new & NEWNS == 0 {
        return Err(Failure::invalid("linux.namespaces", "a new mount namespace is needed"));
    }
    let cgroup = LinuxNamespaceType::Cgroup as u64;
    Ok(Namespaces { new: new & !cgroup, new_cgroup: new & cgroup != 0, join, user })
}

/// Absolute, with `.` and `..` taken out by name, as in the specification's own meaning of a destination.
fn clean(field: impl Fn() -> String, path: &Path) -> Result<PathBuf> {
    if !path.is_absolute() {
        return Err(Failure::invalid(field(), "must be an absolute path"));
    }
    if path.as_os_str().len() > 4095 || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(Failure::invalid(field(), "is no valid path"));
    }
    let mut all = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                all.pop();
            }
            Component::Normal(name) => all.push(name),
            _ => {}
        }
    }
    Ok(all)
}

fn paths(field: &str, paths: &Option<Vec<String>>) -> Result<Vec<PathBuf>> {
    let convert = |(n, path): (usize, &String)| clean(|| format!("{field}[{n}]"), Path::new(path));
    paths.as_deref().unwrap_or_default().iter().enumerate().map(convert).collect()
}

fn mount(n: usize, mount: &Mount) -> Result<MountPlan> {
    let field = |name: &str| format!("mounts[{n}].{name}");
    let destination = clean(|| field("destination"), mount.destination())?;
    if destination == Path::new("/") {
        return Err(Failure::invalid(field("destination"), "destination can't be '/'"));
    }
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return Err(Failure::invalid(field("uidMappings"), "is not supported yet"));
    }
    let options = mountopts::parse(mount.options().iter().flatten().map(String::as_str))
        .map_err(|option| Failure::invalid(field("options"), format!("cannot honour {option:?}")))?;
    let kind = mount.typ().as_deref().unwrap_or("none");
    let source = mount.source().clone().unwrap_or_default();
    let (set, clear) = (options.set, options.clear_for_setattr());
    let bind = options.bind.or((kind == "bind").then_some(false));
    let (source, recursive) = match (bind, kind) {
        (Some(recursive), _) => {
            if !source.is_absolute() {
                return Err(Failure::invalid(field("source"), "must be an absolute path"));
            }
            if let Some((key, _)) = options.data.iter().find(|(key, _)| key != "z" && key != "Z") {
                return Err(Failure::invalid(field("options"), format!("cannot honour {key:?} on a bind mount")));
            }
            // `ro` is the mount's own; only `rro` reaches those below it.
            (Source::Bind(source, recursive), options.recursive)
        }
        (None, "cgroup" | "cgroup2") => (Source::Cgroup, true),
        (None, "none" | "") => return Err(Failure::invalid(field("type"), "is missing")),
        (None, kind) => {
            let source = source.to_string_lossy().into_owned();
            let source = if source.is_empty() || source.len() > 255 { kind.to_owned() } else { source };
            (Source::Filesystem { kind: kind.to_owned(), source, data: options.data }, false)
        }
    };
    Ok(MountPlan { destination, source, set, clear, recursive, propagation: options.propagation, mapped: options.mapped })
}

fn devices(devices: &[LinuxDevice]) -> Result<Vec<DevicePlan>> {
    use rustix::fs::FileType;
    let convert = |(n, device): (usize, &LinuxDevice)| {
        let field = |name: &str| format!("linux.devices[{n}].{name}");
        let number = |name: &str, value: i64| u32::try_from(value).map_err(|_| Failure::invalid(field(name), "is out of range"));
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::P => FileType::Fifo,
            LinuxDeviceType::A => return Err(Failure::invalid(field("type"), "must be c, b, u or p")),
        };
        let fifo = kind == FileType::Fifo;
        Ok(DevicePlan {
            path: clean(|| field("path"), device.path())?,
            kind,
            major: if fifo { 0 } else { number("major", device.major())? },
            minor: if fifo { 0 } else { number("minor", device.minor())? },
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        })
    };
    devices.iter().enumerate().map(convert).collect()
}

/// Of the root mount only what changes it: its copy is private anyway.
fn propagation(name: &str) -> Result<Option<(Propagation, bool)>> {
    Ok(Some(match name {
        "" => return Ok(None),
        "private" | "rprivate" | "slave" | "rslave" => return Ok(None),
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        _ => return Err(Failure::invalid("linux.rootfsPropagation", format!("{name:?} is not known"))),
    }))
}

/// Only what belongs to a namespace of the container's own may be set; everything else is the host's.
fn sysctls(linux: &Linux, own: impl Fn(u64) -> bool) -> Result<Vec<(String, String)>> {
    const IPC: [&str; 8] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    let mut all = Vec::new();
    for (key, value) in linux.sysctl().iter().flatten() {
        let field = || format!("linux.sysctl.{key}");
        let path = sysctl_path(key);
        if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") || path.contains('\0') {
            return Err(Failure::invalid(field(), "is no name of a sysctl"));
        }
        let needed = if path.starts_with("net/") {
            NEWNET
        } else if IPC.contains(&path.as_str()) || path.starts_with("fs/mqueue/") {
            NEWIPC
        } else if path == "kernel/domainname" {
            NEWUTS
        } else {
            return Err(Failure::invalid(field(), "is not in a separate kernel namespace"));
        };
        if !own(needed) {
            return Err(Failure::invalid(field(), "not allowed in host network, ipc or uts namespace"));
        }
        all.push((path, value.clone()));
    }
    all.sort();
    Ok(all)
}

/// Whichever of `.` and `/` comes first separates; the other one then belongs to the names.
fn sysctl_path(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'.' => key
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use serde_json::{Value, json};

    fn base() -> Value {
        json!({
            "ociVersion": "1.2.0",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"},
            "hostname": "h",
            "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "cgroup"},
                {"type": "network", "path": "/run/ns"}]},
        })
    }

    fn with(pointer: &str, value: Value) -> Result<Plan> {
        let mut spec = base();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[key] = value;
        plan(&serde_json::from_value(spec).unwrap())
    }

    fn refused(pointer: &str, value: Value, field: &str) {
        let failure = with(pointer, value).unwrap_err();
        assert_eq!((failure.kind, failure.object.as_str()), (Kind::Invalid, field), "{failure}");
    }

    #[test]
    fn a_plain_one() {
        let plan = plan(&serde_json::from_value(base()).unwrap()).unwrap();
        assert_eq!(plan.new, NEWNS | NEWUTS | libc::CLONE_NEWPID as u64);
        assert!(plan.new_cgroup);
        assert_eq!(plan.join, [(NEWNET, PathBuf::from("/run/ns"))]);
    }

    #[test]
    fn refusals_name_the_field() {
        refused("/linux/namespaces", json!([]), "linux.namespaces");
        refused("/linux/namespaces", json!([{"type": "mount"}, {"type": "time"}]), "linux.namespaces.time");
        refused("/linux/namespaces", json!([{"type": "mount"}, {"type": "mount"}]), "linux.namespaces.mnt");
        refused("/linux/namespaces", json!([{"type": "mount"}]), "hostname");
        refused("/hostname", json!("x".repeat(65)), "hostname");
        refused("/linux/maskedPaths", json!(["/a", "b"]), "linux.maskedPaths[1]");
        refused("/linux/rootfsPropagation", json!("odd"), "linux.rootfsPropagation");
        refused("/mounts", json!([{"destination": "/../", "type": "tmpfs"}]), "mounts[0].destination");
        refused("/mounts", json!([{"destination": "/x"}]), "mounts[0].type");
        refused("/mounts", json!([{"destination": "/x", "type": "bind", "source": "a"}]), "mounts[0].source");
        refused("/mounts", json!([{"destination": "/x", "type": "bind", "source": "/a", "options": ["size=1"]}]), "mounts[0].options");
        refused("/linux/devices", json!([{"path": "/dev/x", "type": "c", "major": -1}]), "linux.devices[0].major");
        refused("/linux/sysctl", json!({"kernel.panic": "1"}), "linux.sysctl.kernel.panic");
        refused("/linux/sysctl", json!({"kernel.sem": "1"}), "linux.sysctl.kernel.sem");
        refused("/linux/sysctl", json!({"net/../kernel/panic": "1"}), "linux.sysctl.net/../kernel/panic");
    }

    proptest::proptest! {
        #[test]
        fn cleaned_paths_stay_below_the_root(parts in proptest::collection::vec("[a-b]{1,2}|\\.|\\.\\.|", 0..12)) {
            let given = PathBuf::from(format!("/{}", parts.join("/")));
            let cleaned = clean(|| "x".to_owned(), &given).unwrap();
            proptest::prop_assert!(cleaned.components().skip(1).all(|part| matches!(part, Component::Normal(_))));
            proptest::prop_assert_eq!(clean(|| "x".to_owned(), &cleaned).unwrap(), cleaned.clone());
        }

        #[test]
        fn sysctls_never_leave_their_namespaces(key in "[a-z./]{0,20}") {
            let mut spec = base();
            spec["linux"]["sysctl"] = json!({key: "1"});
            if let Ok(plan) = plan(&serde_json::from_value(spec).unwrap()) {
                let ours = |path: &str| path.starts_with("net/") || path == "kernel/domainname";
                proptest::prop_assert!(plan.sysctls.iter().all(|(path, _)| ours(path) && !path.contains("..")));
            }
        }
    }

    #[test]
    fn destinations_are_cleaned() {
        let plan = with("/mounts", json!([{"destination": "/a/./b/../../../c", "type": "tmpfs"}])).unwrap();
        assert_eq!(plan.mounts[0].destination, Path::new("/c"));
    }

    #[test]
    fn sysctl_names() {
        for (key, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ] {
            assert_eq!(sysctl_path(key), path);
        }
        let plan = with("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"})).unwrap();
        assert_eq!(plan.sysctls, [("net/ipv4/ip_forward".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn dev_as_a_bind_is_left_alone() {
        let mounts = json!([{"destination": "/dev", "source": "/dev", "options": ["rbind"]}]);
        assert!(with("/mounts", mounts).unwrap().foreign_dev);
    }
}
