//! Running containers that get places in further networks, or lose some.

use super::Networks;
use super::attach::{planned, take};
use super::host::failed;
use crate::error::{Error, Kind, Result};
use crate::model::network::{Driver, Membership, Network, Place};
use crate::model::{Container, NetworkMode};
use dhow_network::endpoint::{self, Plan};
use std::net::IpAddr;
use std::os::fd::AsFd;

/// Fails where a container cannot have a place in a network beside those it has.
pub(crate) fn check_connect(container: &Container, network: &Network) -> Result<()> {
    let shares = "container sharing network namespace with another container or host cannot be connected to any other network";
    let forbidden = |text: &str| Err(Error::new(Kind::Forbidden, text));
    match (&container.request.host.network, network.driver) {
        (NetworkMode::Host | NetworkMode::Container(_), _) => Err(Error::new(Kind::Invalid, shares)),
        (_, Driver::Host) => forbidden("container cannot be connected to host network with other networks, or disconnected from it"),
        (NetworkMode::None, _) | (_, Driver::Null) => {
            forbidden("container cannot be connected to multiple networks with one of the networks in private (none) mode")
        }
        _ if container.networks.values().any(|m| m.network == network.id && m.place.is_some()) => {
            forbidden(&format!("endpoint with name {} already exists in network {}", container.name, network.name))
        }
        _ => Ok(()),
    }
}

fn places(container: &Container) -> impl Iterator<Item = &Place> {
    container.networks.values().filter_map(|membership| membership.place.as_ref())
}

/// Gives a running container a place in one more network. Answers what it has there. Makes links, so it is for a thread that may wait.
pub(crate) fn connect(networks: &Networks, container: &Container, network: &Network, asked: Membership) -> Result<Membership> {
    networks.check()?;
    let names: Vec<String> = places(container).map(|place| place.name.clone()).collect();
    let asked = Membership { network: network.id.clone(), ..asked };
    let (found, membership) = take(networks, container, &network.name, asked, &names)?;
    let Some(place) = &membership.place else { return Ok(membership) };
    // The way to everywhere stays with the network that has it, unless this one is to come first.
    let best = places(container).filter(|place| place.leads_out()).count() == 0
        || container.networks.values().all(|other| other.priority < membership.priority);
    let mut routed = [0, 1].map(|family| !best && places(container).any(|place| place.ways()[family].is_some()));
    let plan = Plan { places: vec![planned(networks, &found, place, &membership, &mut routed)], ..Plan::default() };
    let done = namespace(container).and_then(|namespace| endpoint::apply(&plan, namespace.as_fd()).map_err(failed));
    if let Err(error) = done {
        if let Err(error) = take_away(networks, container, &membership, place) {
            tracing::warn!(container = container.id, %error, "a link was left behind");
        }
        networks.lock().give_place(&container.id, &membership);
        return Err(error);
    }
    Ok(membership)
}

/// The pinned namespace of a running container.
fn namespace(container: &Container) -> Result<std::fs::File> {
    std::fs::File::open(&container.sandbox.key).map_err(|e| Error::internal("open", &container.sandbox.key, e))
}

/// Takes a running container's place in a network away; gives the way to everywhere to the next network. It is for a thread that may wait.
pub(crate) fn disconnect(networks: &Networks, container: &Container, membership: &Membership) -> Result<()> {
    let Some(place) = &membership.place else { return Ok(()) };
    take_away(networks, container, membership, place)?;
    networks.forget_flows(&place.addresses().collect::<Vec<_>>());
    networks.lock().give_place(&container.id, membership);
    next_route(container, place)
}

/// Takes the link of a place away, with its limits.
fn take_away(networks: &Networks, container: &Container, membership: &Membership, place: &Place) -> Result<()> {
    networks.unlimit(membership);
    if place.port.is_empty() {
        return endpoint::take_away_inside(namespace(container)?.as_fd(), &place.name).map_err(failed);
    }
    endpoint::take_away(&place.port).map_err(failed)
}

fn next_route(container: &Container, lost: &Place) -> Result<()> {
    let next = Membership::in_order(&container.networks).into_iter().find_map(|name| {
        let other = container.networks.get(&name)?.place.clone()?;
        (other.endpoint != lost.endpoint && other.leads_out()).then_some(other)
    });
    let Some(next) = next else { return Ok(()) };
    let namespace = namespace(container)?;
    let gateways: Vec<IpAddr> = next.ways().into_iter().flatten().collect();
    dhow_network::namespace::inside(namespace.as_fd(), || dhow_network::link::set_default_routes(&next.name, &gateways)).map_err(failed)
}
