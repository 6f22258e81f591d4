//! Published ports as elements of the table's sets: an interval for neighbours whose number is the same in the container, else one for
//! each. IPv4 leads to IPv4 and IPv6 to IPv6; what must cross over, or is published at the loopback, is the relay's alone.

use crate::nft::{Element, Set, types};
use crate::ports::{Mapping, Protocol};
use std::net::IpAddr;

/// Elements for each of [`SETS`], by its place.
pub type Elements = [Vec<Element>; SETS.len()];

/// A set of published ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Of IPv6.
    pub ipv6: bool,
    /// The host's address is a part of the key, since the port is published there alone.
    pub at: bool,
    /// Of intervals, whose ports stay as they are.
    pub range: bool,
}

const fn kind(name: &'static str, ipv6: bool, at: bool, range: bool) -> Kind {
    Kind { name, ipv6, at, range }
}

/// Those that translate, in the order in which they are asked: an address of its own comes before all addresses.
pub const SETS: [Kind; 10] = [
    kind("published-at", false, true, false),
    kind("ranges-at", false, true, true),
    kind("published", false, false, false),
    kind("ranges", false, false, true),
    kind("published6-at", true, true, false),
    kind("ranges6-at", true, true, true),
    kind("published6", true, false, false),
    kind("ranges6", true, false, true),
    // Those that are reached by the container's own address, from where the network allows it.
    kind(OPEN, false, true, true),
    kind(OPEN6, true, true, true),
];
/// Of [`SETS`], those that translate.
pub const MAPS: usize = 8;
/// Addresses and ports of containers that may be reached as they are.
pub const OPEN: &str = "open";
/// The same of IPv6.
pub const OPEN6: &str = "open6";

impl Kind {
    /// The set, with these elements.
    pub fn set(self, elements: Vec<Element>) -> Set {
        let address = if self.ipv6 { types::IPV6 } else { types::IPV4 };
        let port = [types::PROTOCOL, types::PORT];
        let key = if self.at { types::concat([address, port[0], port[1]]) } else { types::concat(port) };
        let value = match self.range {
            _ if matches!(self.name, OPEN | OPEN6) => None,
            true => Some(address),
            false => Some(types::concat([address, types::PORT])),
        };
        let intervals: Option<&'static [u8]> = self.range.then_some(match (self.at, self.ipv6) {
            (false, _) => &[1, 2],
            (true, false) => &[4, 1, 2],
            (true, true) => &[16, 1, 2],
        });
        Set { name: self.name, key, value, intervals, elements }
    }

    fn key(self, address: IpAddr, protocol: Protocol, port: u16) -> Vec<u8> {
        let [high, low] = port.to_be_bytes();
        let at = if self.at { octets(address) } else { Vec::new() };
        [&at[..], &[protocol.number(), 0, 0, 0, high, low, 0, 0]].concat()
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Neighbours: the same but for the numbers of their ports, which go up by one.
fn follows(a: &Mapping, b: &Mapping) -> bool {
    let next = |a: u16, b: u16| a.checked_add(1) == Some(b);
    let alike = (a.protocol, a.host, a.target) == (b.protocol, b.host, b.target);
    alike && next(a.host_port, b.host_port) && next(a.target_port, b.target_port)
}

/// The mappings in order, divided into runs of neighbours.
pub fn runs(mappings: &[Mapping]) -> Vec<Vec<&Mapping>> {
    let mut sorted: Vec<&Mapping> = mappings.iter().collect();
    sorted.sort_by_key(|m| (m.protocol, m.host, m.target, m.host_port, m.target_port));
    let mut runs: Vec<Vec<&Mapping>> = Vec::new();
    for mapping in sorted {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| follows(last, mapping)) => run.push(mapping),
            _ => runs.push(vec![mapping]),
        }
    }
    runs
}

/// The elements for these ports.
pub fn elements(mappings: &[Mapping]) -> Elements {
    let mut all = Elements::default();
    for run in runs(mappings) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let crosses = first.host.is_ipv4() != first.target.is_ipv4();
        if crosses || first.host.is_loopback() || first.host_port == 0 {
            continue;
        }
        let range = run.len() > 1 && first.host_port == first.target_port;
        let wanted = (first.host.is_ipv6(), !first.host.is_unspecified(), range);
        let Some(place) = SETS.iter().take(MAPS).position(|kind| (kind.ipv6, kind.at, kind.range) == wanted) else { continue };
        let kind = SETS[place];
        let key = |mapping: &Mapping| kind.key(mapping.host, mapping.protocol, mapping.host_port);
        if range {
            all[place].push(Element { key: key(first), last: Some(key(last)), value: Some(octets(first.target)) });
        } else {
            all[place].extend(run.iter().map(|mapping| {
                let [high, low] = mapping.target_port.to_be_bytes();
                let value = [&octets(mapping.target)[..], &[high, low, 0, 0]].concat();
                Element { key: key(mapping), last: None, value: Some(value) }
            }));
        }
    }
    all
}

/// The elements of [`OPEN`] and [`OPEN6`] for these ports: a container's own address and ports, each once.
pub fn open(mappings: &[Mapping]) -> Elements {
    let mut all = Elements::default();
    let mut own: Vec<Mapping> = mappings.iter().map(|m| Mapping { host: m.target, host_port: m.target_port, ..m.clone() }).collect();
    own.sort_by_key(|m| (m.protocol, m.target, m.target_port));
    own.dedup();
    for run in runs(&own) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let place = MAPS + usize::from(first.target.is_ipv6());
        let key = |mapping: &Mapping| SETS[place].key(mapping.target, mapping.protocol, mapping.target_port);
        all[place].push(Element { key: key(first), last: Some(key(last)), value: None });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(host: &str, host_port: u16, target: &str, target_port: u16) -> Mapping {
        Mapping { protocol: Protocol::Tcp, host: host.parse().unwrap(), host_port, target: target.parse().unwrap(), target_port }
    }

    /// The names of the sets that have elements, and how many.
    fn check(mappings: &[Mapping], expect: &str) {
        let got = elements(mappings);
        let got: Vec<String> =
            SETS.iter().zip(&got).filter(|(_, e)| !e.is_empty()).map(|(k, e)| format!("{} {}", k.name, e.len())).collect();
        assert_eq!(got.join(", "), expect);
    }

    #[test]
    fn where_a_port_goes() {
        check(&[mapping("0.0.0.0", 8080, "172.17.0.2", 80), mapping("10.0.0.1", 81, "172.17.0.2", 80)], "published-at 1, published 1");
        // The loopback, and one family for the other, are the relay's.
        check(
            &[mapping("127.0.0.1", 82, "172.17.0.2", 80), mapping("::", 83, "172.17.0.2", 80), mapping("0.0.0.0", 83, "fd00::2", 80)],
            "",
        );
        check(
            &[mapping("::", 83, "fd00::2", 80), mapping("::1", 84, "fd00::2", 80), mapping("fd01::1", 84, "fd00::2", 80)],
            "published6-at 1, published6 1",
        );
        check(&[mapping("0.0.0.0", 0, "172.17.0.2", 80)], "");
        let [at, _, anywhere, ..] = elements(&[mapping("0.0.0.0", 0x1f90, "172.17.0.2", 80), mapping("10.0.0.1", 81, "172.17.0.2", 80)]);
        assert_eq!(
            anywhere,
            [Element { key: vec![6, 0, 0, 0, 0x1f, 0x90, 0, 0], last: None, value: Some(vec![172, 17, 0, 2, 0, 80, 0, 0]) }]
        );
        assert_eq!(at[0].key, [10, 0, 0, 1, 6, 0, 0, 0, 0, 81, 0, 0]);
    }

    #[test]
    fn neighbours_are_one_interval() {
        let same: Vec<Mapping> = (100..200).rev().map(|port| mapping("0.0.0.0", port, "172.17.0.2", port)).collect();
        check(&same, "ranges 1");
        let [_, _, _, ranges, ..] = elements(&same);
        assert_eq!(ranges[0].key[4..6], [0, 100]);
        assert_eq!(ranges[0].last.as_ref().unwrap()[4..6], [0, 199]);
        assert_eq!(ranges[0].value, Some(vec![172, 17, 0, 2]));
        // Other numbers inside: an element for each.
        let moved: Vec<Mapping> = (100..200).map(|port| mapping("0.0.0.0", port, "172.17.0.2", port + 1)).collect();
        check(&moved, "published 100");
        let (mut broken, _) = (same.clone(), ());
        broken.remove(50);
        check(&broken, "ranges 2");
        let open = open(&[same, vec![mapping("::", 100, "172.17.0.2", 100), mapping("0.0.0.0", 7, "172.17.0.2", 80)]].concat());
        assert_eq!((open[MAPS].len(), open[MAPS + 1].len()), (2, 0));
    }
}
