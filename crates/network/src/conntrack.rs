//! Connections that the kernel tracks. They outlive the rule that translated them and the container that had them, so they are forgotten
//! along with it: who has the address or the port next does not get what was the last one's.
//!
//! The kernel is asked to remove what matches; one that cannot (before 5.19) is asked for all, which are looked through here.

use crate::error::{Error, Result};
use crate::netlink::{Message, Socket, attributes};
use crate::ports::{Mapping, Protocol};
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
/// What of a tuple counts, a bit each.
const BY_SOURCE: u32 = 1;
const BY_PORT: u32 = 1 << 3 | 1 << 5;
/// More ports than these are looked for among all connections at once.
const FEW: usize = 16;

/// What is to be forgotten.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stale {
    /// Containers' addresses: what came from there, or went there at last.
    addresses: Vec<IpAddr>,
    /// Ports of datagrams.
    ports: BTreeSet<u16>,
}

/// Source, and protocol and destination port, of one direction.
fn ends(tuple: &[u8]) -> (Option<IpAddr>, Option<(u8, u16)>) {
    let find = |bytes, wanted: u16| attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let addresses = find(tuple, TUPLE_ADDRESSES).unwrap_or_default();
    let v4 = find(addresses, 1).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(IpAddr::from);
    let v6 = find(addresses, 3).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()).map(IpAddr::from);
    let port = find(tuple, TUPLE_PROTOCOL).and_then(|protocol| {
        let port = find(protocol, DESTINATION_PORT)?;
        Some((*find(protocol, NUMBER)?.first()?, u16::from_be_bytes(port.get(..2)?.try_into().ok()?)))
    });
    (v4.or(v6), port)
}

/// What removes a connection that is to be forgotten.
fn removal(body: &[u8], stale: &Stale) -> Option<Message> {
    let (family, rest) = (*body.first()?, body.get(4..)?);
    let tuple = |wanted| attributes(rest).find(|(kind, _)| *kind == wanted).map(|(_, tuple)| tuple);
    let original = tuple(TUPLE_ORIGINAL)?;
    let (from, port) = ends(original);
    let (answers, _) = ends(tuple(TUPLE_REPLY).unwrap_or_default());
    let of_address = from.into_iter().chain(answers).any(|address| stale.addresses.contains(&address));
    let of_port = port.is_some_and(|(protocol, port)| protocol == Protocol::Udp.number() && stale.ports.contains(&port));
    if !of_address && !of_port {
        return None;
    }
    let message = Message::new(DELETE, 0).body(&[family, 0, 0, 0]).raw(TUPLE_ORIGINAL, original);
    let zone = attributes(rest).find(|(kind, _)| *kind == ZONE);
    Some(zone.map_or(message.clone(), |(_, value)| message.attr(ZONE, value)))
}

/// What asks the kernel to remove all that matches: the family counts where the version is not 0.
fn sweep(ipv6: bool, direction: u16, tuple: impl FnOnce(Message) -> Message, by: u32) -> Message {
    let bits = if direction == TUPLE_ORIGINAL { [by, 0] } else { [0, by] };
    let message = Message::new(DELETE, 0).body(&[if ipv6 { 10 } else { 2 }, 1, 0, 0]);
    message.nest(direction, tuple).nest(FILTER, |m| m.u32(1, bits[0]).u32(2, bits[1]))
}

fn sweeps(stale: &Stale) -> Vec<Message> {
    let mut all = Vec::new();
    for address in &stale.addresses {
        let source = |m: Message| match address {
            IpAddr::V4(v4) => m.attr(1, &v4.octets()),
            IpAddr::V6(v6) => m.attr(3, &v6.octets()),
        };
        for direction in [TUPLE_ORIGINAL, TUPLE_REPLY] {
            all.push(sweep(address.is_ipv6(), direction, |m| m.nest(TUPLE_ADDRESSES, source), BY_SOURCE));
        }
    }
    for port in &stale.ports {
        let to = |m: Message| m.attr(NUMBER, &[Protocol::Udp.number()]).attr(DESTINATION_PORT, &port.to_be_bytes());
        all.extend([false, true].map(|ipv6| sweep(ipv6, TUPLE_ORIGINAL, |m| m.nest(TUPLE_PROTOCOL, to), BY_PORT)));
    }
    all
}

fn forget(stale: &Stale) -> Result<()> {
    if stale.addresses.is_empty() && stale.ports.is_empty() || is_empty() {
        return Ok(());
    }
    let mut socket = Socket::netfilter().map_err(Error::of("open", "a netlink socket of the packet filter"))?;
    if stale.ports.len() <= FEW && socket.run(sweeps(stale)).is_ok() {
        return Ok(());
    }
    let mut found = Vec::new();
    socket.dump_each(GET, &[0; 4], |reply| found.extend(removal(&reply.body, stale))).map_err(Error::of("list", "tracked connections"))?;
    for message in found {
        match socket.one(message) {
            // It went by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(Error::of("forget", "a tracked connection"))?,
        }
    }
    Ok(())
}

/// Whether nothing at all is tracked, as on a host that filters nothing. What cannot be known is not.
fn is_empty() -> bool {
    std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").is_ok_and(|text| text.trim() == "0")
}

/// Forgets the flows of datagrams to these published ports, so that the next datagram is judged anew. Costs nothing where none of them is UDP.
pub fn forget_ports(mappings: &[Mapping]) -> Result<()> {
    let udp = mappings.iter().filter(|mapping| mapping.protocol == Protocol::Udp && mapping.host_port != 0);
    forget(&Stale { ports: udp.map(|mapping| mapping.host_port).collect(), ..Stale::default() })
}

/// Forgets all that came from these addresses, or was sent to them, by whatever way.
pub fn forget_addresses(addresses: &[IpAddr]) -> Result<()> {
    forget(&Stale { addresses: addresses.to_vec(), ..Stale::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_forgotten() {
        let stale = Stale { addresses: vec![[10, 0, 0, 2].into()], ports: [53, 54].into() };
        let addresses = |m: Message, from: [u8; 4]| m.nest(TUPLE_ADDRESSES, |m| m.attr(1, &from).attr(2, &[10, 0, 0, 1]));
        let check = |from: [u8; 4], answers: [u8; 4], protocol: u8, port: u16, expect: bool| {
            let message = Message::new(0, 0).body(&[2, 0, 0, 0]).nest(TUPLE_ORIGINAL, |m| {
                addresses(m, from)
                    .nest(TUPLE_PROTOCOL, |m| m.attr(NUMBER, &[protocol]).attr(2, &[1, 2]).attr(DESTINATION_PORT, &port.to_be_bytes()))
            });
            let message = message.nest(TUPLE_REPLY, |m| addresses(m, answers));
            assert_eq!(removal(&message.bytes()[16..], &stale).is_some(), expect, "{from:?} {answers:?} {protocol} {port}");
        };
        check([10, 0, 0, 9], [10, 0, 0, 8], 17, 53, true);
        check([10, 0, 0, 9], [10, 0, 0, 8], 17, 54, true);
        check([10, 0, 0, 9], [10, 0, 0, 8], 17, 55, false);
        check([10, 0, 0, 9], [10, 0, 0, 8], 6, 53, false);
        check([10, 0, 0, 2], [10, 0, 0, 8], 6, 80, true);
        check([10, 0, 0, 9], [10, 0, 0, 2], 6, 80, true);
        assert!(removal(&[2, 0, 0, 0, 8], &stale).is_none());
        assert_eq!(sweeps(&stale).len(), 6);
    }
}
