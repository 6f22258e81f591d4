//! Ports that links open between containers of a network whose containers are kept apart otherwise, as elements of a set of the table.
//! IPv4 alone, as in Docker. The containers are isolated ports of one bridge, so what they send each other goes by the host: it answers
//! for their addresses ([`answer_for_neighbours`]) and forwards what the table lets pass.

use crate::error::{Error, Result};
use crate::nft::{Element, Expr, Set, types};
use crate::ports::Protocol;
use std::net::Ipv4Addr;

/// A port of a container that another one may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Linked {
    /// Who reaches it.
    pub from: Ipv4Addr,
    /// Whose port it is.
    pub to: Ipv4Addr,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

/// Name of the set.
pub const LINKED: &str = "linked";

/// The set, with these elements.
pub(crate) fn set(linked: &[Linked]) -> Set {
    let key = types::concat([types::IPV4, types::IPV4, types::PROTOCOL, types::PORT]);
    Set { name: LINKED, key, value: None, intervals: None, elements: elements(linked) }
}

/// As elements of [`LINKED`].
pub fn elements(linked: &[Linked]) -> Vec<Element> {
    let one = |linked: &Linked| {
        let [high, low] = linked.port.to_be_bytes();
        let ports = [linked.protocol.number(), 0, 0, 0, high, low, 0, 0];
        Element::key([&linked.from.octets()[..], &linked.to.octets(), &ports].concat())
    };
    linked.iter().map(one).collect()
}

/// Loads what [`LINKED`] has, from register 0 on.
pub(crate) fn key() -> [Expr; 4] {
    let source = Expr::Network { offset: 12, length: 4, register: 0 };
    let destination = Expr::Network { offset: 16, length: 4, register: 1 };
    [source, destination, Expr::L4Proto(2), Expr::DestinationPort(3)]
}

/// Whether the host answers, and at once, on a bridge for addresses that are on the bridge too (RFC 3069), so that what isolated ports send
/// each other comes to it.
pub fn answer_for_neighbours(bridge: &str, answer: bool) -> Result<()> {
    for (path, value) in [("neigh/{}/proxy_delay", "0"), ("conf/{}/proxy_arp_pvlan", if answer { "1" } else { "0" })] {
        let path = format!("/proc/sys/net/ipv4/{}", path.replace("{}", bridge));
        std::fs::write(&path, value).map_err(Error::of("write", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_as_an_element() {
        let linked = Linked { from: [10, 0, 0, 2].into(), to: [10, 0, 0, 3].into(), protocol: Protocol::Udp, port: 0x1234 };
        assert_eq!(elements(&[linked])[0].key, [10, 0, 0, 2, 10, 0, 0, 3, 17, 0, 0, 0, 0x12, 0x34, 0, 0]);
    }
}
