//! The engine's table: what it says of networks and published ports. One for each engine, put as a whole in one transaction; only the
//! elements of the maps come and go with containers.
//!
//! ```text
//! prerouting, output   to an address of this machine: by the maps to the container (what containers of ours and the loopback send
//!                      goes to the relay instead, which listens at the port)
//! forward              within a network: as the network says; between networks, into and out of internal ones: dropped; from outside
//!                      only what was published
//! postrouting          what leaves a network gets the host's address
//! ```

use crate::nft::{Chain, Element, Expr, Family, Hook, Set, Table, Verdict, name16, types};
use crate::ports::{Mapping, Protocol};
use crate::subnet::Subnet;
use std::net::{IpAddr, Ipv4Addr};

/// Ports published at every address.
pub const ANYWHERE: &str = "published";
/// Ports published at one address.
pub const AT: &str = "published-at";

/// A network, as the packet filter is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its bridge.
    pub bridge: String,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
    /// No way out or in.
    pub internal: bool,
    /// Its containers may talk to each other.
    pub icc: bool,
    /// What leaves it gets the host's address.
    pub masquerade: bool,
}

/// IPv4.
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
const DST_NAT: u32 = 0x20;
const LOCAL: u32 = 2;

fn hook(kind: &'static str, number: u32, priority: i32, accept: bool) -> Option<Hook> {
    Some(Hook { kind, number, priority, accept })
}

/// The table of an engine. `only_ours`: what is no network's is not forwarded, since it was we who switched forwarding on, of IPv4 and of IPv6.
pub fn table(name: &str, networks: &[Network], mappings: &[Mapping], only_ours: [bool; 2]) -> Table {
    let names = |wanted: &dyn Fn(&Network) -> bool| -> Vec<Element> {
        networks.iter().filter(|network| wanted(network)).map(|network| (name16(&network.bridge), None)).collect()
    };
    let pairs = networks.iter().filter(|network| network.icc).map(|network| {
        let one = name16(&network.bridge);
        ([one.clone(), one].concat(), None)
    });
    let set = |name, key, elements| Set { name, key, value: None, elements };
    let (anywhere, at) = elements(mappings);
    let target = types::concat([types::IPV4, types::PORT]);
    let port = [types::PROTOCOL, types::PORT];
    let sets = vec![
        set("bridges", types::IFNAME, names(&|_| true)),
        set("internal", types::IFNAME, names(&|network| network.internal)),
        set("within", types::concat([types::IFNAME, types::IFNAME]), pairs.collect()),
        Set { name: ANYWHERE, key: types::concat(port), value: Some(target), elements: anywhere },
        Set { name: AT, key: types::concat([types::IPV4, port[0], port[1]]), value: Some(target), elements: at },
    ];
    let chains = vec![
        Chain { name: "publish", hook: None, rules: publish() },
        Chain { name: "prerouting", hook: hook("nat", 0, -100, true), rules: prerouting() },
        Chain { name: "output", hook: hook("nat", 3, -100, true), rules: output() },
        Chain { name: "forward", hook: hook("filter", 2, 0, true), rules: forward(only_ours) },
        Chain { name: "postrouting", hook: hook("nat", 4, 100, true), rules: networks.iter().flat_map(masquerade).collect() },
    ];
    Table { name: name.to_owned(), family: Family::Inet, sets, chains }
}

fn to_this_machine() -> Vec<Expr> {
    vec![Expr::DestinationKind(0), Expr::Is(0, LOCAL.to_ne_bytes().to_vec()), Expr::Do(Verdict::Jump("publish"))]
}

fn prerouting() -> Vec<Vec<Expr>> {
    let own = vec![Expr::InName(0), Expr::In("bridges", 0), Expr::Do(Verdict::Return)];
    vec![own, to_this_machine()]
}

fn output() -> Vec<Vec<Expr>> {
    let loopback = vec![
        Expr::Nfproto(0),
        Expr::Is(0, vec![NFPROTO_IPV4]),
        Expr::Network { offset: 16, length: 4, register: 0 },
        Expr::Mask(0, vec![255, 0, 0, 0]),
        Expr::Is(0, vec![127, 0, 0, 0]),
        Expr::Do(Verdict::Return),
    ];
    vec![loopback, to_this_machine()]
}

/// A value of a map is an address and a port, from register 8 on.
fn publish() -> Vec<Vec<Expr>> {
    let ipv4 = [Expr::Nfproto(0), Expr::Is(0, vec![NFPROTO_IPV4])];
    let to = |name, key| [Expr::Map { name, key, value: 8 }, Expr::Dnat { address: 8, port: 9 }];
    let port = [Expr::L4Proto(1), Expr::DestinationPort(2)];
    let address = [Expr::Network { offset: 16, length: 4, register: 0 }];
    let at = ipv4.iter().chain(&address).chain(&port).cloned().chain(to(AT, 0));
    let anywhere = ipv4.iter().chain(&port).cloned().chain(to(ANYWHERE, 1));
    vec![at.collect(), anywhere.collect()]
}

fn forward(only_ours: [bool; 2]) -> Vec<Vec<Expr>> {
    let has = |expr: fn(u32) -> Expr, bits: u32| [expr(0), Expr::Mask(0, bits.to_ne_bytes().to_vec()), Expr::IsNot(0, vec![0; 4])];
    let from = || [Expr::InName(0), Expr::In("bridges", 0)];
    let to = || [Expr::OutName(4), Expr::In("bridges", 4)];
    let end = |verdict| [Expr::Do(verdict)];
    let mut rules = vec![
        // What was begun may go on, wherever it is to.
        [&to()[..], &has(Expr::CtState, ESTABLISHED_OR_RELATED), &end(Verdict::Accept)].concat(),
        vec![Expr::InName(0), Expr::OutName(4), Expr::In("within", 0), Expr::Do(Verdict::Accept)],
        [&[Expr::InName(0), Expr::In("internal", 0)][..], &end(Verdict::Drop)].concat(),
        [&[Expr::OutName(0), Expr::In("internal", 0)][..], &end(Verdict::Drop)].concat(),
        [&from()[..], &to(), &end(Verdict::Drop)].concat(),
        [&from()[..], &end(Verdict::Accept)].concat(),
        [&to()[..], &has(Expr::CtStatus, DST_NAT), &end(Verdict::Accept)].concat(),
        [&to()[..], &end(Verdict::Drop)].concat(),
    ];
    for (family, _) in [NFPROTO_IPV4, NFPROTO_IPV6].into_iter().zip(only_ours).filter(|(_, ours)| *ours) {
        rules.push(vec![Expr::Nfproto(0), Expr::Is(0, vec![family]), Expr::Do(Verdict::Drop)]);
    }
    rules
}

fn masquerade(network: &Network) -> Vec<Vec<Expr>> {
    if !network.masquerade || network.internal {
        return Vec::new();
    }
    let rule = |subnet: &Subnet| {
        // Where the source stands in the header, and how many bytes it has.
        let (family, offset, address) = match subnet.address() {
            IpAddr::V4(v4) => (NFPROTO_IPV4, 12, v4.octets().to_vec()),
            IpAddr::V6(v6) => (NFPROTO_IPV6, 8, v6.octets().to_vec()),
        };
        vec![
            Expr::Nfproto(0),
            Expr::Is(0, vec![family]),
            Expr::Network { offset, length: address.len() as u32, register: 0 },
            Expr::Mask(0, mask(subnet.prefix(), address.len())),
            Expr::Is(0, address),
            Expr::OutName(0),
            Expr::IsNot(0, name16(&network.bridge)),
            Expr::Masquerade,
        ]
    };
    network.subnets.iter().map(rule).collect()
}

/// The bits of a prefix, in so many bytes.
fn mask(prefix: u8, length: usize) -> Vec<u8> {
    let bits = |at: usize| usize::from(prefix).saturating_sub(at * 8).min(8);
    (0..length).map(|at| (0xff00u16 >> bits(at)) as u8).collect()
}

fn port_key(protocol: Protocol, port: u16) -> [u8; 8] {
    let [high, low] = port.to_be_bytes();
    [protocol.number(), 0, 0, 0, high, low, 0, 0]
}

/// The elements of the two maps for these ports. What is published at the loopback, or for IPv6, is the relay's alone.
pub fn elements(mappings: &[Mapping]) -> (Vec<Element>, Vec<Element>) {
    let (mut anywhere, mut at) = (Vec::new(), Vec::new());
    for mapping in mappings {
        let (IpAddr::V4(host), IpAddr::V4(target)) = (mapping.host, mapping.target) else { continue };
        if host.is_loopback() {
            continue;
        }
        let [high, low] = mapping.target_port.to_be_bytes();
        let value = Some([&target.octets()[..], &[high, low, 0, 0]].concat());
        let port = port_key(mapping.protocol, mapping.host_port);
        if host == Ipv4Addr::UNSPECIFIED {
            anywhere.push((port.to_vec(), value));
        } else {
            at.push(([&host.octets()[..], &port].concat(), value));
        }
    }
    (anywhere, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(host: &str, host_port: u16) -> Mapping {
        Mapping { protocol: Protocol::Tcp, host: host.parse().unwrap(), host_port, target: "172.17.0.2".parse().unwrap(), target_port: 80 }
    }

    #[test]
    fn where_a_port_goes() {
        let (anywhere, at) = elements(&[mapping("0.0.0.0", 0x1f90), mapping("10.0.0.1", 81), mapping("127.0.0.1", 82), mapping("::", 83)]);
        assert_eq!(anywhere, [(vec![6, 0, 0, 0, 0x1f, 0x90, 0, 0], Some(vec![172, 17, 0, 2, 0, 80, 0, 0]))]);
        assert_eq!(at.len(), 1);
        assert_eq!(at[0].0, [10, 0, 0, 1, 6, 0, 0, 0, 0, 81, 0, 0]);
    }

    #[test]
    fn an_internal_network_has_no_way_out() {
        let network =
            Network { bridge: "br-1".into(), subnets: vec!["10.0.0.0/24".parse().unwrap()], internal: true, icc: true, masquerade: true };
        assert!(masquerade(&network).is_empty());
        assert_eq!(masquerade(&Network { internal: false, ..network.clone() }).len(), 1);
        let table = table("t", &[network], &[], [true, false]);
        assert_eq!(table.sets[1].elements, [(name16("br-1"), None)]);
        assert_eq!(table.chains[3].rules.len(), forward([false; 2]).len() + 1);
    }

    #[test]
    fn masks() {
        assert_eq!(mask(20, 4), [255, 255, 240, 0]);
        assert_eq!(mask(0, 4), [0; 4]);
        assert_eq!(mask(64, 16)[7..9], [255, 0]);
    }
}
