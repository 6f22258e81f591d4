//! The names that a container can ask for: those of the containers in its networks. Pure.

use crate::model::network::{Membership, Place, dns_names};
use crate::model::{Container, NetworkMode};
use dhow_network::dns::Zone;
use std::net::IpAddr;
use std::sync::Arc;

/// The default network has no names, as in Docker.
const UNNAMED: &str = super::DEFAULT;

/// Whether a container is in a network that has names.
pub(crate) fn has_names(container: &Container) -> bool {
    container.request.host.network == NetworkMode::Networks && container.networks.keys().any(|name| name != UNNAMED)
}

/// What one container sees.
pub(super) struct View {
    /// It.
    pub(super) own: Arc<Container>,
    /// All of them.
    pub(super) all: Vec<Arc<Container>>,
    /// Random: where several have a name, another one comes first each time.
    pub(super) turn: usize,
}

impl View {
    /// The named networks it is in.
    fn networks(&self) -> impl Iterator<Item = (&String, &Membership)> {
        self.own.networks.iter().filter(|(name, membership)| *name != UNNAMED && membership.place.is_some())
    }

    /// Who is in a network.
    fn members<'a>(&'a self, id: &'a str) -> impl Iterator<Item = (&'a Container, &'a Membership)> {
        self.all.iter().filter_map(move |container| {
            let found = container.networks.values().find(|membership| membership.network == id && membership.place.is_some());
            found.map(|membership| (container.as_ref(), membership))
        })
    }

    fn within(&self, name: &str, id: &str) -> Vec<IpAddr> {
        let has = |(container, membership): &(&Container, &Membership)| {
            dns_names(&container.name, &container.id, &container.request.hostname, membership)
                .iter()
                .any(|own| own.eq_ignore_ascii_case(name))
        };
        let places = self.members(id).filter(has).filter_map(|(_, membership)| membership.place.as_ref());
        places.flat_map(Place::addresses).collect()
    }

    /// Whether it may ask others at all: not where all of its networks are internal.
    pub(super) fn reaches_out(&self) -> bool {
        self.own.networks.values().filter_map(|membership| membership.place.as_ref()).any(Place::leads_out)
    }
}

/// The container that a link means by this name.
fn linked<'a>(membership: &'a Membership, name: &str) -> Option<&'a str> {
    membership.links.iter().find_map(|link| {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        alias.eq_ignore_ascii_case(name).then_some(target)
    })
}

impl Zone for View {
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let mut found = Vec::new();
        for (network, membership) in self.networks() {
            let target = linked(membership, name).unwrap_or(name);
            let mut here = self.within(target, &membership.network);
            if here.is_empty()
                && let Some((host, last)) = name.rsplit_once('.')
                && last.eq_ignore_ascii_case(network)
            {
                here = self.within(host, &membership.network);
            }
            found.extend(here);
        }
        if found.is_empty() {
            return None;
        }
        let turn = self.turn % found.len();
        found.rotate_left(turn);
        Some(found)
    }

    fn name(&self, address: IpAddr) -> Option<String> {
        self.networks().find_map(|(network, membership)| {
            let has = |membership: &Membership| {
                let place = membership.place.as_ref();
                place.is_some_and(|place| place.addresses().any(|own| own == address))
            };
            let found = self.members(&membership.network).find(|(_, membership)| has(membership));
            found.map(|(container, _)| format!("{}.{network}", container.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::container;

    fn place(address: &str) -> Place {
        Place {
            endpoint: "e".into(),
            ipv4: Some((address.parse().unwrap(), 24)),
            ipv6: None,
            gateway: None,
            gateway6: None,
            mac: String::new(),
            port: String::new(),
            name: String::new(),
            by_link: false,
        }
    }

    fn with(id: char, name: &str, networks: &[(&str, &str)], aliases: &[&str]) -> Arc<Container> {
        let mut container = container(&id.to_string().repeat(64), name);
        container.request.hostname = format!("host-{name}");
        for (network, address) in networks {
            let membership = Membership {
                network: format!("id-{network}"),
                place: Some(place(address)),
                aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
                links: vec!["two:other".into()],
                ..Membership::default()
            };
            container.networks.insert((*network).to_owned(), membership);
        }
        Arc::new(container)
    }

    #[test]
    fn names_in_networks() {
        let one = with('1', "one", &[("net", "10.0.0.2"), ("bridge", "10.9.0.2")], &[]);
        let two = with('2', "two", &[("net", "10.0.0.3"), ("far", "10.1.0.3")], &["db"]);
        let three = with('3', "three", &[("net", "10.0.0.4"), ("far", "10.1.0.4")], &["db"]);
        let four = with('4', "four", &[("far", "10.1.0.5"), ("bridge", "10.9.0.5")], &[]);
        let all = vec![one.clone(), two, three, four];
        let view = |turn| View { own: one.clone(), all: all.clone(), turn };
        let check = |name: &str, expect: &str| {
            let got = view(0).addresses(name).map_or_else(|| "-".to_owned(), |all| all.iter().map(|a| format!("{a};")).collect());
            assert_eq!(got, expect, "{name}");
        };
        check("one", "10.0.0.2;");
        check("TWO", "10.0.0.3;");
        check("two.net", "10.0.0.3;");
        check("two.far", "-");
        check("host-two", "10.0.0.3;");
        check("222222222222", "10.0.0.3;");
        check("db", "10.0.0.3;10.0.0.4;");
        check("other", "10.0.0.3;");
        check("four", "-");
        check("example.org", "-");
        assert_eq!(view(1).addresses("db").unwrap()[0].to_string(), "10.0.0.4");
        let name = |address: &str| view(0).name(address.parse().unwrap());
        assert_eq!(name("10.0.0.4").as_deref(), Some("three.net"));
        assert_eq!((name("10.1.0.4"), name("10.9.0.5")), (None, None));
        assert!(!view(0).reaches_out());
    }
}
