//! Connections that the kernel tracks. Those of datagrams outlive the rule that translated them, so they are forgotten along with it.

use crate::error::{Error, Result};
use crate::netlink::{Message, Socket, attributes};
use crate::ports::{Mapping, Protocol};
use std::io;

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;
const ZONE: u16 = 18;

/// `nfgenmsg` of IPv4: the packet filter translates nothing else.
const FAMILY: [u8; 4] = [2, 0, 0, 0];

/// Protocol and destination port of who began a connection.
fn destination(tuple: &[u8]) -> Option<(u8, u16)> {
    let (_, protocol) = attributes(tuple).find(|(kind, _)| *kind == TUPLE_PROTOCOL)?;
    let find = |wanted| attributes(protocol).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let port = find(DESTINATION_PORT)?;
    Some((*find(NUMBER)?.first()?, u16::from_be_bytes(port.get(..2)?.try_into().ok()?)))
}

/// What removes a connection that is in the way of these ports.
fn removal(body: &[u8], ports: &[u16]) -> Option<Message> {
    let rest = body.get(4..)?;
    let (_, tuple) = attributes(rest).find(|(kind, _)| *kind == TUPLE_ORIGINAL)?;
    let (protocol, port) = destination(tuple)?;
    if protocol != Protocol::Udp.number() || !ports.contains(&port) {
        return None;
    }
    let message = Message::new(DELETE, 0).body(&FAMILY).raw(TUPLE_ORIGINAL, tuple);
    let zone = attributes(rest).find(|(kind, _)| *kind == ZONE);
    Some(zone.map_or(message.clone(), |(_, value)| message.attr(ZONE, value)))
}

/// Forgets the flows of datagrams to these published ports, so that the next datagram is judged anew. Costs nothing where none of them is UDP.
pub fn forget(mappings: &[Mapping]) -> Result<()> {
    let udp = mappings.iter().filter(|mapping| mapping.protocol == Protocol::Udp && mapping.host.is_ipv4());
    let ports: Vec<u16> = udp.map(|mapping| mapping.host_port).collect();
    if ports.is_empty() {
        return Ok(());
    }
    let mut socket = Socket::netfilter().map_err(Error::of("open", "a netlink socket of the packet filter"))?;
    let mut found = Vec::new();
    socket.dump_each(GET, &FAMILY, |reply| found.extend(removal(&reply.body, &ports))).map_err(Error::of("list", "tracked connections"))?;
    for message in found {
        match socket.one(message) {
            // It went by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(Error::of("forget", "a tracked connection"))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_datagrams_to_these_ports() {
        let tuple = |protocol: u8, port: u16| {
            Message::new(0, 0).body(&FAMILY).nest(TUPLE_ORIGINAL, |m| {
                m.nest(1, |m| m.attr(1, &[10, 0, 0, 9]).attr(2, &[10, 0, 0, 1]))
                    .nest(TUPLE_PROTOCOL, |m| m.attr(NUMBER, &[protocol]).attr(2, &[1, 2]).attr(DESTINATION_PORT, &port.to_be_bytes()))
            })
        };
        let check = |protocol, port, expect: bool| {
            let bytes = tuple(protocol, port).bytes().to_vec();
            assert_eq!(removal(&bytes[16..], &[53, 54]).is_some(), expect, "{protocol} {port}");
        };
        check(17, 53, true);
        check(17, 54, true);
        check(17, 55, false);
        check(6, 53, false);
        assert!(removal(&[2, 0, 0, 0, 8], &[53]).is_none());
    }
}
