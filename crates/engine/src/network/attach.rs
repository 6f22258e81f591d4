//! Containers in networks: addresses and ports given at the start, given back at the end.

use super::builtin::GATEWAYS;
use super::publish::{ONE_MESSAGE, Relay, publish};
use super::{Inner, Networks, PlaceOptions};
use crate::error::{Error, Kind, Result};
use crate::ids;
use crate::model::network::{Driver, Held, Membership, Network, Place};
use crate::model::{Container, NetworkMode};
use dhow_network::endpoint::{self, Plan};
use dhow_network::ipam;
use dhow_network::limits::Limits;
use dhow_shim::config::NetworkConfig;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What a start needs.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) held: Held,
    pub(crate) config: NetworkConfig,
    /// Of `config.relays`.
    pub(crate) sockets: Vec<OwnedFd>,
    /// What one message to the shim has no room for.
    pub(crate) later: Vec<Relay>,
}

/// Gives a container its places and ports, or says why it gets none; then nothing is held. `None` where it is in no network of ours.
pub(crate) fn attach(networks: &Networks, container: &Container) -> Result<Option<Attached>> {
    if container.request.host.network != NetworkMode::Networks {
        return Ok(None);
    }
    let prefixed = |error: Error| error.prefixed("failed to set up container networking: ");
    places(networks, container).and_then(|attached| with_ports(networks, container, attached)).map(Some).map_err(prefixed)
}

fn with_ports(networks: &Networks, container: &Container, mut attached: Attached) -> Result<Attached> {
    let published = match publish(networks, container, &attached.held.memberships, &[]) {
        Ok(published) => published,
        Err(error) => {
            give_back(networks, &container.id, &attached.held);
            return Err(error);
        }
    };
    attached.held.published = published.mappings;
    attached.later = published.relays;
    let first = attached.later.drain(..attached.later.len().min(ONE_MESSAGE));
    (attached.config.relays, attached.sockets) = first.map(|relay| (relay.config, relay.socket)).unzip();
    Ok(attached)
}

fn places(networks: &Networks, container: &Container) -> Result<Attached> {
    networks.check()?;
    let mut attached = Attached { held: Held::default(), config: NetworkConfig::default(), sockets: Vec::new(), later: Vec::new() };
    let mut plan = Plan::default();
    let mut routed = [false; 2];
    let given = (|| {
        let mut names: Vec<String> = Vec::new();
        for key in &Membership::in_order(&container.networks) {
            let asked = container.networks.get(key).cloned().unwrap_or_default();
            let (network, membership) = take(networks, container, key, asked, &names)?;
            let Some(place) = &membership.place else { continue };
            names.push(place.name.clone());
            plan.places.push(planned(networks, &network, place, &membership, &mut routed));
            attached.held.memberships.insert(network.name.clone(), membership);
        }
        Ok(())
    })();
    if let Err(error) = given {
        give_back(networks, &container.id, &attached.held);
        return Err(error);
    }
    plan.resolver = super::has_names(container);
    attached.config.plan = plan;
    Ok(attached)
}

/// One place, as the shim makes it. The first network with a way out has the default route.
pub(super) fn planned(
    networks: &Networks,
    network: &Network,
    place: &Place,
    membership: &Membership,
    routed: &mut [bool; 2],
) -> endpoint::Place {
    let mut gateways = Vec::new();
    for (gateway, done) in place.ways().into_iter().zip(routed) {
        if let (Some(gateway), false) = (gateway, *done) {
            gateways.push(gateway);
            *done = true;
        }
    }
    // As the standards divide them.
    let beside = membership.link_local.iter().map(|address| (*address, if address.is_ipv4() { 16 } else { 64 }));
    let options = PlaceOptions::of(membership);
    let [into, out] = options.bandwidth;
    endpoint::Place {
        bridge: network.link.clone(),
        port: place.port.clone(),
        sharing: network.sharing(),
        name: place.name.clone(),
        mac: endpoint::parse_mac(&place.mac).unwrap_or_default(),
        mtu: network.mtu().unwrap_or(if network.driver.shares() { 0 } else { networks.settings.mtu }),
        isolated: !network.icc(),
        addresses: place.ipv4.into_iter().chain(place.ipv6).chain(beside).collect(),
        gateways,
        sysctls: options.sysctls_of(&place.name),
        limits: Limits { into, out, table: networks.limits_table(&place.port) },
    }
}

/// The name of the link in the container: the one that is asked for, or the first of the network's that is free. `taken` are the others.
fn link_name(network: &Network, options: &PlaceOptions, taken: &[String]) -> Result<String> {
    let prefix = network.prefix();
    match &options.name {
        Some(name) if taken.contains(name) => {
            Err(Error::new(Kind::Conflict, format!("the interface name {name} is used by another network of the container")))
        }
        Some(name) => Ok(name.clone()),
        None => {
            let free = (0..).map(|number| format!("{prefix}{number}")).find(|name| !taken.contains(name));
            Ok(free.unwrap_or_default())
        }
    }
}

/// Takes addresses in one network.
pub(super) fn take(
    networks: &Networks,
    container: &Container,
    key: &str,
    mut membership: Membership,
    names: &[String],
) -> Result<(Arc<Network>, Membership)> {
    let endpoint = ids::fresh()?;
    // By the id that was found, unless that network is gone and another one has its name.
    let network = networks.get(&membership.network).or_else(|_| networks.get(key))?;
    networks.mend(&network)?;
    let mut inner = networks.lock();
    if network.config_only {
        return Err(Error::new(Kind::Forbidden, "cannot create endpoint on configuration-only network"));
    }
    if network.driver != Driver::Bridge && !network.driver.shares() {
        let text = format!("the network {} has no places for containers that are in other networks", network.name);
        return Err(Error::new(Kind::Invalid, text));
    }
    if network.driver == Driver::Ipvlan && membership.mac.is_some() {
        return Err(Error::new(Kind::Invalid, "ipvlan interfaces do not support custom mac address assignment"));
    }
    let options = PlaceOptions::parse(&membership.options)?;
    if network.driver.shares() && options.bandwidth != [0; 2] {
        let text = format!("bandwidth is limited in bridge networks only: {} is one of {}", network.name, network.driver.as_str());
        return Err(Error::new(Kind::Invalid, text));
    }
    let name = link_name(&network, &options, names)?;
    let ipv4 = inner.take_address(&network, true, membership.ipv4)?;
    let ipv6 = match inner.take_address(&network, false, membership.ipv6) {
        Ok(ipv6) => ipv6,
        Err(error) => {
            inner.give_address(&network.id, ipv4);
            return Err(error);
        }
    };
    if let Some(entry) = inner.by_id.get_mut(&network.id) {
        entry.members.push(container.id.clone());
    }
    drop(inner);
    let gateway = |ipv4: bool| {
        let pool = network.pools.iter().find(|pool| pool.subnet.is_ipv4() == ipv4)?;
        let other = pool.auxiliary.get(GATEWAYS[usize::from(!ipv4)]).copied();
        (!network.internal && !network.by_link()).then_some(other.unwrap_or(pool.gateway))
    };
    let mac = match (&membership.mac, ipv4) {
        (Some(mac), _) => mac.to_lowercase().replace('-', ":"),
        _ if network.has_parents_mac() => String::new(),
        // The kernel refuses a second link with an address that another one of the same wire, though about to go, still has.
        _ if network.driver.shares() => endpoint::mac_text(random_mac(&endpoint)),
        (None, Some((IpAddr::V4(v4), _))) => endpoint::mac_text(endpoint::mac_of(v4)),
        _ => endpoint::mac_text(random_mac(&endpoint)),
    };
    membership.network.clone_from(&network.id);
    membership.place = Some(Place {
        port: if network.driver.shares() { String::new() } else { format!("veth{}", &endpoint[..7]) },
        endpoint,
        ipv4,
        ipv6,
        gateway: gateway(true).filter(|_| ipv4.is_some()),
        gateway6: gateway(false).filter(|_| ipv6.is_some()),
        mac,
        name,
        by_link: network.by_link() && !network.internal,
    });
    Ok((network, membership))
}

/// From an id, which is random.
fn random_mac(id: &str) -> [u8; 6] {
    let mut mac = [0x02; 6];
    for (byte, at) in mac.iter_mut().zip((0..).step_by(2)).skip(1) {
        *byte = id.get(at..at + 2).and_then(|text| u8::from_str_radix(text, 16).ok()).unwrap_or(0);
    }
    mac
}

impl Inner {
    /// The address that is asked for, or the next free one; `None` where the network has none of this family.
    fn take_address(&mut self, network: &Network, ipv4: bool, asked: Option<IpAddr>) -> Result<Option<(IpAddr, u8)>> {
        let Some(entry) = self.by_id.get_mut(&network.id) else { return Err(super::no_such(&network.name)) };
        let pools = || network.pools.iter().filter(move |pool| pool.subnet.is_ipv4() == ipv4);
        if let Some(asked) = asked {
            network.check_address(asked).map_err(|text| Error::new(Kind::Invalid, format!("invalid endpoint settings:\n{text}")))?;
            let at = entry.addresses.iter_mut().find(|addresses| addresses.pool().subnet.contains(asked));
            let at = at.ok_or_else(|| super::no_such(&network.name))?;
            at.take_this(asked).map_err(|refused| Error::new(Kind::Forbidden, refused.text()))?;
            return Ok(Some((asked, at.pool().subnet.prefix())));
        }
        let mut last = None;
        for addresses in entry.addresses.iter_mut().filter(|addresses| addresses.pool().subnet.is_ipv4() == ipv4) {
            match addresses.take() {
                Ok(address) => return Ok(Some((address, addresses.pool().subnet.prefix()))),
                Err(refused) => last = Some(refused),
            }
        }
        match last {
            None => Ok(None),
            Some(_) => {
                let pool = pools().next().map(|pool| pool.subnet.to_string()).unwrap_or_default();
                Err(Error::new(
                    Kind::Internal,
                    format!(
                        "no available {} addresses on this network's address pools: {} ({pool})",
                        if ipv4 { "IPv4" } else { "IPv6" },
                        network.name
                    ),
                ))
            }
        }
    }

    fn give_address(&mut self, network: &str, address: Option<(IpAddr, u8)>) {
        if let (Some(entry), Some((address, _))) = (self.by_id.get_mut(network), address) {
            entry.addresses.iter_mut().for_each(|addresses| addresses.give_back(address));
        }
    }

    /// Gives back what a place has.
    pub(super) fn give_place(&mut self, container: &str, membership: &Membership) {
        let Some(place) = &membership.place else { return };
        self.give_address(&membership.network, place.ipv4);
        self.give_address(&membership.network, place.ipv6);
        if let Some(entry) = self.by_id.get_mut(&membership.network)
            && let Some(at) = entry.members.iter().position(|member| member == container)
        {
            entry.members.swap_remove(at);
        }
    }
}

/// Gives back all that is held, in the engine's books only.
fn give_back(networks: &Networks, container: &str, held: &Held) {
    let mut inner = networks.lock();
    held.memberships.values().for_each(|membership| inner.give_place(container, membership));
    inner.give_ports(container, &held.published);
}

/// Takes back what a container that has ended had. What fails is logged: the next opening sweeps up.
pub(crate) fn detach(networks: &Networks, container: &mut Container) {
    if container.request.host.network != NetworkMode::Networks {
        return;
    }
    let held = Held { memberships: container.networks.clone(), published: std::mem::take(&mut container.published) };
    let places: Vec<&Place> = held.memberships.values().filter_map(|membership| membership.place.as_ref()).collect();
    let gone: Vec<String> = places.iter().map(|place| place.port.clone()).filter(|port| !port.is_empty()).collect();
    let used = endpoint::close(&gone).unwrap_or_else(|error| {
        tracing::warn!(container = container.id, %error, "its links were not closed");
        true
    });
    held.memberships.values().for_each(|membership| networks.unlimit(membership));
    networks.lock().published.remove(&container.id);
    if let Err(error) = networks.change_ports(&held.published, false) {
        tracing::warn!(container = container.id, %error, "its ports were not taken back");
    }
    if used {
        networks.forget_flows(&places.iter().flat_map(|place| place.addresses()).collect::<Vec<_>>());
    }
    give_back(networks, &container.id, &held);
    forget(container);
    if used {
        reap(gone);
    }
}

/// Connections that were open at the end of a container keep its namespace, and with it the links, until the kernel gives them up, minutes
/// later: the links are removed, in the background, since that takes a while. Who was never asked anything has no such connections.
fn reap(links: Vec<String>) {
    let remove = move || {
        for link in links {
            if let Err(error) = endpoint::take_away(&link) {
                tracing::warn!(link, %error, "a link was left behind");
            }
        }
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(remove)),
        Err(_) => remove(),
    }
}

/// What a container that does not run has: nothing.
pub(crate) fn forget(container: &mut Container) {
    container.published.clear();
    container.networks.values_mut().for_each(|membership| membership.place = None);
}

/// Enters into the books what a running container has.
pub(crate) fn adopt(networks: &Networks, container: &Container) {
    let mut inner = networks.lock();
    for membership in container.networks.values() {
        let (Some(place), Some(entry)) = (&membership.place, inner.by_id.get_mut(&membership.network)) else { continue };
        entry.members.push(container.id.clone());
        for (address, _) in place.ipv4.iter().chain(&place.ipv6) {
            let taken = entry.addresses.iter_mut().map(|addresses| addresses.take_this(*address)).any(|taken| taken.is_ok());
            if !taken {
                let why = ipam::Refused::InUse.text();
                tracing::error!(container = container.id, %address, why, "its address is another's too");
            }
        }
    }
    for mapping in container.published.iter().filter(|mapping| mapping.host_port != 0) {
        inner.ports.take(mapping.protocol, mapping.host, mapping.host_port);
    }
    if !container.published.is_empty() {
        inner.published.insert(container.id.clone(), container.published.clone());
    }
}
