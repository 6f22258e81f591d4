//! Networks: what is asked of them at create, and how they are shown.

use crate::error::{Failure, Result};
use crate::facts::Facts;
use dhow_api::time;
use dhow_api::types::network::{ConfigReference, EndpointIpam, IpamConfig, NetworkContainer, NetworkCreate};
use dhow_api::types::{EndpointSettings, HostConfig, Ipam, NetworkInspect, NetworkSettings, NetworkingConfig};
use dhow_engine::model::{Container, NetworkMode};
use dhow_engine::network::{Membership, Network, NetworkRequest, Place, PlaceOptions, PoolRequest, dns_names};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How a mode reads back, once names are ids. `bridged`: there is a default network. Where there is none, containers that name no network
/// have a namespace with loopback only, as with dockerd's `--bridge none`, and the mode still reads back as `bridge`.
pub(crate) fn mode_of(
    host: &HostConfig,
    bridged: bool,
    resolve: &dyn Fn(&str) -> dhow_engine::error::Result<String>,
) -> Result<(String, NetworkMode)> {
    let mode = host.network_mode.as_str();
    Ok(match mode {
        "host" => (mode.into(), NetworkMode::Host),
        "none" => (mode.into(), NetworkMode::None),
        "bridge" if !bridged => (mode.into(), NetworkMode::None),
        _ => match mode.strip_prefix("container:") {
            Some("") => return Err(Failure::invalid("invalid container format container:<name|id>")),
            Some(name) => {
                let id = resolve(name)?;
                (format!("container:{id}"), NetworkMode::Container(id))
            }
            // One that is not there is found missing at the start, as Docker does.
            None => (mode.into(), NetworkMode::Networks),
        },
    })
}

/// Whether somebody made the network of this mode.
pub(crate) fn is_user_defined(mode: &str) -> bool {
    !matches!(mode, "" | "default" | "bridge" | "host" | "none") && !mode.starts_with("container:")
}

/// What a request asks of the network that cannot be.
pub(crate) fn warnings(host: &HostConfig, bridged: bool) -> Vec<String> {
    let published = host.publish_all_ports || host.port_bindings.as_ref().is_some_and(|bindings| !bindings.is_empty());
    match host.network_mode.as_str() {
        "host" if published => vec!["Published ports are discarded when using host network mode".into()],
        "bridge" if published && !bridged => vec!["Published ports are discarded: this engine has no bridge network".into()],
        _ => Vec::new(),
    }
}

/// The places that a container asks for: one in the network of its mode, and those of its own accord.
pub(crate) fn memberships(mode: &str, network: &NetworkMode, asked: &NetworkingConfig) -> Result<BTreeMap<String, Membership>> {
    let asked = asked.endpoints_config.iter().flatten();
    let mut all = BTreeMap::new();
    // One without links, as `none`, is a network too.
    if !matches!(network, NetworkMode::Container(_)) {
        all.insert(mode.to_owned(), Membership::default());
    }
    for (name, endpoint) in asked {
        let name = if name == "default" { "bridge" } else { name };
        let membership = endpoint.as_ref().map(|endpoint| membership(name, endpoint)).transpose();
        let membership = membership.map_err(|failure| in_config(name, failure))?.unwrap_or_default();
        if *network == NetworkMode::Networks || name == mode {
            all.insert(name.to_owned(), membership);
        }
    }
    Ok(all)
}

/// Names the network whose settings make no sense in the request for a container.
fn in_config(network: &str, mut failure: Failure) -> Failure {
    if failure.0.message.starts_with("invalid endpoint settings:") {
        failure.0.message = format!("invalid config for network {network}: {}", failure.0.message);
    }
    failure
}

/// A network as it is asked for.
pub(crate) fn request(body: NetworkCreate) -> Result<NetworkRequest> {
    if body.ingress && !body.config_only {
        return Err(Failure::unsupported("a network of a cluster"));
    }
    let ipam = body.ipam.unwrap_or_default();
    let pools = ipam.config.unwrap_or_default().into_iter().map(|config| PoolRequest {
        subnet: config.subnet,
        range: config.ip_range,
        gateway: config.gateway,
        auxiliary: config.auxiliary_addresses,
    });
    Ok(NetworkRequest {
        name: body.name,
        driver: body.driver,
        scope: body.scope,
        internal: body.internal,
        attachable: body.attachable,
        ipv4: body.enable_ipv4,
        ipv6: body.enable_ipv6.unwrap_or(false),
        ipam_driver: ipam.driver,
        ipam_options: ipam.options,
        pools: pools.collect(),
        options: body.options.unwrap_or_default(),
        labels: body.labels.unwrap_or_default(),
        ingress: body.ingress,
        config_only: body.config_only,
        config_from: body.config_from.map(|from| from.network).unwrap_or_default(),
    })
}

/// A place as it is asked for.
pub(crate) fn membership(network: &str, endpoint: &EndpointSettings) -> Result<Membership> {
    let wrong = |text: String| Failure::invalid(format!("invalid endpoint settings:\n{text}"));
    let ipam = endpoint.ipam_config.clone().unwrap_or_default();
    let address = |text: &str, ipv4: bool| match text {
        "" => Ok(None),
        text => match text.parse::<IpAddr>() {
            Ok(address) if address.is_ipv4() == ipv4 => Ok(Some(address)),
            _ => Err(wrong(format!("invalid IPv{} address: {text}", if ipv4 { 4 } else { 6 }))),
        },
    };
    let (ipv4, ipv6) = (address(&ipam.ipv4_address, true)?, address(&ipam.ipv6_address, false)?);
    if (ipv4.is_some() || ipv6.is_some()) && !is_user_defined(network) {
        return Err(wrong("user specified IP address is supported on user defined networks only".into()));
    }
    if !is_user_defined(network) && endpoint.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) {
        return Err(wrong("network-scoped alias is supported only for containers in user defined networks".into()));
    }
    let link_local = ipam.link_local_ips.iter().map(|text| {
        let found = text.parse::<IpAddr>().ok();
        found.ok_or_else(|| wrong(format!("invalid link-local IP address: {text}")))
    });
    let link_local = link_local.collect::<Result<Vec<_>>>()?;
    let options = endpoint.driver_opts.clone().unwrap_or_default();
    PlaceOptions::parse(&options)?;
    Ok(Membership {
        aliases: endpoint.aliases.clone().unwrap_or_default(),
        links: endpoint.links.clone().unwrap_or_default(),
        ipv4,
        ipv6,
        link_local,
        mac: mac(&endpoint.mac_address)?,
        options,
        priority: endpoint.gw_priority,
        ..Membership::default()
    })
}

/// A hardware address that is asked for.
pub(crate) fn mac(text: &str) -> Result<Option<String>> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let right = parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
    match text {
        "" => Ok(None),
        _ if right => Ok(Some(text.to_lowercase().replace('-', ":"))),
        _ => Err(Failure::invalid(format!("invalid MAC address: {text}"))),
    }
}

fn some<T>(list: &[T]) -> Option<Vec<T>>
where
    T: Clone,
{
    Some(list.to_vec()).filter(|list| !list.is_empty())
}

/// A place as it is shown.
fn endpoint(container: &Container, name: &str, membership: &Membership) -> EndpointSettings {
    let text = |address: Option<IpAddr>| address.map(|address| address.to_string()).unwrap_or_default();
    let place = membership.place.as_ref();
    let ipam = EndpointIpam {
        ipv4_address: text(membership.ipv4),
        ipv6_address: text(membership.ipv6),
        link_local_ips: membership.link_local.iter().map(ToString::to_string).collect(),
    };
    let of = |part: fn(&Place) -> Option<(IpAddr, u8)>| {
        let found = place.and_then(part);
        (text(found.map(|(address, _)| address)), found.map_or(0, |(_, prefix)| i64::from(prefix)))
    };
    let (ip_address, ip_prefix_len) = of(|place| place.ipv4);
    let (global_ipv6_address, global_ipv6_prefix_len) = of(|place| place.ipv6);
    let live = place.is_some();
    let names = dns_names(&container.name, &container.id, &container.request.hostname, membership);
    EndpointSettings {
        ipam_config: Some(ipam).filter(|ipam| *ipam != EndpointIpam::default()),
        links: some(&membership.links),
        aliases: some(&membership.aliases),
        mac_address: place.map(|place| place.mac.clone()).or_else(|| membership.mac.clone()).unwrap_or_default(),
        driver_opts: Some(membership.options.clone()).filter(|options| !options.is_empty()),
        gw_priority: membership.priority,
        network_id: membership.network.clone(),
        endpoint_id: place.map(|place| place.endpoint.clone()).unwrap_or_default(),
        gateway: text(place.and_then(|place| place.gateway)),
        ip_address,
        ip_prefix_len,
        ipv6_gateway: text(place.and_then(|place| place.gateway6)),
        global_ipv6_address,
        global_ipv6_prefix_len,
        dns_names: if is_user_defined(name) && live { some(&names) } else { None },
    }
}

/// The `Networks` of a container.
pub(crate) fn endpoints(container: &Container, mode: &str, asked: &NetworkingConfig) -> BTreeMap<String, Option<EndpointSettings>> {
    if mode.starts_with("container:") {
        return BTreeMap::new();
    }
    if container.request.host.network == NetworkMode::Networks || !container.networks.is_empty() {
        let one = |(name, membership): (&String, &Membership)| (name.clone(), Some(endpoint(container, name, membership)));
        return container.networks.iter().map(one).collect();
    }
    let given = asked.endpoints_config.as_ref().and_then(|all| all.get(mode)).and_then(Option::as_ref);
    let mut endpoint = EndpointSettings::default();
    if let Some(given) = given {
        endpoint.aliases.clone_from(&given.aliases);
        endpoint.driver_opts.clone_from(&given.driver_opts);
        endpoint.gw_priority = given.gw_priority;
    }
    BTreeMap::from([(mode.to_owned(), Some(endpoint))])
}

/// All of a container's settings.
pub(crate) fn settings(container: &Container, mode: &str, document: &super::document::Document) -> NetworkSettings {
    let live = container.state.pid != 0;
    let sandbox = &container.sandbox;
    let networks = endpoints(container, mode, &document.networking);
    let mut settings = NetworkSettings {
        sandbox_id: if live { sandbox.id.clone() } else { String::new() },
        sandbox_key: if live { sandbox.key.clone() } else { String::new() },
        ports: Some(super::ports::shown(container, &document.config)),
        ..NetworkSettings::default()
    };
    // Only the default network shows on the top level too.
    if let Some(Some(bridge)) = networks.get("bridge") {
        settings.endpoint_id.clone_from(&bridge.endpoint_id);
        settings.gateway.clone_from(&bridge.gateway);
        settings.ip_address.clone_from(&bridge.ip_address);
        settings.ip_prefix_len = bridge.ip_prefix_len;
        settings.ipv6_gateway.clone_from(&bridge.ipv6_gateway);
        settings.global_ipv6_address.clone_from(&bridge.global_ipv6_address);
        settings.global_ipv6_prefix_len = bridge.global_ipv6_prefix_len;
        settings.mac_address.clone_from(&bridge.mac_address);
    }
    settings.networks = Some(networks);
    settings
}

/// A network as the API shows it, with those of `containers` that run in it.
pub(crate) fn inspect(network: &Network, facts: &Facts, containers: &[Arc<Container>]) -> NetworkInspect {
    let shown = |place: Option<(IpAddr, u8)>| place.map(|(address, prefix)| format!("{address}/{prefix}")).unwrap_or_default();
    let mut inside = BTreeMap::new();
    for container in containers.iter().filter(|container| container.state.pid != 0) {
        let found = container.networks.values().find(|m| m.network == network.id).and_then(|membership| membership.place.as_ref());
        if let Some(place) = found {
            let entry = NetworkContainer {
                name: container.name.clone(),
                endpoint_id: place.endpoint.clone(),
                mac_address: place.mac.clone(),
                ipv4_address: shown(place.ipv4),
                ipv6_address: shown(place.ipv6),
            };
            inside.insert(container.id.clone(), entry);
        } else if network.built_in && super::document::Document::of(container).host_config.network_mode == network.name {
            let entry =
                NetworkContainer { name: container.name.clone(), endpoint_id: container.sandbox.id.clone(), ..NetworkContainer::default() };
            inside.insert(container.id.clone(), entry);
        }
    }
    let pools = network.pools.iter().map(|pool| IpamConfig {
        subnet: pool.subnet.to_string(),
        ip_range: pool.range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: pool.gateway.to_string(),
        auxiliary_addresses: pool.auxiliary.iter().map(|(name, address)| (name.clone(), address.to_string())).collect(),
    });
    // Docker has no list where a network of its own has no addresses.
    let asked = network.asked.iter().map(|asked| IpamConfig {
        subnet: asked.subnet.clone(),
        ip_range: asked.range.clone(),
        gateway: asked.gateway.clone(),
        auxiliary_addresses: asked.auxiliary.clone(),
    });
    let config = Some(pools.chain(asked).collect::<Vec<_>>()).filter(|pools| !pools.is_empty());
    let ipam_options = if network.built_in { None } else { network.ipam_options.clone() };
    NetworkInspect {
        name: network.name.clone(),
        id: network.id.clone(),
        created: time::rfc3339(if network.built_in { facts.made } else { network.created }),
        scope: "local".into(),
        driver: network.driver.as_str().into(),
        enable_ipv4: network.ipv4,
        enable_ipv6: network.ipv6,
        ipam: Ipam { driver: "default".into(), options: ipam_options, config },
        internal: network.internal,
        attachable: network.attachable,
        config_from: ConfigReference { network: network.config_from.clone() },
        config_only: network.config_only,
        containers: inside,
        options: Some(network.options.clone()),
        labels: Some(network.labels.clone()),
        ..NetworkInspect::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let resolve = |name: &str| Ok(format!("id-of-{name}"));
        let check = |mode: &str, bridged, expect: (&str, NetworkMode)| {
            let host = HostConfig { network_mode: mode.into(), ..HostConfig::default() };
            let (text, network) = mode_of(&host, bridged, &resolve).unwrap();
            assert_eq!((text.as_str(), network), expect);
        };
        check("bridge", true, ("bridge", NetworkMode::Networks));
        check("bridge", false, ("bridge", NetworkMode::None));
        check("none", true, ("none", NetworkMode::None));
        check("host", true, ("host", NetworkMode::Host));
        check("container:x", true, ("container:id-of-x", NetworkMode::Container("id-of-x".into())));
        check("nope", false, ("nope", NetworkMode::Networks));
    }

    #[test]
    fn ports_are_not_dropped_silently() {
        let host = HostConfig { publish_all_ports: true, network_mode: "bridge".into(), ..HostConfig::default() };
        assert_eq!(warnings(&host, false), ["Published ports are discarded: this engine has no bridge network"]);
        assert!(warnings(&host, true).is_empty());
        assert!(warnings(&HostConfig::default(), false).is_empty());
    }

    #[test]
    fn places_that_cannot_be() {
        let check = |network: &str, endpoint: EndpointSettings, expect: &str| {
            let got = membership(network, &endpoint).map_or_else(|failure| failure.0.message, |found| format!("{:?}", found.ipv4));
            assert_eq!(got, expect);
        };
        let with = |address: &str| EndpointSettings {
            ipam_config: Some(EndpointIpam { ipv4_address: address.into(), ..EndpointIpam::default() }),
            ..EndpointSettings::default()
        };
        check("n", with("10.0.0.9"), "Some(10.0.0.9)");
        check("n", with("::1"), "invalid endpoint settings:\ninvalid IPv4 address: ::1");
        check(
            "bridge",
            with("10.0.0.9"),
            "invalid endpoint settings:\nuser specified IP address is supported on user defined networks only",
        );
        check("n", EndpointSettings { mac_address: "x".into(), ..EndpointSettings::default() }, "invalid MAC address: x");
    }
}
