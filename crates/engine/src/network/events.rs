//! What is told of networks.

use super::Networks;
use crate::events::Hub;
use crate::model::network::{Membership, Network};
use crate::model::{Container, NetworkMode};
use std::collections::BTreeMap;

/// Tells an event about a network, in Docker's attributes.
pub(crate) fn tell(hub: &Hub, network: &Network, action: &str, container: Option<&str>) {
    let mut attributes =
        BTreeMap::from([("name".to_owned(), network.name.clone()), ("type".to_owned(), network.driver.as_str().to_owned())]);
    attributes.extend(container.map(|id| ("container".to_owned(), id.to_owned())));
    hub.tell("network", action, &network.id, attributes);
}

/// Tells of every network that a container has a place in.
pub(crate) fn tell_all(networks: &Networks, hub: &Hub, container: &Container, action: &str) {
    tell_of(networks, hub, &container.id, container.networks.values(), action);
    tell_of_mode(networks, hub, container, action);
}

/// Tells of the networks that a container has left.
pub(crate) fn tell_left(networks: &Networks, hub: &Hub, container: &Container, left: &BTreeMap<String, Membership>) {
    tell_of(networks, hub, &container.id, left.values(), "disconnect");
    tell_of_mode(networks, hub, container, "disconnect");
}

/// `none` and `host` give no place, and are told of all the same.
fn tell_of_mode(networks: &Networks, hub: &Hub, container: &Container, action: &str) {
    let name = match container.request.host.network {
        NetworkMode::None => "none",
        NetworkMode::Host => "host",
        NetworkMode::Container(_) | NetworkMode::Networks => return,
    };
    if let Ok(network) = networks.get(name) {
        tell(hub, &network, action, Some(&container.id));
    }
}

fn tell_of<'a>(networks: &Networks, hub: &Hub, container: &str, memberships: impl Iterator<Item = &'a Membership>, action: &str) {
    for membership in memberships.filter(|membership| membership.place.is_some()) {
        if let Ok(network) = networks.get(&membership.network) {
            tell(hub, &network, action, Some(container));
        }
    }
}
