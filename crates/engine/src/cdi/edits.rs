//! What CDI devices change in a container, in the words of the OCI specification.

use super::spec::{ContainerEdits, Hook, Mount, Node};
use crate::policy;
use oci_spec::runtime::{self as oci, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// All changes, in order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Edits {
    /// `KEY=value`; replaces a variable of that name.
    pub(crate) env: Vec<String>,
    /// Nodes; each replaces another one at its path.
    pub(crate) nodes: Vec<LinuxDevice>,
    pub(crate) rules: Vec<LinuxDeviceCgroup>,
    /// Mounts; each replaces another one at its place.
    pub(crate) mounts: Vec<oci::Mount>,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// Programs of the host, by the name of their moment.
    pub(crate) hooks: Vec<(String, oci::Hook)>,
}

impl Edits {
    /// Adds one set of wishes.
    pub(super) fn add(&mut self, wishes: &ContainerEdits) -> Result<(), String> {
        if wishes.intel_rdt.is_some() {
            return Err("intelRdt is not supported by this release".into());
        }
        if !wishes.net_devices.is_empty() {
            return Err("netDevices are not supported by this release".into());
        }
        self.env.extend(wishes.env.iter().cloned());
        for wish in &wishes.device_nodes {
            let (node, rule) = node(wish)?;
            self.nodes.retain(|known| known.path() != node.path());
            self.nodes.push(node);
            self.rules.extend(rule);
        }
        for wish in &wishes.mounts {
            let mount = mount(wish);
            self.mounts.retain(|known| known.destination() != mount.destination());
            self.mounts.push(mount);
        }
        for wish in &wishes.hooks {
            self.hooks.push((wish.hook_name.clone(), hook(wish)?));
        }
        self.groups.extend(wishes.additional_gids.iter().copied().filter(|gid| *gid != 0));
        Ok(())
    }
}

fn kind_of(text: &str) -> LinuxDeviceType {
    match text {
        "b" => LinuxDeviceType::B,
        "p" => LinuxDeviceType::P,
        _ => LinuxDeviceType::C,
    }
}

/// The node, and the rule that lets it be used. What the file leaves out is the host device's.
fn node(wish: &Node) -> Result<(LinuxDevice, Option<LinuxDeviceCgroup>), String> {
    let mut device = if !wish.kind.is_empty() && (wish.major != 0 || wish.kind == "p") {
        let mut device = LinuxDevice::default();
        device.set_typ(kind_of(&wish.kind)).set_major(wish.major).set_minor(wish.minor);
        device.set_path(wish.path.clone().into()).set_file_mode(None).set_uid(None).set_gid(None);
        device
    } else {
        of_host(wish)?
    };
    if let Some(mode) = wish.file_mode {
        device.set_file_mode(Some(mode & 0o7777));
    }
    if wish.uid.is_some() {
        device.set_uid(wish.uid);
    }
    if wish.gid.is_some() {
        device.set_gid(wish.gid);
    }
    let rule = (device.typ() != LinuxDeviceType::P).then(|| {
        let access = if wish.permissions.is_empty() { "rwm" } else { &wish.permissions };
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(true).set_typ(Some(device.typ())).set_access(Some(access.to_owned()));
        rule.set_major(Some(device.major())).set_minor(Some(device.minor()));
        rule
    });
    Ok((device, rule))
}

fn of_host(wish: &Node) -> Result<LinuxDevice, String> {
    let host = if wish.host_path.is_empty() { &wish.path } else { &wish.host_path };
    let fail = |why: String| format!("failed to stat CDI host device {host:?}: {why}");
    let metadata = std::fs::symlink_metadata(host).map_err(|error| fail(crate::error::plain(&error)))?;
    let kind = metadata.file_type();
    let found = match (kind.is_block_device(), kind.is_char_device(), kind.is_fifo()) {
        (true, ..) => "b",
        (_, true, _) => "c",
        (.., true) => "p",
        _ => return Err(fail("not a device node".into())),
    };
    if !wish.kind.is_empty() && kind_of(&wish.kind) != kind_of(found) {
        return Err(format!("CDI device ({:?}, {host:?}), host type mismatch ({}, {found})", wish.path, wish.kind));
    }
    Ok(policy::devices::device(Path::new(&wish.path), &metadata))
}

/// A mount without a type is a bind.
fn mount(wish: &Mount) -> oci::Mount {
    let mut options = wish.options.clone();
    let kind = if wish.kind.is_empty() { "bind" } else { &wish.kind };
    if kind == "bind" && !options.iter().any(|option| option == "bind" || option == "rbind") {
        options.insert(0, "rbind".into());
    }
    let mut mount = oci::Mount::default();
    mount
        .set_source(Some(wish.host_path.clone().into()))
        .set_destination(crate::paths::clean(Path::new(&wish.container_path)))
        .set_typ(Some(kind.to_owned()))
        .set_options(Some(options));
    mount
}

fn hook(wish: &Hook) -> Result<oci::Hook, String> {
    let mut hook = oci::Hook::default();
    hook.set_path(wish.path.clone().into())
        .set_args(Some(wish.args.clone()).filter(|args| !args.is_empty()))
        .set_env(Some(wish.env.clone()).filter(|env| !env.is_empty()))
        .set_timeout(wish.timeout);
    Ok(hook)
}
