//! The engine's table: what it says of networks and published ports. One for each engine, put as a whole in one transaction; only the
//! elements of the maps come and go with containers.
//!
//! ```text
//! prerouting, output   to an address of this machine: by the maps to the container (what containers of ours and the loopback send
//!                      goes to the relay instead, which listens at the port)
//! forward              within a network: as the network says; between networks, into and out of internal ones: dropped; from outside
//!                      only what was published; between containers that are kept apart what links open. What passes is marked, so that an accept in a chain of somebody else's can tell it
//! rest                 after the others: what no engine let pass is dropped, where it was we who switched forwarding on
//! unmark               the mark is taken off again
//! postrouting          what leaves a network gets the host's address
//! ```

use crate::linked::{self, LINKED, Linked};
use crate::nft::{Chain, Element, Expr, Family, Hook, Set, Table, Verdict, name16, types};
use crate::ports::Mapping;
use crate::published::{self, Elements, Kind, MAPS, OPEN, OPEN6, SETS};
use crate::subnet::Subnet;
use std::net::IpAddr;

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
    /// How it is reached from outside, by IPv4 and by IPv6.
    pub modes: [Mode; 2],
    /// Links of the host from which published ports are reached by the containers' own addresses.
    pub trusted: Vec<String>,
    /// They are so from everywhere.
    pub direct: bool,
}

/// How a network is reached from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// By published ports of the host.
    #[default]
    Nat,
    /// By these, and by its containers' addresses at all of their ports.
    Unprotected,
    /// By its containers' addresses at their published ports. Nothing is translated.
    Routed,
    /// Not at all; the host has no address in it.
    Isolated,
}

impl Network {
    /// Its published ports are reached by the containers' own addresses, from somewhere.
    pub fn opens(&self) -> bool {
        self.modes.contains(&Mode::Routed) || !self.trusted.is_empty() || self.direct
    }
}

/// All that a table says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Networks.
    pub networks: Vec<Network>,
    /// Published ports.
    pub mappings: Vec<Mapping>,
    /// Those that are reached by the containers' own addresses too, or only so.
    pub open: Vec<Mapping>,
    /// Ports that links open where containers are kept apart otherwise; `None`: links open nothing here.
    pub linked: Option<Vec<Linked>>,
    /// What is no network's is not forwarded, since it was we who switched forwarding on, of IPv4 and of IPv6.
    pub only_ours: [bool; 2],
}

/// The bit of a packet's mark that says, within the forward hook, that an engine of ours lets it pass. It is taken off again at the end of
/// the hook.
pub const PASSED: u32 = 0x1000_0000;

/// IPv4.
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const ICMP: [u8; 2] = [1, 58];
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
const DST_NAT: u32 = 0x20;
const LOCAL: u32 = 2;
/// Of the forward hook: before those of others (0 is usual), and after them.
const BEFORE: i32 = -5;
const AFTER: i32 = 148;

fn hook(kind: &'static str, number: u32, priority: i32, accept: bool) -> Option<Hook> {
    Some(Hook { kind, number, priority, accept, link: None })
}

/// The table of an engine.
pub fn table(name: &str, contents: &Contents) -> Table {
    let networks = &contents.networks;
    let names = |wanted: &dyn Fn(&Network) -> bool| -> Vec<Element> {
        networks.iter().filter(|network| wanted(network)).map(|network| Element::key(name16(&network.bridge))).collect()
    };
    let pair = |a: &str, b: &str| Element::key([name16(a), name16(b)].concat());
    let within = networks.iter().filter(|network| network.icc).map(|network| pair(&network.bridge, &network.bridge));
    let trusted = networks.iter().flat_map(|network| network.trusted.iter().map(|link| pair(link, &network.bridge)));
    let set = |name, key, elements| Set { name, key, value: None, intervals: None, elements };
    let two = types::concat([types::IFNAME, types::IFNAME]);
    let mode = |family: usize, mode: Mode| names(&|network| network.modes[family] == mode);
    let mut sets = vec![
        set("bridges", types::IFNAME, names(&|_| true)),
        set("internal", types::IFNAME, names(&|network| network.internal)),
        set("within", two, within.collect()),
        set("trusted", two, trusted.collect()),
        set("unprotected", types::IFNAME, mode(0, Mode::Unprotected)),
        set("unprotected6", types::IFNAME, mode(1, Mode::Unprotected)),
        set("routed", types::IFNAME, mode(0, Mode::Routed)),
        set("routed6", types::IFNAME, mode(1, Mode::Routed)),
    ];
    let mut elements: Elements = published::elements(&contents.mappings);
    for (all, open) in elements.iter_mut().zip(published::open(&contents.open)) {
        all.extend(open);
    }
    sets.extend(SETS.iter().zip(elements).map(|(kind, elements)| kind.set(elements)));
    sets.extend(contents.linked.as_deref().map(linked::set));
    let chains = vec![
        Chain { name: "publish", hook: None, rules: SETS.iter().take(MAPS).map(publish).collect() },
        Chain { name: "pass", hook: None, rules: vec![mark(u32::MAX ^ PASSED, PASSED, Some(Verdict::Accept))] },
        Chain { name: "prerouting", hook: hook("nat", 0, -100, true), rules: prerouting() },
        Chain { name: "output", hook: hook("nat", 3, -100, true), rules: output() },
        Chain { name: "forward", hook: hook("filter", 2, BEFORE, true), rules: forward(networks, contents.linked.is_some()) },
        Chain { name: "rest", hook: hook("filter", 2, AFTER, true), rules: rest(contents.only_ours) },
        Chain { name: "unmark", hook: hook("filter", 2, AFTER + 1, true), rules: vec![unmark()] },
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
    let loopback6 = vec![
        Expr::Nfproto(0),
        Expr::Is(0, vec![NFPROTO_IPV6]),
        Expr::Network { offset: 24, length: 16, register: 0 },
        Expr::Is(0, std::net::Ipv6Addr::LOCALHOST.octets().to_vec()),
        Expr::Do(Verdict::Return),
    ];
    vec![loopback, loopback6, to_this_machine()]
}

/// What tells the packets of a family: nothing else has the addresses where it has them.
fn of_family(ipv6: bool) -> Vec<Expr> {
    vec![Expr::Nfproto(0), Expr::Is(0, vec![if ipv6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 }])]
}

/// Loads destination (where it counts), protocol and port, from register 0 on.
fn destination(ipv6: bool, address: bool) -> Vec<Expr> {
    let (offset, length) = if ipv6 { (24, 16) } else { (16, 4) };
    let next = if address { length / 4 } else { 0 };
    let load = address.then_some(Expr::Network { offset, length, register: 0 });
    load.into_iter().chain([Expr::L4Proto(next), Expr::DestinationPort(next + 1)]).collect()
}

/// A value of a map is an address, and a port where it is another one, from register 8 on.
fn publish(kind: &Kind) -> Vec<Expr> {
    let mut rule = of_family(kind.ipv6);
    rule.extend(destination(kind.ipv6, kind.at));
    let port = if kind.ipv6 { 12 } else { 9 };
    rule.push(Expr::Map { name: kind.name, key: 0, value: 8 });
    let family = if kind.ipv6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 };
    rule.push(Expr::Dnat { family, address: 8, port: (!kind.range).then_some(port) });
    rule
}

fn mark(keep: u32, turn: u32, end: Option<Verdict>) -> Vec<Expr> {
    [Expr::Mark(0), Expr::Bits(0, keep, turn), Expr::SetMark(0)].into_iter().chain(end.map(Expr::Do)).collect()
}

/// Goes on where the packet passes.
pub fn has_passed() -> Vec<Expr> {
    vec![Expr::Mark(0), Expr::Mask(0, PASSED.to_ne_bytes().to_vec()), Expr::Is(0, PASSED.to_ne_bytes().to_vec())]
}

fn unmark() -> Vec<Expr> {
    [has_passed(), mark(u32::MAX ^ PASSED, 0, None)].concat()
}

fn forward(networks: &[Network], links: bool) -> Vec<Vec<Expr>> {
    let has = |expr: fn(u32) -> Expr, bits: u32| [expr(0), Expr::Mask(0, bits.to_ne_bytes().to_vec()), Expr::IsNot(0, vec![0; 4])];
    let from = || [Expr::InName(0), Expr::In("bridges", 0)];
    let to = || [Expr::OutName(4), Expr::In("bridges", 4)];
    let drop = [Expr::Do(Verdict::Drop)];
    let pass = [Expr::Do(Verdict::Jump("pass"))];
    let mut rules = vec![
        // What was begun may go on, wherever it is to.
        [&to()[..], &has(Expr::CtState, ESTABLISHED_OR_RELATED), &pass].concat(),
        [&[Expr::InName(0), Expr::OutName(4), Expr::In("within", 0)][..], &pass].concat(),
    ];
    // What containers send to the world goes by all that follows: no rule is there for networks that are not.
    if networks.iter().any(|network| network.internal) {
        rules.push([&[Expr::InName(0), Expr::In("internal", 0)][..], &drop].concat());
        rules.push([&[Expr::OutName(0), Expr::In("internal", 0)][..], &drop].concat());
    }
    if links {
        rules.push([&from()[..], &of_family(false), &linked::key(), &[Expr::In(LINKED, 0)], &pass].concat());
    }
    rules.extend([
        [&from()[..], &to(), &drop].concat(),
        [&from()[..], &pass].concat(),
        [&to()[..], &has(Expr::CtStatus, DST_NAT), &pass].concat(),
    ]);
    for (ipv6, [unprotected, routed, open]) in [(false, ["unprotected", "routed", OPEN]), (true, ["unprotected6", "routed6", OPEN6])] {
        let any = |mode: Mode| networks.iter().any(|network| network.modes[usize::from(ipv6)] == mode);
        let to_open = || [destination(ipv6, true), vec![Expr::In(open, 0)], pass.to_vec()].concat();
        if any(Mode::Unprotected) {
            rules.push([&of_family(ipv6)[..], &[Expr::OutName(0), Expr::In(unprotected, 0)], &pass].concat());
        }
        if any(Mode::Routed) {
            let routed = || [&of_family(ipv6)[..], &[Expr::OutName(0), Expr::In(routed, 0)]].concat();
            let icmp = [Expr::L4Proto(0), Expr::Is(0, vec![ICMP[usize::from(ipv6)]])];
            rules.push([&routed()[..], &icmp, &pass].concat());
            rules.push([routed(), to_open()].concat());
        }
        if networks.iter().any(|network| network.direct) {
            rules.push([&to()[..], &of_family(ipv6), &to_open()].concat());
        }
        if networks.iter().any(|network| !network.trusted.is_empty()) {
            let trusted = [Expr::InName(0), Expr::OutName(4), Expr::In("trusted", 0)];
            rules.push([&of_family(ipv6)[..], &trusted, &to_open()].concat());
        }
    }
    rules.push([&to()[..], &drop].concat());
    rules
}

/// What is no engine's, where forwarding is on because of us.
fn rest(only_ours: [bool; 2]) -> Vec<Vec<Expr>> {
    let passed = [has_passed(), vec![Expr::Do(Verdict::Accept)]].concat();
    let families = [false, true].into_iter().zip(only_ours).filter(|(_, ours)| *ours);
    let drops = families.map(|(ipv6, _)| [of_family(ipv6), vec![Expr::Do(Verdict::Drop)]].concat());
    std::iter::once(passed).chain(drops).collect()
}

fn masquerade(network: &Network) -> Vec<Vec<Expr>> {
    if !network.masquerade || network.internal {
        return Vec::new();
    }
    let translated = |subnet: &&Subnet| matches!(network.modes[usize::from(!subnet.is_ipv4())], Mode::Nat | Mode::Unprotected);
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
    network.subnets.iter().filter(translated).map(rule).collect()
}

/// The bits of a prefix, in so many bytes.
fn mask(prefix: u8, length: usize) -> Vec<u8> {
    let bits = |at: usize| usize::from(prefix).saturating_sub(at * 8).min(8);
    (0..length).map(|at| (0xff00u16 >> bits(at)) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        Network {
            bridge: "br-1".into(),
            subnets: vec!["10.0.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()],
            internal: false,
            icc: true,
            masquerade: true,
            modes: [Mode::Nat; 2],
            trusted: Vec::new(),
            direct: false,
        }
    }

    #[test]
    fn an_internal_network_has_no_way_out() {
        let network = Network { internal: true, ..network() };
        assert!(masquerade(&network).is_empty());
        let contents = Contents { networks: vec![network], only_ours: [true, false], ..Contents::default() };
        assert_eq!(forward(&contents.networks, false).len(), forward(&[], false).len() + 2);
        let table = table("t", &contents);
        assert_eq!(table.sets[1].elements, [Element::key(name16("br-1"))]);
        let rest = table.chains.iter().find(|chain| chain.name == "rest").unwrap();
        assert_eq!(rest.rules.len(), 2);
    }

    #[test]
    fn modes_are_of_a_family() {
        let check = |modes: [Mode; 2], masks: usize, rules: usize| {
            let network = Network { modes, ..network() };
            assert_eq!(masquerade(&network).len(), masks, "{modes:?}");
            assert_eq!(forward(&[network], false).len(), forward(&[], false).len() + rules, "{modes:?}");
        };
        check([Mode::Nat, Mode::Nat], 2, 0);
        check([Mode::Unprotected, Mode::Nat], 2, 1);
        check([Mode::Routed, Mode::Nat], 1, 2);
        check([Mode::Nat, Mode::Routed], 1, 2);
        check([Mode::Isolated, Mode::Isolated], 0, 0);
    }

    #[test]
    fn from_trusted_links() {
        let network = Network { trusted: vec!["eth1".into()], ..network() };
        assert!(network.opens());
        assert_eq!(forward(&[network], false).len(), forward(&[], false).len() + 2);
    }

    #[test]
    fn masks() {
        assert_eq!(mask(20, 4), [255, 255, 240, 0]);
        assert_eq!(mask(0, 4), [0; 4]);
        assert_eq!(mask(64, 16)[7..9], [255, 0]);
    }
}
