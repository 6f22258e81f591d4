//! Places of containers in networks: a plan, made where addresses are given, and what makes it true, done by whoever holds the container's
//! namespace.

use crate::error::{Error, Result};
use crate::limits::{self, Limits};
use crate::link::{self, Pair, Shared, Sharing};
use crate::namespace::inside;
use crate::netlink::Socket;
use crate::resolver::{self, Sockets};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// The index of every namespace's first link.
const LOOPBACK: u32 = 1;

/// All places of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// In the order of their links.
    pub places: Vec<Place>,
    /// There are sockets for questions for names.
    pub resolver: bool,
    /// The loopback is still to be switched on, before all else in the namespace.
    pub loopback: bool,
}

/// One place: a link in the container's namespace, whose other end is a port of a bridge, or which shares another link's wire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The bridge's name, or that of the link whose wire is shared.
    pub bridge: String,
    /// The port's name; empty where there is none.
    pub port: String,
    /// How the wire is shared; `None`: by a port of a bridge.
    #[serde(default)]
    pub sharing: Option<Sharing>,
    /// The link's name in the container.
    pub name: String,
    /// Its hardware address; zeros: what the kernel gives it.
    pub mac: [u8; 6],
    /// Of both ends; 0: that of the link whose wire is shared.
    pub mtu: u32,
    /// No other port of the bridge is reached, only the host.
    #[serde(default)]
    pub isolated: bool,
    /// Addresses with the prefixes of their subnets.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Ways to everywhere. An unspecified address stands for the link itself.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
    /// Parameters of the link, below `/proc/sys/net`, and their values. They are checked already.
    #[serde(default)]
    pub sysctls: Vec<(String, String)>,
    /// How much may go by.
    #[serde(default)]
    pub limits: Limits,
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
    if plan.places.is_empty() && !plan.loopback {
        return Ok(None);
    }
    let mut host = (!plan.places.is_empty()).then(|| make_links(plan, namespace)).transpose()?;
    inside(namespace, || {
        let mut there = Socket::route().map_err(Error::of("open", "a netlink socket"))?;
        if plan.loopback {
            link::set_up(&mut there, LOOPBACK)?;
        }
        if let Some(host) = &mut host {
            plan.places.iter().enumerate().try_for_each(|(number, place)| configure(host, &mut there, number, place))?;
        }
        plan.resolver.then(resolver::open_here).transpose()
    })
}

/// The links, as the host sees them, and who sees them so.
fn make_links(plan: &Plan, namespace: BorrowedFd<'_>) -> Result<Socket> {
    let mut host = Socket::route().map_err(Error::of("open", "a netlink socket"))?;
    for (number, place) in plan.places.iter().enumerate() {
        let what = if place.sharing.is_some() { "find the parent link" } else { "find the bridge" };
        let bridge = link::index(&host, &place.bridge)?.ok_or_else(|| Error::of(what, &place.bridge)(rustix::io::Errno::NODEV.into()))?;
        if let Some(sharing) = place.sharing {
            let mac = Some(place.mac).filter(|mac| *mac != [0; 6]);
            let mtu = Some(place.mtu).filter(|mtu| *mtu > 0);
            link::add_shared(&mut host, &Shared { parent: bridge, sharing, namespace, name: &at_first(number), mac, mtu })?;
            continue;
        }
        let pair = Pair { port: &place.port, bridge, namespace, name: &place.name, mac: place.mac, mtu: place.mtu };
        link::add_pair(&mut host, &pair)?;
        if place.isolated {
            link::isolate_port(&mut host, &place.port)?;
        }
        limits::apply(&mut host, &place.port, &place.limits)?;
    }
    Ok(host)
}

/// The name with which a link is made that shares a wire. Before Linux 6.13 one with the name of a link of the host, as `eth0`, cannot be made
/// for another namespace.
fn at_first(number: usize) -> String {
    format!("dhow{}x{number}", std::process::id())
}

fn configure(host: &mut Socket, socket: &mut Socket, number: usize, place: &Place) -> Result<()> {
    let name = if place.sharing.is_some() { at_first(number) } else { place.name.clone() };
    let index = link::index(socket, &name)?.ok_or_else(|| Error::of("find the link", &name)(rustix::io::Errno::NODEV.into()))?;
    if place.sharing.is_some() {
        link::rename(socket, index, &place.name)?;
    }
    if !place.addresses.iter().any(|(address, _)| address.is_ipv6()) {
        // No address of IPv6 was given, so the link makes itself none and takes none from a router (CVE-2020-13401). A kernel without
        // IPv6 has no such file.
        let path = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", place.name);
        match std::fs::write(&path, "1") {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::of("write", path)(error)),
            _ => {}
        }
    }
    if place.sharing.is_some() {
        // Who is on the wire may remember another hardware address for these. A kernel without one of the files says nothing.
        for path in ["ipv4/conf/{}/arp_notify", "ipv6/conf/{}/ndisc_notify"].map(|path| path.replace("{}", &place.name)) {
            let path = format!("/proc/sys/net/{path}");
            match std::fs::write(&path, "1") {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::of("write", path)(error)),
                _ => {}
            }
        }
    }
    if place.sharing.is_none() {
        // Right before its other end: of a link that is on without one the kernel stops the queue when it gets round to it, which is a grace
        // period in which nobody changes any link.
        link::set_up_named(host, &place.port)?;
    }
    link::configure(socket, index, &place.addresses, &place.gateways)?;
    place.sysctls.iter().try_for_each(|(name, value)| {
        let path = format!("/proc/sys/net/{name}");
        std::fs::write(&path, value).map_err(Error::of("write", path))
    })
}

/// Takes a place away from a container that lives on.
pub fn take_away(port: &str) -> Result<()> {
    let mut host = Socket::route().map_err(Error::of("open", "a netlink socket"))?;
    link::delete(&mut host, port)
}

/// The same for a link that has no other end, in its namespace.
pub fn take_away_inside(namespace: BorrowedFd<'_>, name: &str) -> Result<()> {
    inside(namespace, || link::delete(&mut Socket::route().map_err(Error::of("open", "a netlink socket"))?, name))
}

/// Makes sure that nothing goes to, or comes from, the places of a container that has ended. The links themselves go with its namespace.
/// False where nothing ever went by them, as far as that is known.
pub fn close(ports: &[String]) -> Result<bool> {
    if ports.is_empty() {
        return Ok(false);
    }
    let mut host = Socket::route().map_err(Error::of("open", "a netlink socket"))?;
    let (mut used, mut failed) = (false, None);
    for port in ports {
        match link::close_port(&mut host, port) {
            Ok(of_port) => used |= of_port,
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(used), Err)
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
