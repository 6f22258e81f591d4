//! From what a container is to an OCI specification: a pure function of the container, its user, what it joins and the host.

mod edits;
pub(crate) mod env;
pub(crate) mod mounts;
pub(crate) mod resources;
pub(crate) mod seccomp;
pub(crate) mod user;

use crate::devices::Devices;
use crate::host::Host;
use crate::model::{Container, IpcMode, NamespaceMode, NetworkMode, Request};
use crate::policy;
use crate::userns::Userns;
use dhow_runtime::cgroup::Mode;
use dhow_runtime::idmap::Range;
use oci_spec::runtime::{
    Capabilities, Capability, Linux, LinuxCapabilities, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType,
    PosixRlimit, Process, Root, Spec, User,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use user::Resolved;

/// All that decides a specification.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) container: &'a Container,
    pub(crate) host: &'a Host,
    /// Whom the process runs as.
    pub(crate) user: &'a Resolved,
    /// Capabilities, resolved.
    pub(crate) capabilities: &'a [Capability],
    /// Variables that its links give it.
    pub(crate) linked: &'a [String],
    /// Namespaces of other containers.
    pub(crate) joins: &'a Joins,
    /// The user namespace, where it is not the host's.
    pub(crate) userns: Option<&'a Userns>,
    /// Path in the cgroup hierarchies.
    pub(crate) cgroup: String,
    /// Program behind `--init`, where it is asked for.
    pub(crate) init: Option<&'a Path>,
    /// Devices, their rules, and rates of block devices, as they are on this host now.
    pub(crate) devices: Devices,
    /// AppArmor profile, where there is one.
    pub(crate) apparmor: Option<String>,
}

/// Namespaces of other containers that this one joins, as paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Joins {
    pub(crate) network: Option<PathBuf>,
    pub(crate) pid: Option<PathBuf>,
    pub(crate) ipc: Option<PathBuf>,
    /// The other container's `/dev/shm`.
    pub(crate) shm: Option<PathBuf>,
}

/// Where the init is bound.
const INIT_TARGET: &str = "/sbin/docker-init";

/// Builds it, without `linux.seccomp`.
pub(crate) fn build(mut inputs: Inputs<'_>) -> Spec {
    let request = &inputs.container.request;
    let host = &request.host;
    let mut spec = Spec::default();
    let mut root = Root::default();
    root.set_path(PathBuf::from("rootfs")).set_readonly(Some(host.read_only));
    spec.set_version("1.2.0".into()).set_root(Some(root)).set_annotations(annotations(host)).set_hooks(None);
    let own_uts = host.uts == NamespaceMode::Private;
    spec.set_hostname(own_uts.then(|| request.hostname.clone()).filter(|h| !h.is_empty()));
    spec.set_domainname(own_uts.then(|| request.domainname.clone()).filter(|d| !d.is_empty()));
    let init = inputs.init.map(|source| (source, Path::new(INIT_TARGET)));
    let mut all = mounts::build(inputs.container, inputs.host, init, inputs.joins.shm.as_deref(), &inputs.devices.edits.mounts);
    if inputs.userns.is_some() {
        mounts::map_volumes(inputs.container, &mut all);
    }
    spec.set_mounts(Some(all));
    spec.set_process(Some(process(&inputs)));
    let edits = std::mem::take(&mut inputs.devices.edits);
    spec.set_linux(Some(linux(inputs)));
    edits::apply(&mut spec, edits);
    spec
}

fn annotations(host: &crate::model::Host) -> Option<HashMap<String, String>> {
    let all: HashMap<_, _> = host.annotations.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Some(all).filter(|all| !all.is_empty())
}

/// The command with the init before it, where one is asked for. It makes sense as the first process of a pid namespace only.
fn args(inputs: &Inputs<'_>) -> Vec<String> {
    let own = std::iter::once(&inputs.container.path).chain(&inputs.container.args).cloned();
    if inputs.init.is_some() { [INIT_TARGET.to_owned(), "--".to_owned()].into_iter().chain(own).collect() } else { own.collect() }
}

fn process(inputs: &Inputs<'_>) -> Process {
    let request = &inputs.container.request;
    let mut process = common_process(request, inputs.user, inputs.capabilities);
    process
        .set_terminal(Some(request.tty))
        .set_args(Some(args(inputs)))
        .set_env(Some(env::container(request, inputs.linked, &inputs.user.home)))
        .set_cwd(working_dir(&request.working_dir))
        .set_apparmor_profile(inputs.apparmor.clone());
    if let Some((height, width)) = request.console_size.filter(|_| request.tty) {
        process.set_console_size(console_size(height, width));
    }
    process
}

/// What a container's own process and its execs have in common.
pub(crate) fn common_process(request: &Request, user: &Resolved, capabilities: &[Capability]) -> Process {
    let mut process = Process::default();
    process
        .set_user(oci_user(user))
        .set_capabilities(Some(capability_sets(capabilities)))
        .set_no_new_privileges(Some(request.host.no_new_privileges))
        .set_oom_score_adj(Some(request.host.oom_score_adj))
        .set_rlimits(Some(rlimits(request)).filter(|l: &Vec<PosixRlimit>| !l.is_empty()));
    process
}

/// A terminal's size.
pub(crate) fn console_size(height: u16, width: u16) -> Option<oci_spec::runtime::Box> {
    // Every field has a default, so the builder cannot refuse.
    oci_spec::runtime::BoxBuilder::default().height(height).width(width).build().ok()
}

/// A working directory, `/` where none is set.
pub(crate) fn working_dir(text: &str) -> PathBuf {
    if text.is_empty() { PathBuf::from("/") } else { crate::paths::clean(Path::new(text)) }
}

fn oci_user(user: &Resolved) -> User {
    let mut out = User::default();
    out.set_uid(user.uid).set_gid(user.gid).set_additional_gids(Some(user.groups.clone()));
    out
}

/// Bounding, permitted and effective; never inheritable, never ambient.
fn capability_sets(capabilities: &[Capability]) -> LinuxCapabilities {
    let set: Capabilities = capabilities.iter().copied().collect();
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(set.clone())).set_permitted(Some(set.clone())).set_effective(Some(set)).set_inheritable(None).set_ambient(None);
    sets
}

fn rlimits(request: &Request) -> Vec<PosixRlimit> {
    request.host.ulimits.iter().filter_map(resources::rlimit).collect()
}

fn linux(inputs: Inputs<'_>) -> Linux {
    let request = &inputs.container.request;
    let host = &request.host;
    let mut linux = Linux::default();
    linux
        .set_cgroups_path(Some(PathBuf::from(inputs.cgroup)))
        .set_namespaces(Some(namespaces(request, inputs.joins, inputs.userns, inputs.host)))
        .set_resources(Some(resources::build(&host.resources, inputs.devices.rules, inputs.devices.block)))
        .set_uid_mappings(inputs.userns.map(|userns| mappings(&userns.map.uids)))
        .set_gid_mappings(inputs.userns.map(|userns| mappings(&userns.map.gids)))
        .set_sysctl(Some(sysctls(request, inputs.userns.is_some())).filter(|s| !s.is_empty()))
        .set_masked_paths(Some(masked(request, inputs.host)))
        .set_readonly_paths(Some(read_only(request)))
        .set_rootfs_propagation(mounts::root_propagation(&host.mounts))
        .set_devices(Some(inputs.devices.nodes).filter(|d| !d.is_empty()));
    linux
}

fn masked(request: &Request, host: &Host) -> Vec<String> {
    match &request.host.masked_paths {
        Some(paths) => paths.clone(),
        None if request.host.privileged => Vec::new(),
        None => policy::paths::masked(&host.thermal),
    }
}

fn read_only(request: &Request) -> Vec<String> {
    match &request.host.readonly_paths {
        Some(paths) => paths.clone(),
        None if request.host.privileged => Vec::new(),
        None => policy::paths::readonly(),
    }
}

fn mappings(ranges: &[Range]) -> Vec<LinuxIdMapping> {
    let builder = LinuxIdMappingBuilder::default;
    // Every field is given, so the builder cannot refuse.
    let mapping = |range: &Range| builder().container_id(range.container).host_id(range.host).size(range.size).build().ok();
    ranges.iter().filter_map(mapping).collect()
}

fn namespaces(request: &Request, joins: &Joins, userns: Option<&Userns>, host: &Host) -> Vec<LinuxNamespace> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    let own = |kind| (kind, None);
    let h = &request.host;
    let mut list = vec![own(Mount)];
    match h.network {
        NetworkMode::None | NetworkMode::Networks => list.push(own(Network)),
        NetworkMode::Container(_) => list.push((Network, joins.network.clone())),
        NetworkMode::Host => {}
    }
    if h.uts == NamespaceMode::Private {
        list.push(own(Uts));
    }
    match h.pid {
        NamespaceMode::Private => list.push(own(Pid)),
        NamespaceMode::Container(_) => list.push((Pid, joins.pid.clone())),
        NamespaceMode::Host => {}
    }
    match h.ipc {
        IpcMode::Private | IpcMode::None | IpcMode::Shareable => list.push(own(Ipc)),
        IpcMode::Container(_) => list.push((Ipc, joins.ipc.clone())),
        IpcMode::Host => {}
    }
    if let Some(userns) = userns {
        list.push((User, userns.join.clone()));
    }
    // A privileged container on v1 sees the host's groups, as tools that run engines inside one expect.
    let host_groups = h.cgroupns == NamespaceMode::Host || (h.privileged && host.cgroups != Mode::V2);
    if !host_groups {
        list.push(own(Cgroup));
    }
    list.into_iter()
        .map(|(kind, path)| {
            let mut namespace = LinuxNamespace::default();
            namespace.set_typ(kind).set_path(path);
            namespace
        })
        .collect()
}

/// `mapped`: in a user namespace, where the group that may ping would have to have a name.
fn sysctls(request: &Request, mapped: bool) -> HashMap<String, String> {
    let mut all = HashMap::new();
    if matches!(request.host.network, NetworkMode::None | NetworkMode::Networks) {
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        if !mapped {
            all.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
        }
    }
    all.extend(request.host.sysctls.iter().map(|(k, v)| (k.replace('/', "."), v.clone())));
    all
}

#[cfg(test)]
mod tests;
