//! Published ports: numbers in the books, sockets that hold them, elements in the table. They lead to the network that has the way to
//! everywhere, and move with it.

use super::{Inner, Networks};
use crate::error::{Error, Kind, Result};
use crate::model::Container;
use crate::model::network::{Driver, Membership, Network, Place};
use dhow_network::ports::{self, Mapping, Protocol, Refused, Wanted};
use dhow_network::table::Mode;
use dhow_shim::config::RelayConfig;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Sockets that one message to a shim has room for, beside its clients'.
pub(crate) const ONE_MESSAGE: usize = 40;
/// Of a row of ports that lead to a row of the same length so many are held by sockets, two each where the host has IPv6; the others only are
/// looked at. A socket that listens costs about 3 KiB of the kernel's memory: 6 MiB for a row of any length.
const HELD: usize = 1024;
/// Of more ports than these the usual limit of descriptors may not be enough.
const MANY: usize = 200;

/// A port as the shim holds it.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) config: RelayConfig,
    pub(crate) socket: OwnedFd,
}

/// What is published.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) relays: Vec<Relay>,
}

/// Where ports lead.
#[derive(Debug, Default, PartialEq, Eq)]
struct Target {
    /// By IPv4, and by IPv6.
    addresses: [Option<IpAddr>; 2],
    /// Nothing is translated: the container's own address is the way.
    routed: [bool; 2],
    /// The endpoint, for messages.
    endpoint: String,
    /// Where ports are published that name no address.
    publish_at: Option<IpAddr>,
}

impl Target {
    /// `None` where no network leads anywhere.
    fn of(networks: &Networks, memberships: &BTreeMap<String, Membership>) -> Option<Self> {
        let mut found: Vec<(Arc<Network>, Place)> = Vec::new();
        for name in Membership::in_order(memberships) {
            let Some(membership) = memberships.get(&name) else { continue };
            let network = networks.get(&membership.network).ok().filter(|network| !network.internal && network.driver == Driver::Bridge);
            found.extend(network.zip(membership.place.clone()));
        }
        let (first, place) = found.first()?;
        let mut target =
            Self { endpoint: place.endpoint.clone(), publish_at: first.publish_at().or(networks.settings.publish_at), ..Self::default() };
        for (family, of) in [(|place: &Place| place.ipv4) as fn(&Place) -> _, |place: &Place| place.ipv6].into_iter().enumerate() {
            let has: Option<(&Arc<Network>, (IpAddr, u8))> = found.iter().find_map(|(network, place)| Some((network, of(place)?)));
            if let Some((network, (address, _))) = has {
                target.addresses[family] = Some(address);
                target.routed[family] = network.modes()[family] == Mode::Routed;
            }
        }
        target.addresses.iter().any(Option::is_some).then_some(target)
    }

    /// Where a port of that address of the host leads. Of the other family where the container has none of this one.
    fn address(&self, host: IpAddr) -> Option<IpAddr> {
        let family = usize::from(host.is_ipv6());
        self.addresses[family].or(self.addresses[1 - family])
    }

    /// Whether it is reached as it is by the family of that address.
    fn is_routed(&self, host: IpAddr) -> bool {
        let family = usize::from(host.is_ipv6());
        self.addresses[family].is_some() && self.routed[family]
    }
}

/// Whether published ports would lead elsewhere with these places than with those.
pub(crate) fn moves(networks: &Networks, before: &BTreeMap<String, Membership>, after: &BTreeMap<String, Membership>) -> bool {
    Target::of(networks, before) != Target::of(networks, after)
}

/// A port that is asked for, at all addresses at which it is to have the same number.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    wanted: Wanted,
    hosts: Vec<IpAddr>,
    /// A socket holds it.
    held: bool,
}

/// What is asked for, in order. Those that name their port come first, so that no random one takes it.
fn groups(wanted: &[Wanted], default: Option<IpAddr>) -> Vec<Group> {
    let mut sorted: Vec<Wanted> = wanted.iter().map(|port| Wanted { host: port.host.or(default), ..port.clone() }).collect();
    sorted.sort_by_key(|port| (port.range.is_none(), port.protocol, port.port, port.range));
    let mut groups: Vec<Group> = Vec::new();
    for port in sorted {
        let hosts = ports::hosts(&port);
        match groups.last_mut() {
            Some(last) if (last.wanted.protocol, last.wanted.port, last.wanted.range) == (port.protocol, port.port, port.range) => {
                last.hosts.extend(hosts);
            }
            _ => groups.push(Group { wanted: port, hosts, held: true }),
        }
    }
    let single = |group: &Group| group.wanted.range.filter(|(first, last)| first == last).map(|(first, _)| first);
    let mut row = 0;
    for at in 1..groups.len() {
        let (before, this) = (&groups[at - 1], &groups[at]);
        let next = |a: u16, b: u16| a.checked_add(1) == Some(b);
        let alike = before.hosts == this.hosts && before.wanted.protocol == this.wanted.protocol;
        let follows = single(before).zip(single(this)).is_some_and(|(a, b)| next(a, b)) && next(before.wanted.port, this.wanted.port);
        row = if alike && follows { row + 1 } else { 0 };
        groups[at].held = row < HELD;
    }
    groups
}

/// Publishes what a container with these places asks for, or nothing. `before`: the numbers that it had, which it gets again where it may.
pub(crate) fn publish(
    networks: &Networks,
    container: &Container,
    memberships: &BTreeMap<String, Membership>,
    before: &[Mapping],
) -> Result<Published> {
    let wanted = &container.request.network.ports;
    let Some(target) = Target::of(networks, memberships).filter(|_| !wanted.is_empty()) else { return Ok(Published::default()) };
    let named = |message: String| {
        let text =
            format!("driver failed programming external connectivity on endpoint {} ({}): {message}", container.name, target.endpoint);
        Error::new(Kind::Internal, text)
    };
    if wanted.len() > MANY {
        dhow_shim::raise_descriptors();
    }
    let mut published = Published::default();
    let done = (|| {
        for mut group in groups(wanted, target.publish_at) {
            // Without the table a socket is the only way in.
            group.held |= networks.settings.no_table;
            publish_one(networks, &group, &target, before, &mut published).map_err(named)?;
        }
        networks.lock().published.insert(container.id.clone(), published.mappings.clone());
        networks.change_ports(&published.mappings, true).map_err(|error| named(error.message))
    })();
    match done {
        Ok(()) => Ok(published),
        Err(error) => {
            networks.lock().give_ports(&container.id, &published.mappings);
            Err(error)
        }
    }
}

/// Takes back what a container publishes; its sockets are closed by now.
pub(crate) fn withdraw(networks: &Networks, id: &str, mappings: &[Mapping]) {
    networks.lock().published.remove(id);
    if let Err(error) = networks.change_ports(mappings, false) {
        tracing::warn!(container = id, %error, "its ports were not taken back");
    }
    networks.lock().give_ports(id, mappings);
}

impl Inner {
    /// Gives back what a container publishes.
    pub(super) fn give_ports(&mut self, container: &str, mappings: &[Mapping]) {
        self.published.remove(container);
        let numbered = mappings.iter().filter(|mapping| mapping.host_port != 0);
        numbered.for_each(|mapping| self.ports.give_back(mapping.protocol, mapping.host, mapping.host_port));
    }
}

/// One port: the first number that nobody of ours has and that can be bound.
fn publish_one(
    networks: &Networks,
    group: &Group,
    target: &Target,
    before: &[Mapping],
    published: &mut Published,
) -> std::result::Result<(), String> {
    let wanted = &group.wanted;
    let (routed, hosts): (Vec<IpAddr>, Vec<IpAddr>) = group.hosts.iter().partition(|host| target.is_routed(**host));
    for host in routed {
        let host = if host.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let Some(address) = target.address(host) else { continue };
        let mapping = Mapping { protocol: wanted.protocol, host, host_port: 0, target: address, target_port: wanted.port };
        if !published.mappings.contains(&mapping) {
            published.mappings.push(mapping);
        }
    }
    if hosts.is_empty() {
        return Ok(());
    }
    let candidates = networks.lock().ports.candidates(wanted, &hosts, dhow_network::forward::ephemeral());
    let mut candidates = candidates.map_err(|refused| match refused {
        Refused::Allocated(host, port) => format!("Bind for {} failed: port is already allocated", SocketAddr::new(host, port)),
        Refused::Exhausted => "all ports are allocated".to_owned(),
    })?;
    let had = before.iter().find(|had| {
        let fits = wanted.range.is_none_or(|(first, last)| (first..=last).contains(&had.host_port));
        let again = published.mappings.iter().any(|other| (other.protocol, other.host_port) == (had.protocol, had.host_port));
        let same = (had.protocol, had.target_port) == (wanted.protocol, wanted.port) && hosts.contains(&had.host);
        same && fits && !again && had.host_port != 0
    });
    candidates.splice(0..0, had.map(|had| had.host_port));
    let mut failure = String::new();
    for number in candidates {
        match bind_all(networks, group, &hosts, number) {
            Ok(bound) => {
                if wanted.range.is_none() {
                    networks.lock().ports.given(number);
                }
                for (host, socket) in bound {
                    let Some(address) = target.address(host) else { continue };
                    let mapping = Mapping { protocol: wanted.protocol, host, host_port: number, target: address, target_port: wanted.port };
                    published.mappings.push(mapping);
                    let config = RelayConfig { protocol: wanted.protocol, target: SocketAddr::new(address, wanted.port) };
                    published.relays.extend(socket.map(|socket| Relay { config, socket }));
                }
                return Ok(());
            }
            Err((host, error)) => {
                let why = match error {
                    Errno::ADDRINUSE => "address already in use".to_owned(),
                    Errno::ADDRNOTAVAIL => "cannot assign requested address".to_owned(),
                    other => other.to_string(),
                };
                let at = SocketAddr::new(host, number);
                let (protocol, port) = (wanted.protocol, wanted.port);
                let address = target.address(host).map(|address| SocketAddr::new(address, port).to_string()).unwrap_or_default();
                failure = format!("failed to bind host port for {at}:{address}/{protocol}: {why}");
            }
        }
    }
    Err(failure)
}

type Bound = Vec<(IpAddr, Option<OwnedFd>)>;

/// Takes a number at all addresses, or at none. Of both families only IPv4's must be there: a host may have IPv6 switched off.
fn bind_all(networks: &Networks, group: &Group, hosts: &[IpAddr], number: u16) -> std::result::Result<Bound, (IpAddr, Errno)> {
    let protocol = group.wanted.protocol;
    let (mut bound, mut taken): (Bound, Vec<IpAddr>) = (Vec::new(), Vec::new());
    let mut try_all = || {
        for host in hosts {
            if !networks.lock().ports.take(protocol, *host, number) {
                return Err((*host, Errno::ADDRINUSE));
            }
            taken.push(*host);
            match hold(protocol, *host, number) {
                Ok(socket) => bound.push((*host, socket.filter(|_| group.held))),
                Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if host.is_ipv6() && host.is_unspecified() && hosts.len() > 1 => {
                    networks.lock().ports.give_back(protocol, *host, number);
                    taken.pop();
                }
                Err(error) => return Err((*host, error)),
            }
        }
        Ok(())
    };
    let done = try_all();
    if done.is_err() {
        let mut inner = networks.lock();
        taken.iter().for_each(|host| inner.ports.give_back(protocol, *host, number));
    }
    done.map(|()| bound)
}

/// A socket that holds a port, so that no other process can have it. `None` where the kernel does not know the protocol.
fn hold(protocol: Protocol, host: IpAddr, port: u16) -> rustix::io::Result<Option<OwnedFd>> {
    let family = if host.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, None),
        Protocol::Udp => (SocketType::DGRAM, None),
        Protocol::Sctp => (SocketType::STREAM, Some(rustix::net::ipproto::SCTP)),
    };
    let socket = match rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, number) {
        Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) => return Ok(None),
        other => other?,
    };
    if protocol == Protocol::Tcp {
        // Connections of the one before that linger do not hold the port.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if host.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &SocketAddr::new(host, port))?;
    if protocol != Protocol::Udp {
        rustix::net::listen(&socket, 4096)?;
    }
    Ok(Some(socket))
}

/// The ports of one protocol and address that are published, with neighbours joined: `8080`, `9000-9010`.
pub(crate) fn joined(mappings: &[Mapping]) -> Vec<String> {
    let outside = mappings.iter().filter(|mapping| !mapping.host.is_loopback()).cloned().collect::<Vec<_>>();
    let mut seen = HashSet::new();
    let one = |run: Vec<&Mapping>| {
        let (first, last) = (run.first()?, run.last()?);
        let ports = |first: u16, last: u16| if first == last { first.to_string() } else { format!("{first}-{last}") };
        let at = match first.host_port {
            0 => format!("{}:{}", bracketed(first.target), ports(first.target_port, last.target_port)),
            port => format!("{}:{}", bracketed(first.host), ports(port, last.host_port)),
        };
        Some(format!("{at}/{}", first.protocol))
    };
    dhow_network::published::runs(&outside).into_iter().filter_map(one).filter(|text| seen.insert(text.clone())).collect()
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(port: u16, host: Option<&str>, range: Option<(u16, u16)>) -> Wanted {
        Wanted { protocol: Protocol::Tcp, port, host: host.map(|host| host.parse().unwrap()), range }
    }

    #[test]
    fn one_number_for_all_addresses() {
        let all = [
            wanted(80, Some("127.0.0.1"), None),
            wanted(443, None, Some((8443, 8443))),
            wanted(80, Some("10.0.0.1"), None),
            wanted(80, None, Some((8080, 8080))),
        ];
        let got: Vec<(u16, usize)> = groups(&all, None).iter().map(|group| (group.wanted.port, group.hosts.len())).collect();
        assert_eq!(got, [(80, 2), (443, 2), (80, 2)]);
        let default = groups(&all[1..2], Some("127.0.0.1".parse().unwrap()));
        assert_eq!(default[0].hosts, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn of_a_long_row_some_are_held() {
        let row = |count: u16, step: u16| -> usize {
            let all: Vec<Wanted> = (0..count).map(|n| wanted(80 + n * step, None, Some((8080 + n * step, 8080 + n * step)))).collect();
            groups(&all, None).iter().filter(|group| group.held).count()
        };
        assert_eq!(row(10, 1), 10);
        assert_eq!(row(5000, 1), HELD);
        assert_eq!(row(1500, 2), 1500);
    }

    #[test]
    fn neighbours_are_joined() {
        let mapping = |host: &str, port: u16| Mapping {
            protocol: Protocol::Tcp,
            host: host.parse().unwrap(),
            host_port: port,
            target: "172.17.0.2".parse().unwrap(),
            target_port: port,
        };
        let all = [mapping("0.0.0.0", 81), mapping("0.0.0.0", 80), mapping("::", 443), mapping("127.0.0.1", 9)];
        assert_eq!(joined(&all), ["0.0.0.0:80-81/tcp", "[::]:443/tcp"]);
    }
}
