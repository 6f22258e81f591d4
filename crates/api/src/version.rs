//! Versions of the API, and how answers and requests of older ones differ from the newest.
//!
//! [`CHANGES`] is an ordered list: each entry says up to which version an older shape lasted and how to make it from the newer one. An
//! answer for version V is the newest shape with every change applied that V does not have yet, newest first.

use crate::error::ApiError;
use serde_json::{Map, Value, json};

/// One version: the number after `1.`, for all that Docker ever had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// Before the point.
    pub major: u16,
    /// After it.
    pub minor: u16,
}

impl ApiVersion {
    /// Newest.
    pub const MAX: Self = Self::v1(51);
    /// Oldest.
    pub const MIN: Self = Self::v1(24);

    /// `1.minor`.
    pub const fn v1(minor: u16) -> Self {
        Self { major: 1, minor }
    }

    /// Digits with a point; nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let minor = minor.split('.').next().unwrap_or("0");
        let digits = |part: &str| if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) { None } else { part.parse().ok() };
        Some(Self { major: digits(major)?, minor: digits(minor)? })
    }

    /// Refuses what is not served, in Docker's words.
    pub fn check(self) -> Result<Self, ApiError> {
        if self < Self::MIN {
            let min = Self::MIN;
            return Err(ApiError::invalid(format!(
                "client version {self} is too old. Minimum supported API version is {min}, please upgrade your client to a newer version"
            )));
        }
        if self > Self::MAX {
            return Err(ApiError::invalid(format!("client version {self} is too new. Maximum supported API version is {}", Self::MAX)));
        }
        Ok(self)
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `GET /containers/{id}/json`.
    Container,
    /// One entry of `GET /containers/json`.
    ContainerSummary,
    /// `GET /images/{name}/json`.
    Image,
    /// One entry of `GET /images/json`.
    ImageSummary,
    /// `GET /info`.
    Info,
}

/// One change of the API.
pub struct Change {
    /// The first version with the newer shape.
    pub since: ApiVersion,
    /// Whose shape.
    pub shape: Shape,
    /// Makes the older shape from the newer one.
    pub older: fn(&mut Map<String, Value>),
}

/// Newest first.
pub const CHANGES: &[Change] = &[
    Change { since: ApiVersion::v1(50), shape: Shape::Image, older: image_runtime_fields },
    Change { since: ApiVersion::v1(50), shape: Shape::Info, older: info_bridge_filter },
    Change { since: ApiVersion::v1(49), shape: Shape::Info, older: info_before_firewall },
    Change { since: ApiVersion::v1(48), shape: Shape::Info, older: info_expected_commits },
    Change { since: ApiVersion::v1(46), shape: Shape::ContainerSummary, older: summary_annotations },
    Change { since: ApiVersion::v1(45), shape: Shape::Container, older: container_aliases },
    Change { since: ApiVersion::v1(45), shape: Shape::Image, older: image_container },
    Change { since: ApiVersion::v1(44), shape: Shape::Image, older: image_created },
    Change { since: ApiVersion::v1(44), shape: Shape::Image, older: virtual_size },
    Change { since: ApiVersion::v1(44), shape: Shape::ImageSummary, older: virtual_size },
    Change { since: ApiVersion::v1(42), shape: Shape::Info, older: info_kernel_memory },
    Change { since: ApiVersion::v1(25), shape: Shape::Info, older: info_security_names },
    Change { since: ApiVersion::v1(25), shape: Shape::Info, older: info_execution_driver },
];

/// Makes the shape of `version` from the newest.
pub fn downgrade(shape: Shape, version: ApiVersion, value: &mut Value) {
    let Value::Object(map) = value else { return };
    for change in CHANGES.iter().filter(|change| change.shape == shape && version < change.since) {
        (change.older)(map);
    }
}

/// What there was before containerd.
fn info_execution_driver(map: &mut Map<String, Value>) {
    map.insert("ExecutionDriver".into(), json!("<not supported>"));
}

fn object<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    map.get_mut(key).and_then(Value::as_object_mut)
}

/// Fields that mean nothing for an image, in the order of their names as Docker merges them.
fn image_runtime_fields(image: &mut Map<String, Value>) {
    let Some(config) = object(image, "Config") else { return };
    let mut all = legacy_config();
    all.append(config);
    all.sort_keys();
    *config = all;
}

fn legacy_config() -> Map<String, Value> {
    let empty = json!({
        "AttachStderr": false, "AttachStdin": false, "AttachStdout": false, "Cmd": null, "Domainname": "", "Entrypoint": null, "Env": null,
        "Hostname": "", "Image": "", "Labels": null, "OnBuild": null, "OpenStdin": false, "StdinOnce": false, "Tty": false, "User": "",
        "Volumes": null, "WorkingDir": "",
    });
    match empty {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn image_container(image: &mut Map<String, Value>) {
    image.insert("Container".into(), json!(""));
    image.insert("ContainerConfig".into(), Value::Object(legacy_config()));
}

fn image_created(image: &mut Map<String, Value>) {
    image.entry("Created").or_insert_with(|| json!(crate::time::ZERO));
}

fn virtual_size(image: &mut Map<String, Value>) {
    let size = image.get("Size").cloned().unwrap_or_else(|| json!(0));
    image.insert("VirtualSize".into(), size);
}

/// The short id stood among the aliases; DNSNames has it since.
fn container_aliases(container: &mut Map<String, Value>) {
    let Some(networks) = object(container, "NetworkSettings").and_then(|settings| object(settings, "Networks")) else { return };
    for endpoint in networks.values_mut().filter_map(Value::as_object_mut) {
        let names = endpoint.get("DNSNames").and_then(Value::as_array).cloned().unwrap_or_default();
        if names.is_empty() {
            continue;
        }
        let mut aliases = endpoint.get("Aliases").and_then(Value::as_array).cloned().unwrap_or_default();
        for name in names {
            if !aliases.contains(&name) {
                aliases.push(name);
            }
        }
        endpoint.insert("Aliases".into(), Value::Array(aliases));
    }
}

fn summary_annotations(summary: &mut Map<String, Value>) {
    if let Some(host) = object(summary, "HostConfig") {
        host.shift_remove("Annotations");
    }
}

fn info_bridge_filter(info: &mut Map<String, Value>) {
    info.shift_remove("DiscoveredDevices");
    info.insert("BridgeNfIptables".into(), json!(false));
    info.insert("BridgeNfIp6tables".into(), json!(false));
}

fn info_before_firewall(info: &mut Map<String, Value>) {
    info.shift_remove("FirewallBackend");
    if let Some(registry) = object(info, "RegistryConfig") {
        registry.insert("AllowNondistributableArtifactsCIDRs".into(), json!([]));
        registry.insert("AllowNondistributableArtifactsHostnames".into(), json!([]));
    }
}

fn info_expected_commits(info: &mut Map<String, Value>) {
    for key in ["ContainerdCommit", "RuncCommit", "InitCommit"] {
        if let Some(commit) = object(info, key) {
            let id = commit.get("ID").cloned().unwrap_or_else(|| json!(""));
            commit.insert("Expected".into(), id);
        }
    }
}

fn info_kernel_memory(info: &mut Map<String, Value>) {
    info.insert("KernelMemory".into(), json!(false));
    info.insert("KernelMemoryTCP".into(), json!(false));
}

/// `name=seccomp,profile=builtin` was `seccomp`.
fn info_security_names(info: &mut Map<String, Value>) {
    if let Some(Value::Array(options)) = info.get_mut("SecurityOptions") {
        for option in options {
            let name =
                option.as_str().and_then(|text| text.strip_prefix("name=")).and_then(|text| text.split(',').next()).map(str::to_owned);
            if let Some(name) = name {
                *option = json!(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing_and_limits() {
        let check = |text: &str| ApiVersion::parse(text).unwrap().check().map(|v| v.to_string()).map_err(|e| e.message);
        assert_eq!(check("1.24"), Ok("1.24".into()));
        assert_eq!(check("1.51"), Ok("1.51".into()));
        assert_eq!(check("9.99"), Err("client version 9.99 is too new. Maximum supported API version is 1.51".into()));
        assert_eq!(
            check("1.10"),
            Err("client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
                .into())
        );
        assert_eq!(ApiVersion::parse("1.x"), None);
        assert_eq!(ApiVersion::parse(""), None);
    }

    #[test]
    fn changes_are_ordered() {
        assert!(CHANGES.windows(2).all(|pair| pair[0].since >= pair[1].since));
    }

    #[test]
    fn an_old_image_has_its_old_fields() {
        let mut image = json!({"Id": "sha256:1", "Size": 5, "Config": {"Env": ["A=b"], "Cmd": ["sh"]}});
        let newest = image.clone();
        downgrade(Shape::Image, ApiVersion::MAX, &mut image);
        assert_eq!(image, newest);
        downgrade(Shape::Image, ApiVersion::v1(43), &mut image);
        assert_eq!(image["VirtualSize"], 5);
        assert_eq!(image["Config"]["Hostname"], "");
        assert_eq!(image["Config"]["Cmd"][0], "sh");
        assert_eq!(image["Created"], crate::time::ZERO);
    }
}
