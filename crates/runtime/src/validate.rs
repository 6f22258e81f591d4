//! A specification checked whole, before anything is done, and turned into a plan. Pure; errors name the field.

use crate::error::{Failure, Result};
use crate::idmap::IdMap;
use crate::itself::Itself;
use crate::mountopts;
use crate::netdevices::{self, NetDevice};
use crate::othermounts::NEWNS;
use crate::procplan::{self, ProcessPlan};
use crate::schedplan;
use crate::timens::{NEWTIME, Offset};
use crate::usersplan::{self, UserNamespace};
use dhow_sys::mount::{Attr, Propagation};
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, LinuxNamespaceType, LinuxPersonality, LinuxPersonalityDomain, Mount, Spec};
use std::os::fd::OwnedFd;
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
    /// There is no mount namespace but the caller's.
    pub(crate) shares_mounts: bool,
    /// Whoever calls is not root: the container's own root does what its parent would ([`crate::rootless`]).
    pub(crate) unaided: bool,
    /// The child makes all mounts itself, since nobody else may.
    pub(crate) mounts_inside: bool,
    /// The user namespace; `None`: the host's.
    pub(crate) userns: Option<UserNamespace>,
    pub(crate) mounts: Vec<MountPlan>,
    /// What no bind may bring.
    pub(crate) itself: Option<Itself>,
    pub(crate) devices: Vec<DevicePlan>,
    /// `/dev` is somebody else's (a bind): nothing is made in it.
    pub(crate) foreign_dev: bool,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) readonly: Vec<PathBuf>,
    pub(crate) root_readonly: bool,
    pub(crate) propagation: Option<(Propagation, bool)>,
    /// The root hears of the mounts that are made where it came from.
    pub(crate) root_listens: bool,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    /// Paths below `/proc/sys`, and values.
    pub(crate) sysctls: Vec<(String, String)>,
    pub(crate) personality: Option<u32>,
    /// A new time namespace, and its clocks.
    pub(crate) time: Option<Vec<Offset>>,
    /// SELinux's context of the mounts.
    pub(crate) mount_label: Option<String>,
    /// Mode with its flags, and nodes.
    pub(crate) memory_policy: Option<(i32, Vec<u32>)>,
    pub(crate) net_devices: Vec<NetDevice>,
    pub(crate) process: ProcessPlan,
}

impl Plan {
    /// The mount namespace is somebody else's, or the caller's.
    pub(crate) fn joins_mounts(&self) -> bool {
        self.new & NEWNS == 0
    }
}

/// One mount.
#[derive(Debug)]
pub(crate) struct MountPlan {
    /// Absolute, without `.` and `..`.
    pub(crate) destination: PathBuf,
    pub(crate) source: Source,
    pub(crate) set: Attr,
    pub(crate) clear: Attr,
    /// What to set and clear on the mounts below, too.
    pub(crate) below: Option<(Attr, Attr)>,
    pub(crate) propagation: Option<(Propagation, bool)>,
    /// A bind whose files have the container's ids, for the mounts below it, too, or not.
    pub(crate) mapped: Option<bool>,
    /// A mapping of the mount's own instead of the container's.
    pub(crate) map: Option<IdMap>,
    /// A tmpfs begins with what its place has.
    pub(crate) copy_up: bool,
    /// A bind that the caller has made: its source is not looked up.
    pub(crate) tree: Option<OwnedFd>,
}

/// Only binds have ids of others, and only a user namespace says which.
fn mapped(userns: Option<UserNamespace>, mounts: &[MountPlan]) -> Result<Option<UserNamespace>> {
    let nameless = |m: &MountPlan| userns.is_none() && m.map.is_none();
    let wrong = |m: &&MountPlan| m.mapped.is_some() && (nameless(m) || !matches!(m.source, Source::Bind(..)));
    match mounts.iter().find(wrong) {
        Some(m) => Err(Failure::invalid(
            "mounts.options",
            format!("{}: idmap needs a bind, and a user namespace or mappings of the mount's own", m.destination.display()),
        )),
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
    /// What is there already.
    Remount,
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

const NEWNET: u64 = libc::CLONE_NEWNET as u64;
const NEWIPC: u64 = libc::CLONE_NEWIPC as u64;
const NEWUTS: u64 = libc::CLONE_NEWUTS as u64;

/// Checks and converts.
pub(crate) fn plan(spec: &Spec) -> Result<Plan> {
    let linux = spec.linux().as_ref().ok_or_else(|| Failure::invalid("linux", "is missing"))?;
    let process = spec.process().as_ref().ok_or_else(|| Failure::invalid("process", "is missing"))?;
    let Namespaces { new, new_cgroup, join, user, new_time, shares_mounts } = namespaces(linux)?;
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
        shares_mounts,
        unaided: false,
        mounts_inside: false,
        devices: devices(linux.devices().as_deref().unwrap_or_default())?,
        masked: paths("linux.maskedPaths", linux.masked_paths())?,
        readonly: paths("linux.readonlyPaths", linux.readonly_paths())?,
        root_readonly: spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
        propagation: linux.rootfs_propagation().as_deref().map(propagation).transpose()?.flatten(),
        root_listens: matches!(linux.rootfs_propagation().as_deref(), Some("slave" | "rslave")),
        hostname: named(spec.hostname()),
        domainname: named(spec.domainname()),
        sysctls: sysctls(linux, own)?,
        personality: linux.personality().as_ref().map(personality).transpose()?,
        time: time_offsets(linux, new_time)?,
        mount_label: linux.mount_label().clone().filter(|label| !label.is_empty()),
        memory_policy: linux.memory_policy().as_ref().map(schedplan::memory_policy).transpose()?,
        net_devices: netdevices::plan(linux, own(NEWNET))?,
        userns: mapped(usersplan::plan(linux, user, &process)?, &mounts)?,
        process,
        join,
        mounts,
        itself: None,
        foreign_dev,
    })
}

/// As in [`Plan`]; the user namespace with its path, if it has one.
struct Namespaces {
    new: u64,
    new_cgroup: bool,
    join: Vec<(u64, PathBuf)>,
    user: Option<Option<PathBuf>>,
    new_time: bool,
    shares_mounts: bool,
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
            (_, Some(path)) if !path.is_absolute() => {
                return Err(Failure::invalid(field(), "the path must be absolute"));
            }
            (LinuxNamespaceType::User, path) => user = Some(path.clone()),
            (_, Some(path)) => join.push((kind, path.clone())),
            (_, None) => new |= kind,
        }
    }
    let shares_mounts = seen & NEWNS == 0;
    if shares_mounts && user.is_some() {
        // Its root may mount nothing among the host's mounts.
        return Err(Failure::invalid("linux.namespaces", "a user namespace needs a mount namespace beside it"));
    }
    let cgroup = LinuxNamespaceType::Cgroup as u64;
    let apart = cgroup | NEWTIME;
    Ok(Namespaces { new: new & !apart, new_cgroup: new & cgroup != 0, join, user, new_time: new & NEWTIME != 0, shares_mounts })
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
    // Relative ones are the root's, as for runc, which is there when it looks for them.
    let convert = |(n, path): (usize, &String)| clean(|| format!("{field}[{n}]"), &Path::new("/").join(path));
    paths.as_deref().unwrap_or_default().iter().enumerate().map(convert).collect()
}

fn mount(n: usize, mount: &Mount) -> Result<MountPlan> {
    let field = |name: &str| format!("mounts[{n}].{name}");
    let destination = clean(|| field("destination"), mount.destination())?;
    if destination == Path::new("/") {
        return Err(Failure::invalid(field("destination"), "destination can't be '/'"));
    }
    let map = IdMap::of_fields(&format!("mounts[{n}]"), mount.uid_mappings().as_deref(), mount.gid_mappings().as_deref())?;
    let options = mountopts::parse(mount.options().iter().flatten().map(String::as_str))
        .map_err(|option| Failure::invalid(field("options"), format!("cannot honour {option:?}")))?;
    let kind = mount.typ().as_deref().unwrap_or("none");
    let source = mount.source().clone().unwrap_or_default();
    let ((set, clear), mut below) = (options.attributes(), options.attributes_below());
    let bind = options.bind.or((kind == "bind").then_some(false));
    let own_data = options.data.iter().find(|(key, _)| key != "z" && key != "Z" && !mountopts::is_of_superblock(key));
    let source = match (bind, kind) {
        _ if options.remount => {
            if let Some((key, _)) = own_data {
                return Err(Failure::invalid(field("options"), format!("cannot honour {key:?} on a remount")));
            }
            Source::Remount
        }
        (Some(recursive), _) => {
            if !source.is_absolute() {
                return Err(Failure::invalid(field("source"), "must be an absolute path"));
            }
            // Options of a filesystem say nothing about a bind of it: as for mount(2) they are skipped. `ro` is the mount's own; only `rro`
            // reaches those below it.
            Source::Bind(source, recursive)
        }
        (None, "cgroup" | "cgroup2") => Source::Cgroup,
        (None, "none" | "") => return Err(Failure::invalid(field("type"), "is missing")),
        (None, kind) => {
            let source = source.to_string_lossy().into_owned();
            let source = if source.is_empty() || source.len() > 255 { kind.to_owned() } else { source };
            // There is nothing below a new one.
            below = None;
            Source::Filesystem { kind: kind.to_owned(), source, data: options.data }
        }
    };
    let copy_up = options.copy_up && matches!(&source, Source::Filesystem { kind, .. } if kind == "tmpfs");
    // Mappings without a word about those below the mount are its own.
    let mapped = options.mapped.or(map.as_ref().map(|_| false));
    Ok(MountPlan { destination, source, set, clear, below, propagation: options.propagation, mapped, map, copy_up, tree: None })
}

pub(crate) fn personality(wanted: &LinuxPersonality) -> Result<u32> {
    if wanted.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(Failure::invalid("linux.personality.flags", "there are none that may be set"));
    }
    Ok(match wanted.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    })
}

/// `None` without a new time namespace, whose clocks alone can be set.
fn time_offsets(linux: &Linux, new: bool) -> Result<Option<Vec<Offset>>> {
    let mut all = Vec::new();
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        let field = format!("linux.timeOffsets.{clock}");
        let clock = match clock.as_str() {
            "monotonic" => "monotonic",
            "boottime" => "boottime",
            _ => return Err(Failure::invalid(field, "is no clock of a time namespace (monotonic, boottime)")),
        };
        let nanos = offset.nanosecs().unwrap_or(0);
        if nanos > 999_999_999 {
            return Err(Failure::invalid(field, "nanosecs must be below 1000000000"));
        }
        if !new {
            return Err(Failure::invalid(field, "needs a new time namespace"));
        }
        all.push((clock, offset.secs().unwrap_or(0), nanos));
    }
    all.sort_unstable();
    Ok(new.then_some(all))
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
    fn options_of_a_filesystem_say_nothing_about_a_bind() {
        let mount = serde_json::from_value(json!({"destination": "/x", "type": "bind", "source": "/a", "options": ["ro", "size=1"]}));
        let plan = super::mount(0, &mount.unwrap()).unwrap();
        assert!(matches!(plan.source, Source::Bind(..)));
        assert_eq!(plan.set, dhow_sys::mount::RDONLY);
    }

    #[test]
    fn refusals_name_the_field() {
        refused("/linux/namespaces", json!([]), "hostname");
        refused("/linux/namespaces", json!([{"type": "user"}, {"type": "uts"}]), "linux.namespaces");
        refused("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}), "linux.timeOffsets.monotonic");
        refused("/linux/timeOffsets", json!({"realtime": {"secs": 1}}), "linux.timeOffsets.realtime");
        refused("/linux/netDevices", json!({"a/b": {}}), "linux.netDevices.a/b");
        refused("/linux/personality", json!({"domain": "LINUX", "flags": ["x"]}), "linux.personality.flags");
        refused("/linux/memoryPolicy", json!({"mode": "MPOL_BIND"}), "linux.memoryPolicy.nodes");
        let mapped = json!([{"containerID": 0, "hostID": 5, "size": 1}]);
        let mount = |more: Value| json!([{"destination": "/x", "source": "/a", "options": more, "uidMappings": mapped}]);
        refused("/mounts", mount(json!(["bind"])), "mounts[0].gidMappings");
        refused("/mounts", json!([{"destination": "/x", "source": "/a", "options": ["bind", "idmap"]}]), "mounts.options");
        refused("/mounts", json!([{"destination": "/x", "options": ["remount", "size=1"]}]), "mounts[0].options");
        refused("/linux/namespaces", json!([{"type": "mount"}, {"type": "mount"}]), "linux.namespaces.mnt");
        refused("/linux/namespaces", json!([{"type": "mount"}]), "hostname");
        refused("/hostname", json!("x".repeat(65)), "hostname");
        refused("/linux/maskedPaths", json!(["/a", "b\0"]), "linux.maskedPaths[1]");
        assert_eq!(with("/linux/readonlyPaths", json!(["a/../b"])).unwrap().readonly, [Path::new("/b")]);
        refused("/linux/rootfsPropagation", json!("odd"), "linux.rootfsPropagation");
        refused("/mounts", json!([{"destination": "/../", "type": "tmpfs"}]), "mounts[0].destination");
        refused("/mounts", json!([{"destination": "/x"}]), "mounts[0].type");
        refused("/mounts", json!([{"destination": "/x", "type": "bind", "source": "a"}]), "mounts[0].source");
        refused(
            "/mounts",
            json!([{"destination": "/x", "type": "bind", "source": "/a", "options": ["remount", "size=1"]}]),
            "mounts[0].options",
        );
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
    fn clocks() {
        let mut spec = base();
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
        spec["linux"]["timeOffsets"] = json!({"monotonic": {"secs": -3}, "boottime": {"secs": 7, "nanosecs": 9}});
        let plan = plan(&serde_json::from_value(spec).unwrap()).unwrap();
        assert_eq!(plan.time, Some(vec![("boottime", 7, 9), ("monotonic", -3, 0)]));
        assert_eq!(plan.new & NEWTIME, 0, "clone does not make it");
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
