//! Places of containers in networks: a plan, made where addresses are given, and what makes it true, done by whoever holds the container's
//! namespace.

use crate::error::{Error, Result};
use crate::link::{self, Pair};
use crate::namespace::inside;
use crate::netlink::Socket;
use crate::resolver::{self, Sockets};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// All places of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// In the order of their links.
    pub places: Vec<Place>,
    /// There are sockets for questions for names.
    pub resolver: bool,
}

/// One place: a link in the container's namespace, whose other end is a port of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The bridge's name.
    pub bridge: String,
    /// The port's name.
    pub port: String,
    /// The link's name in the container.
    pub name: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Of both ends.
    pub mtu: u32,
    /// No other port of the bridge is reached, only the host.
    #[serde(default)]
    pub isolated: bool,
    /// Addresses with the prefixes of their subnets.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Ways to everywhere.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
}

/// The hardware address that goes with an IPv4 address. Who gets an address that was somebody else's can be reached at once: nobody
/// remembers another hardware address for it.
pub fn mac_of(address: std::net::Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// A hardware address as text.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Reads a hardware address.
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

/// Makes all places true, and the sockets of a resolver where there is to be one. The calling thread is in the host's namespace. On a failure the links go with the container's namespace, which its
/// owner gives up; [`take_away`] is for one that lives on.
pub fn apply(plan: &Plan, namespace: BorrowedFd<'_>) -> Result<Option<Sockets>> {
    if plan.places.is_empty() {
        return Ok(None);
    }
    let mut host = Socket::route().map_err(Error::of("open", "a netlink socket"))?;
    for place in &plan.places {
        let bridge = link::find(&mut host, &place.bridge)?
            .ok_or_else(|| Error::of("find the bridge", &place.bridge)(rustix::io::Errno::NODEV.into()))?;
        let pair = Pair { port: &place.port, bridge: bridge.index, namespace, name: &place.name, mac: place.mac, mtu: place.mtu };
        link::add_pair(&mut host, &pair)?;
        if place.isolated {
            link::isolate_port(&mut host, &place.port)?;
        }
    }
    inside(namespace, || {
        let mut there = Socket::route().map_err(Error::of("open", "a netlink socket"))?;
        plan.places.iter().try_for_each(|place| configure(&mut there, place))?;
        plan.resolver.then(resolver::open_here).transpose()
    })
}

fn configure(socket: &mut Socket, place: &Place) -> Result<()> {
    let found = link::find(socket, &place.name)?.ok_or_else(|| Error::of("find the link", &place.name)(rustix::io::Errno::NODEV.into()))?;
    if !place.addresses.iter().any(|(address, _)| address.is_ipv6()) {
        // No address of IPv6 was given, so the link makes itself none and takes none from a router (CVE-2020-13401). A kernel without
        // IPv6 has no such file.
        let path = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", place.name);
        match std::fs::write(&path, "1") {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::of("write", path)(error)),
            _ => {}
        }
    }
    link::configure(socket, found.index, &place.addresses, &place.gateways)
}

/// Takes a place away from a container that lives on.
pub fn take_away(port: &str) -> Result<()> {
    let mut host = Socket::route().map_err(Error::of("open", "a netlink socket"))?;
    link::delete(&mut host, port)
}

/// Makes sure that nothing goes to, or comes from, the places of a container that has ended. The links themselves go with its namespace.
pub fn close(ports: &[String]) -> Result<()> {
    if ports.is_empty() {
        return Ok(());
    }
    let mut host = Socket::route().map_err(Error::of("open", "a netlink socket"))?;
    let mut failed = None;
    for port in ports {
        if let Err(error) = link::close_port(&mut host, port) {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses() {
        assert_eq!(mac_text(mac_of([172, 17, 0, 2].into())), "02:42:ac:11:00:02");
        assert_eq!(parse_mac("02:42:ac:11:00:02"), Some(mac_of([172, 17, 0, 2].into())));
        assert_eq!(parse_mac("02:42:ac:11:00"), None);
        assert_eq!(parse_mac("02:42:ac:11:00:02:03"), None);
    }
}
