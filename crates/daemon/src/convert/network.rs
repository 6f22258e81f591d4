//! Network modes. Without a bridge this engine behaves as dockerd with `--bridge none`: the default network is a namespace with loopback
//! only, it still reads back as `bridge`, and published ports lead nowhere, of which create warns.

use crate::error::{Failure, Result};
use crate::facts::Facts;
use dhow_api::time;
use dhow_api::types::network::NetworkContainer;
use dhow_api::types::{EndpointSettings, HostConfig, Ipam, NetworkInspect, NetworkingConfig};
use dhow_engine::model::{Container, NetworkMode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A network that always exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    Host,
    None,
}

impl BuiltIn {
    pub(crate) const ALL: [Self; 2] = [Self::None, Self::Host];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::None => "none",
        }
    }

    fn driver(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::None => "null",
        }
    }
}

/// 64 hex digits that stay the same for an engine: a hash of its id and the network's name.
pub(crate) fn id(network: BuiltIn, engine: &str) -> String {
    (0..4u64)
        .map(|part| {
            let bytes = engine.bytes().chain(network.name().bytes()).chain(part.to_le_bytes());
            let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            format!("{hash:016x}")
        })
        .collect()
}

/// How a mode reads back, once names are ids.
pub(crate) fn mode_of(host: &HostConfig, resolve: &dyn Fn(&str) -> dhow_engine::error::Result<String>) -> Result<(String, NetworkMode)> {
    let mode = host.network_mode.as_str();
    Ok(match mode {
        "host" => (mode.into(), NetworkMode::Host),
        _ => match mode.strip_prefix("container:") {
            Some("") => return Err(Failure::invalid("invalid container format container:<name|id>")),
            Some(name) => {
                let id = resolve(name)?;
                (format!("container:{id}"), NetworkMode::Container(id))
            }
            // Others are found missing at the start, as Docker does.
            None => (mode.into(), NetworkMode::None),
        },
    })
}

/// Refuses to start a container whose network there is not.
pub(crate) fn check_start(container: &Container) -> Result<()> {
    let document = super::document::Document::of(container);
    let missing = |name: &str| Err(Failure::not_found(format!("failed to set up container networking: network {name} not found")));
    match document.host_config.network_mode.as_str() {
        "" | "default" | "bridge" | "none" | "host" => Ok(()),
        mode if mode.starts_with("container:") => Ok(()),
        name => missing(name),
    }
}

/// What a request asks of the network that this release does not do.
pub(crate) fn warnings(host: &HostConfig) -> Vec<String> {
    let published = host.publish_all_ports || host.port_bindings.as_ref().is_some_and(|bindings| !bindings.is_empty());
    match published {
        true if host.network_mode == "host" => vec!["Published ports are discarded when using host network mode".into()],
        true => vec!["Published ports are discarded: this engine has no bridge network".into()],
        false => Vec::new(),
    }
}

/// Refuses addresses that only a network of the user's could give.
pub(crate) fn check_endpoints(networking: &NetworkingConfig) -> Result<()> {
    for endpoint in networking.endpoints_config.iter().flatten().filter_map(|(_, endpoint)| endpoint.as_ref()) {
        let addressed = endpoint.ipam_config.as_ref().is_some_and(|ipam| !ipam.ipv4_address.is_empty() || !ipam.ipv6_address.is_empty());
        if addressed {
            return Err(Failure::invalid(
                "invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with user configured subnets",
            ));
        }
        if !endpoint.mac_address.is_empty() {
            return Err(Failure::unsupported("a MAC address"));
        }
    }
    Ok(())
}

/// The `Networks` of a container.
pub(crate) fn endpoints(mode: &str, asked: &NetworkingConfig, facts: &Facts) -> BTreeMap<String, Option<EndpointSettings>> {
    if mode.starts_with("container:") {
        return BTreeMap::new();
    }
    let given = asked.endpoints_config.as_ref().and_then(|all| all.get(mode)).and_then(Option::as_ref);
    let mut endpoint = EndpointSettings::default();
    if let Some(given) = given {
        endpoint.aliases.clone_from(&given.aliases);
        endpoint.driver_opts.clone_from(&given.driver_opts);
        endpoint.gw_priority = given.gw_priority;
    }
    if let Some(network) = BuiltIn::ALL.iter().find(|network| network.name() == mode) {
        endpoint.network_id = id(*network, &facts.id);
    }
    BTreeMap::from([(mode.to_owned(), Some(endpoint))])
}

/// A network as the API shows it, with those of `containers` that run in it.
pub(crate) fn inspect(network: BuiltIn, facts: &Facts, containers: &[Arc<Container>]) -> NetworkInspect {
    let mode = if network == BuiltIn::Host { NetworkMode::Host } else { NetworkMode::None };
    let inside = |container: &Container| {
        container.state.pid != 0
            && container.request.host.network == mode
            && super::document::Document::of(container).host_config.network_mode == network.name()
    };
    let containers = containers.iter().filter(|container| inside(container)).map(|container| {
        let entry =
            NetworkContainer { name: container.name.clone(), endpoint_id: container.sandbox.id.clone(), ..NetworkContainer::default() };
        (container.id.clone(), entry)
    });
    NetworkInspect {
        name: network.name().into(),
        id: id(network, &facts.id),
        created: time::rfc3339(facts.made),
        scope: "local".into(),
        driver: network.driver().into(),
        enable_ipv4: true,
        ipam: Ipam { driver: "default".into(), options: None, config: None },
        containers: containers.collect(),
        options: Some(BTreeMap::new()),
        labels: Some(BTreeMap::new()),
        ..NetworkInspect::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let resolve = |name: &str| Ok(format!("id-of-{name}"));
        let check = |mode: &str| mode_of(&HostConfig { network_mode: mode.into(), ..HostConfig::default() }, &resolve).unwrap();
        assert_eq!(check("bridge"), ("bridge".into(), NetworkMode::None));
        assert_eq!(check("host"), ("host".into(), NetworkMode::Host));
        assert_eq!(check("container:x"), ("container:id-of-x".into(), NetworkMode::Container("id-of-x".into())));
        assert_eq!(check("nope"), ("nope".into(), NetworkMode::None));
    }

    #[test]
    fn ids_are_stable_and_distinct() {
        assert_eq!(id(BuiltIn::Host, "e").len(), 64);
        assert_eq!(id(BuiltIn::Host, "e"), id(BuiltIn::Host, "e"));
        assert_ne!(id(BuiltIn::Host, "e"), id(BuiltIn::None, "e"));
    }

    #[test]
    fn ports_are_not_dropped_silently() {
        let host = HostConfig { publish_all_ports: true, network_mode: "bridge".into(), ..HostConfig::default() };
        assert_eq!(warnings(&host), ["Published ports are discarded: this engine has no bridge network"]);
        assert!(warnings(&HostConfig::default()).is_empty());
    }
}
