//! Devices of the host given to a container: nodes by path, rules of the device cgroup, rates of block devices.
//!
//! What is asked for is kept as it was given and looked up at each start: a device may have another number tomorrow.

mod block;
mod gather;
mod request;
mod rule;

use crate::cdi::{Edits, Registry};
use crate::error::{Error, Kind, Result};
use crate::{model, policy};
use oci_spec::runtime::{LinuxBlockIo, LinuxDevice, LinuxDeviceCgroup};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `--device`: a node, or all nodes below a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// On the host; links are followed.
    pub host: String,
    /// In the container, absolute.
    pub container: String,
    /// Of `r`, `w` and `m`; empty: all.
    pub access: String,
}

/// Devices by name or by what they can do (`--gpus`, CDI names).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    /// `cdi`, `nvidia`, ...; empty: whoever can do what `capabilities` say.
    pub driver: String,
    /// How many; -1 for all.
    pub count: i64,
    /// Which ones.
    pub ids: Vec<String>,
    /// One of these sets of capabilities must be had in whole.
    pub capabilities: Vec<Vec<String>>,
    /// For the driver.
    pub options: BTreeMap<String, String>,
}

/// A value for one block device: a weight, or bytes or operations a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockValue {
    /// On the host.
    pub path: String,
    /// The value.
    pub value: u64,
}

/// What a specification says about devices.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Devices {
    pub(crate) nodes: Vec<LinuxDevice>,
    pub(crate) rules: Vec<LinuxDeviceCgroup>,
    pub(crate) block: LinuxBlockIo,
    /// What devices by name ask for besides.
    pub(crate) edits: Edits,
}

/// Looks up what a container asks for on this host, devices by name in these directories. The messages are Docker's.
pub(crate) fn look_up(host: &model::Host, cdi_dirs: &[PathBuf]) -> Result<Devices> {
    let mut found = given(host)?;
    if let Some(mut edits) = request::look_up(&host.device_requests, cdi_dirs)? {
        found.nodes.retain(|node| !edits.nodes.iter().any(|other| other.path() == node.path()));
        found.nodes.append(&mut edits.nodes);
        if !host.privileged {
            found.rules.append(&mut edits.rules);
        }
        found.edits = edits;
    }
    Ok(found)
}

/// Full names of the devices in these directories.
pub(crate) fn names(cdi_dirs: &[PathBuf]) -> Vec<String> {
    Registry::read(cdi_dirs).names().map(str::to_owned).collect()
}

/// Those that are given by path.
fn given(host: &model::Host) -> Result<Devices> {
    let mut found =
        Devices { rules: policy::devices::rules(host.privileged), block: block::look_up(&host.resources)?, ..Devices::default() };
    if host.privileged {
        found.nodes = policy::devices::host_devices();
        // Those of the host are there by their own names already, and everything is allowed.
        for device in host.devices.iter().filter(|device| device.host != device.container) {
            found.nodes.extend(gather::nodes(device)?);
        }
        return Ok(found);
    }
    for device in &host.devices {
        let nodes = gather::nodes(device)?;
        found.rules.extend(nodes.iter().filter_map(|node| rule::of_node(node, &device.access)));
        found.nodes.extend(nodes);
    }
    for text in &host.device_rules {
        found.rules.push(rule::parse(text)?);
    }
    Ok(found)
}

/// A failure that is neither the request's nor ours: the host is not as the request thinks.
fn failed(message: impl Into<String>) -> Error {
    Error::new(Kind::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn device(host: &str, container: &str) -> Device {
        Device { host: host.into(), container: container.into(), access: "rw".into() }
    }

    #[test]
    fn nodes_and_their_rules() {
        let host =
            model::Host { devices: vec![device("/dev/full", "/dev/mine")], device_rules: vec!["c 7:* r".into()], ..model::Host::default() };
        let found = look_up(&host, &[]).unwrap();
        assert_eq!(found.nodes.len(), 1);
        assert_eq!((found.nodes[0].path().as_path(), found.nodes[0].major(), found.nodes[0].minor()), (Path::new("/dev/mine"), 1, 7));
        let own = policy::devices::rules(false).len();
        let lines: Vec<String> = found.rules[own..].iter().map(|rule| format!("{} {rule}", rule.allow())).collect();
        assert_eq!(lines, ["true c 1:7 rw", "true c 7:* r"]);
    }

    #[test]
    fn privileged_takes_new_names_only() {
        let host = model::Host {
            privileged: true,
            devices: vec![device("/dev/full", "/dev/full"), device("/dev/full", "/dev/mine")],
            ..model::Host::default()
        };
        let found = look_up(&host, &[]).unwrap();
        let named = |name: &str| found.nodes.iter().filter(|node| node.path() == Path::new(name)).count();
        assert_eq!((named("/dev/full"), named("/dev/mine"), found.rules.len()), (1, 1, 1));
    }

    #[test]
    fn refusals_in_dockers_words() {
        let check = |host: model::Host, expect: &str| assert_eq!(look_up(&host, &[]).unwrap_err().message, expect);
        check(
            model::Host { devices: vec![device("/dev/nope", "/dev/nope")], ..model::Host::default() },
            "error gathering device information while adding custom device \"/dev/nope\": no such file or directory",
        );
        check(
            model::Host { devices: vec![device("/etc/passwd", "/dev/x")], ..model::Host::default() },
            "error gathering device information while adding custom device \"/etc/passwd\": not a device node",
        );
        check(model::Host { device_rules: vec!["x".into()], ..model::Host::default() }, "invalid device cgroup rule format: 'x'");
        let resources =
            model::Resources { read_bps: vec![BlockValue { path: "/dev/nope".into(), value: 1 }], ..model::Resources::default() };
        check(model::Host { resources, ..model::Host::default() }, "stat /dev/nope: no such file or directory");
    }
}
