//! A CDI file: its shape, and what is wrong with it.

use super::{name, yaml};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Versions of the specification that are read.
const VERSIONS: [&str; 10] = ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(skip)]
    pub(super) path: PathBuf,
    #[serde(rename = "cdiVersion")]
    version: String,
    pub(super) kind: String,
    #[serde(default, rename = "annotations")]
    _annotations: BTreeMap<String, String>,
    pub(super) devices: Vec<Device>,
    #[serde(default, rename = "containerEdits")]
    pub(super) container_edits: ContainerEdits,
}

/// One device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    pub(super) name: String,
    #[serde(default, rename = "annotations")]
    _annotations: BTreeMap<String, String>,
    #[serde(rename = "containerEdits")]
    pub(super) container_edits: ContainerEdits,
}

/// What is to be changed in a container.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct ContainerEdits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<Node>,
    pub(super) hooks: Vec<Hook>,
    pub(super) mounts: Vec<Mount>,
    pub(super) intel_rdt: Option<Value>,
    pub(super) net_devices: Vec<Value>,
    pub(super) additional_gids: Vec<u32>,
}

/// A device node.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Node {
    pub(super) path: String,
    pub(super) host_path: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) major: i64,
    pub(super) minor: i64,
    pub(super) file_mode: Option<u32>,
    pub(super) permissions: String,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

/// A mount.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Mount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    pub(super) options: Vec<String>,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// A hook.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Hook {
    pub(super) hook_name: String,
    pub(super) path: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) timeout: Option<i64>,
}

/// Names of hooks.
const HOOKS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Reads and checks one, JSON or YAML by its name.
pub(super) fn parse(path: &Path, text: &str) -> Result<File, String> {
    let fail = |why: String| format!("{:?}: {why}", path.display().to_string());
    let value = if path.extension().is_some_and(|ext| ext == "json") {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        yaml::parse(text)
    };
    let unreadable = |why: String| fail(format!("failed to unmarshal CDI Spec: {why}"));
    let mut value: Value = value.map_err(unreadable)?;
    drop_nulls(&mut value);
    let mut file: File = serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))?;
    check(&file).map_err(fail)?;
    file.path = path.to_owned();
    Ok(file)
}

/// What is null is not there.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn check(file: &File) -> Result<(), String> {
    if !VERSIONS.contains(&file.version.as_str()) {
        return Err(format!("invalid version {:?}", file.version));
    }
    name::check_kind(&file.kind)?;
    check_edits(&file.container_edits)?;
    if file.devices.is_empty() {
        return Err("invalid spec, no devices".into());
    }
    for (at, device) in file.devices.iter().enumerate() {
        let fail = |why: String| format!("failed add device {:?}: {why}", device.name);
        name::check_device(&device.name).map_err(fail)?;
        if device.container_edits == ContainerEdits::default() {
            return Err(fail("invalid device, empty device edits".into()));
        }
        check_edits(&device.container_edits).map_err(fail)?;
        if file.devices[..at].iter().any(|other| other.name == device.name) {
            return Err(format!("invalid spec, multiple device {:?}", device.name));
        }
    }
    Ok(())
}

fn check_env(env: &[String]) -> Result<(), String> {
    match env.iter().find(|entry| entry.find('=').is_none_or(|at| at == 0) || entry.contains('\0')) {
        Some(entry) => Err(format!("invalid environment variable {entry:?}")),
        None => Ok(()),
    }
}

fn check_edits(edits: &ContainerEdits) -> Result<(), String> {
    check_env(&edits.env).map_err(|why| format!("invalid container edits: {why}"))?;
    for node in &edits.device_nodes {
        if node.path.is_empty() {
            return Err("invalid (empty) device path".into());
        }
        if !matches!(node.kind.as_str(), "" | "b" | "c" | "u" | "p") {
            return Err(format!("device {:?}: invalid type {:?}", node.path, node.kind));
        }
        if !node.permissions.bytes().all(|letter| matches!(letter, b'r' | b'w' | b'm')) {
            return Err(format!("device {:?}: invalid permissions {:?}", node.path, node.permissions));
        }
    }
    for hook in &edits.hooks {
        if !HOOKS.contains(&hook.hook_name.as_str()) {
            return Err(format!("invalid hook name {:?}", hook.hook_name));
        }
        if hook.path.is_empty() {
            return Err(format!("invalid hook {:?} with empty path", hook.hook_name));
        }
        check_env(&hook.env).map_err(|why| format!("invalid hook {:?}: {why}", hook.hook_name))?;
    }
    for mount in &edits.mounts {
        if mount.host_path.is_empty() {
            return Err("invalid mount, empty host path".into());
        }
        if mount.container_path.is_empty() {
            return Err("invalid mount, empty container path".into());
        }
    }
    Ok(())
}
