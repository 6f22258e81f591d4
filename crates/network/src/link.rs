//! Links, addresses and routes.

use crate::error::{Error, Result};
use crate::netlink::{Message, Socket, attributes, number};
use crate::subnet::Subnet;
use rustix::io::Errno;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const GETADDR: u16 = 22;
const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;
/// Make it, and fail where it is there.
const CREATE: u16 = 0x400 | 0x200;
/// Make it, or change what is there.
const REPLACE: u16 = 0x400 | 0x100;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK: u16 = 5;
const IFLA_STATS64: u16 = 23;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
const BRPORT_STATE: u16 = 1;
const BRPORT_FLUSH: u16 = 24;
const BRPORT_ISOLATED: u16 = 33;
const UP: u32 = 1;
const AF_BRIDGE: u8 = 7;
/// Longest name of a link.
pub const NAME_MAX: usize = 15;

/// `ifinfomsg`.
fn info(family: u8, index: u32, up: Option<bool>) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    if let Some(up) = up {
        bytes[8..12].copy_from_slice(&if up { UP } else { 0 }.to_ne_bytes());
        bytes[12..16].copy_from_slice(&UP.to_ne_bytes());
    }
    bytes
}

/// AF_INET or AF_INET6.
pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// A link as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// In its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The link that it is a part of; 0 for none.
    pub master: u32,
    /// `bridge`, `veth`, ...; empty for hardware.
    pub kind: String,
    /// Packets that went by it, in both directions.
    pub packets: u64,
}

fn parse(body: &[u8]) -> Option<Link> {
    let mut link = Link { index: number(body.get(4..8)?), name: String::new(), master: 0, kind: String::new(), packets: 0 };
    let text = |value: &[u8]| String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned();
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_MASTER => link.master = number(value),
            IFLA_STATS64 => {
                let count = |at: usize| value.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes);
                link.packets = count(0).saturating_add(count(8));
            }
            IFLA_LINKINFO => {
                let found = attributes(value).find(|(kind, _)| *kind == INFO_KIND);
                link.kind = found.map(|(_, value)| text(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

/// All links of the socket's namespace.
pub fn all(socket: &mut Socket) -> Result<Vec<Link>> {
    let replies = socket.dump(GETLINK, &info(0, 0, None)).map_err(Error::of("list", "links"))?;
    Ok(replies.iter().filter_map(|reply| parse(&reply.body)).collect())
}

/// A link by name, if it is there.
pub fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    match socket.get(Message::new(GETLINK, 0).body(&info(0, 0, None)).text(IFLA_IFNAME, name)) {
        Ok(reply) => Ok(parse(&reply.body)),
        Err(error) if is(&error, Errno::NODEV) => Ok(None),
        Err(error) => Err(Error::of("look up the link", name)(error)),
    }
}

/// A link's number by its name, if it is there: quicker than all that is known of it.
pub fn index(socket: &Socket, name: &str) -> Result<Option<u32>> {
    match rustix::net::netdevice::name_to_index(socket, name) {
        Ok(index) => Ok(Some(index)),
        Err(Errno::NODEV) => Ok(None),
        Err(error) => Err(Error::of("look up the link", name)(error.into())),
    }
}

/// Makes a bridge, up. Fails with EEXIST where the name is taken.
pub fn add_bridge(socket: &mut Socket, name: &str, mac: [u8; 6], mtu: u32) -> Result<()> {
    let message = Message::new(NEWLINK, CREATE)
        .body(&info(0, 0, Some(true)))
        .text(IFLA_IFNAME, name)
        .attr(IFLA_ADDRESS, &mac)
        .u32(IFLA_MTU, mtu)
        .nest(IFLA_LINKINFO, |m| m.text(INFO_KIND, "bridge"));
    socket.one(message).map_err(Error::of("create the bridge", name))
}

/// Switches a link on.
pub fn set_up(socket: &mut Socket, index: u32) -> Result<()> {
    socket.one(Message::new(SETLINK, 0).body(&info(0, index, Some(true)))).map_err(Error::of("switch on the link", index.to_string()))
}

/// The same by name.
pub fn set_up_named(socket: &mut Socket, name: &str) -> Result<()> {
    let message = Message::new(SETLINK, 0).body(&info(0, 0, Some(true))).text(IFLA_IFNAME, name);
    socket.one(message).map_err(Error::of("switch on the link", name))
}

/// Gives a link that is down another name.
pub fn rename(socket: &mut Socket, index: u32, name: &str) -> Result<()> {
    let message = Message::new(SETLINK, 0).body(&info(0, index, None)).text(IFLA_IFNAME, name);
    socket.one(message).map_err(Error::of("name the link", name))
}

/// Deletes a link by name; one that is not there is no error.
pub fn delete(socket: &mut Socket, name: &str) -> Result<()> {
    match socket.one(Message::new(DELLINK, 0).body(&info(0, 0, None)).text(IFLA_IFNAME, name)) {
        Err(error) if !is(&error, Errno::NODEV) => Err(Error::of("delete the link", name)(error)),
        _ => Ok(()),
    }
}

/// A pair of links: one a port of a bridge, the other in a namespace, where it has a name of its own. Both are down.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// The port's name.
    pub port: &'a str,
    /// The bridge.
    pub bridge: u32,
    /// Where the other one goes.
    pub namespace: BorrowedFd<'a>,
    /// Its name there.
    pub name: &'a str,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Of both.
    pub mtu: u32,
}

/// Makes a pair, of one queue each. Who does not say how many gets one for each processor, of which the kernel switches all but one off
/// again (`veth_init_queues`), and waits a grace period for each end.
pub fn add_pair(socket: &mut Socket, pair: &Pair<'_>) -> Result<()> {
    let message = Message::new(NEWLINK, CREATE)
        .body(&info(0, 0, None))
        .text(IFLA_IFNAME, pair.port)
        .u32(IFLA_NUM_TX_QUEUES, 1)
        .u32(IFLA_NUM_RX_QUEUES, 1)
        .u32(IFLA_MTU, pair.mtu)
        .u32(IFLA_MASTER, pair.bridge)
        .nest(IFLA_LINKINFO, |m| {
            m.text(INFO_KIND, "veth").nest(INFO_DATA, |m| {
                m.nest(VETH_PEER, |m| {
                    m.body(&info(0, 0, None))
                        .text(IFLA_IFNAME, pair.name)
                        .u32(IFLA_NUM_TX_QUEUES, 1)
                        .u32(IFLA_NUM_RX_QUEUES, 1)
                        .u32(IFLA_MTU, pair.mtu)
                        .attr(IFLA_ADDRESS, &pair.mac)
                        .attr(IFLA_NET_NS_FD, &pair.namespace.as_raw_fd().to_ne_bytes())
                })
            })
        });
    socket.one(message).map_err(Error::of("create the link", pair.port))
}

/// How a link shares its parent's wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// `macvlan`, with the kernel's number of its mode.
    Macvlan(u32),
    /// `ipvlan`, with the kernel's numbers of its mode and flags.
    Ipvlan(u16, u16),
}

impl Sharing {
    /// The kernel's name for it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(..) => "ipvlan",
        }
    }
}

/// A link in a namespace that shares another one's wire. It is down.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// The one whose wire it is, in the socket's namespace.
    pub parent: u32,
    /// How.
    pub sharing: Sharing,
    /// Where it goes.
    pub namespace: BorrowedFd<'a>,
    /// Its name there.
    pub name: &'a str,
    /// Its hardware address; `None`: what the kernel gives it.
    pub mac: Option<[u8; 6]>,
    /// `None`: the parent's.
    pub mtu: Option<u32>,
}

/// Makes one.
pub fn add_shared(socket: &mut Socket, link: &Shared<'_>) -> Result<()> {
    let mut message = Message::new(NEWLINK, CREATE)
        .body(&info(0, 0, None))
        .text(IFLA_IFNAME, link.name)
        .u32(IFLA_LINK, link.parent)
        .attr(IFLA_NET_NS_FD, &link.namespace.as_raw_fd().to_ne_bytes());
    if let Some(mac) = link.mac {
        message = message.attr(IFLA_ADDRESS, &mac);
    }
    if let Some(mtu) = link.mtu {
        message = message.u32(IFLA_MTU, mtu);
    }
    let message = message.nest(IFLA_LINKINFO, |m| {
        m.text(INFO_KIND, link.sharing.kind()).nest(INFO_DATA, |m| match link.sharing {
            Sharing::Macvlan(mode) => m.u32(1, mode),
            Sharing::Ipvlan(mode, flags) => m.attr(1, &mode.to_ne_bytes()).attr(2, &flags.to_ne_bytes()),
        })
    });
    let object = format!("{} of kind {}", link.name, link.sharing.kind());
    socket.one(message).map_err(Error::of("create the link", object))
}

/// Whether the kernel knows links of this kind, one that cannot be without a parent. A module is loaded for it; nothing is made.
pub fn knows(socket: &mut Socket, kind: &str) -> Result<bool> {
    let message = Message::new(NEWLINK, CREATE).body(&info(0, 0, None)).nest(IFLA_LINKINFO, |m| m.text(INFO_KIND, kind));
    match socket.one(message) {
        Err(error) if is(&error, Errno::OPNOTSUPP) => Ok(false),
        Err(error) if is(&error, Errno::PERM) => Err(Error::of("look for links of the kind", kind)(error)),
        _ => Ok(true),
    }
}

/// Makes a link that leads nowhere, up.
pub fn add_dummy(socket: &mut Socket, name: &str) -> Result<()> {
    let message = Message::new(NEWLINK, CREATE)
        .body(&info(0, 0, Some(true)))
        .text(IFLA_IFNAME, name)
        .nest(IFLA_LINKINFO, |m| m.text(INFO_KIND, "dummy"));
    socket.one(message).map_err(Error::of("create the dummy link", name))
}

/// Makes a link for one VLAN of another one, up.
pub fn add_vlan(socket: &mut Socket, name: &str, parent: u32, id: u16) -> Result<()> {
    let message = Message::new(NEWLINK, CREATE)
        .body(&info(0, 0, Some(true)))
        .text(IFLA_IFNAME, name)
        .u32(IFLA_LINK, parent)
        .nest(IFLA_LINKINFO, |m| m.text(INFO_KIND, "vlan").nest(INFO_DATA, |m| m.attr(1, &id.to_ne_bytes())));
    socket.one(message).map_err(Error::of("create the VLAN link", name))
}

/// Lets nothing through a bridge's port any more and forgets what was learned of it. A port that is gone is no error. False where nothing
/// ever went by it; what is not known is true.
pub fn close_port(socket: &mut Socket, name: &str) -> Result<bool> {
    let Some(link) = find(socket, name)?.filter(|link| link.master != 0) else { return Ok(true) };
    let message = Message::new(SETLINK, 0)
        .body(&info(AF_BRIDGE, link.index, None))
        .nest(IFLA_PROTINFO, |m| m.attr(BRPORT_STATE, &[0]).attr(BRPORT_FLUSH, &[]));
    match socket.one(message) {
        Err(error) if !is(&error, Errno::NODEV) => Err(Error::of("close the bridge port", name)(error)),
        _ => Ok(link.packets > 0),
    }
}

/// Lets nothing through from a bridge's port to others that are isolated too.
pub fn isolate_port(socket: &mut Socket, name: &str) -> Result<()> {
    let link = find(socket, name)?.ok_or_else(|| Error::of("find the link", name)(Errno::NODEV.into()))?;
    let message = Message::new(SETLINK, 0).body(&info(AF_BRIDGE, link.index, None)).nest(IFLA_PROTINFO, |m| m.attr(BRPORT_ISOLATED, &[1]));
    socket.one(message).map_err(Error::of("isolate the bridge port", name))
}

fn address_message(kind: u16, flags: u16, index: u32, address: IpAddr, prefix: u8) -> Message {
    let mut body = [family(address), prefix, 0, 0, 0, 0, 0, 0];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    let bytes = octets(address);
    let message = Message::new(kind, flags).body(&body).attr(2, &bytes).attr(1, &bytes);
    match address {
        IpAddr::V4(v4) if prefix < 31 => {
            let last = u32::from(v4) | (u32::MAX >> prefix);
            message.attr(4, &last.to_be_bytes())
        }
        IpAddr::V4(_) => message,
        // No duplicate of an address that only we give is possible: it is usable at once (IFA_F_NODAD).
        IpAddr::V6(_) => message.u32(8, 2),
    }
}

/// Gives a link an address; one that it has already is no error.
pub fn add_address(socket: &mut Socket, index: u32, address: IpAddr, prefix: u8) -> Result<()> {
    let added = socket.one(address_message(NEWADDR, REPLACE, index, address, prefix));
    added.map_err(Error::of("add the address", format!("{address}/{prefix}")))
}

/// Takes an address from a link.
pub fn delete_address(socket: &mut Socket, index: u32, address: IpAddr, prefix: u8) -> Result<()> {
    let removed = socket.one(address_message(DELADDR, 0, index, address, prefix));
    removed.map_err(Error::of("remove the address", format!("{address}/{prefix}")))
}

/// Addresses of a link with their prefixes.
pub fn addresses(socket: &mut Socket, index: u32) -> Result<Vec<(IpAddr, u8)>> {
    let replies = socket.dump(GETADDR, &[0; 8]).map_err(Error::of("list", "addresses"))?;
    let one = |body: &[u8]| {
        let of_link = number(body.get(4..8)?) == index;
        let all: Vec<(u16, &[u8])> = attributes(body.get(8..)?).collect();
        let bytes = all.iter().find(|(kind, _)| *kind == 2).or_else(|| all.iter().find(|(kind, _)| *kind == 1))?.1;
        Some((to_address(bytes)?, *body.get(1)?)).filter(|_| of_link)
    };
    Ok(replies.iter().filter_map(|reply| one(&reply.body)).collect())
}

fn to_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// What a link inside a namespace gets: addresses, up, and perhaps the way to everywhere.
pub fn configure(socket: &mut Socket, index: u32, addresses: &[(IpAddr, u8)], gateways: &[IpAddr]) -> Result<()> {
    let mut messages: Vec<Message> =
        addresses.iter().map(|(address, prefix)| address_message(NEWADDR, CREATE, index, *address, *prefix)).collect();
    messages.push(Message::new(SETLINK, 0).body(&info(0, index, Some(true))));
    messages.extend(gateways.iter().map(|gateway| default_route(index, *gateway)));
    socket.run(messages).map_err(|failed| {
        let object = match failed.index.checked_sub(addresses.len()) {
            None => addresses.get(failed.index).map(|(address, prefix)| format!("the address {address}/{prefix}")),
            Some(0) => Some("the link's state".to_owned()),
            Some(n) => gateways.get(n - 1).map(|gateway| format!("the route by {gateway}")),
        };
        Error::of("set", object.unwrap_or_default())(failed.error)
    })
}

/// By a gateway; an unspecified one stands for the link itself.
fn default_route(index: u32, gateway: IpAddr) -> Message {
    let direct = gateway.is_unspecified();
    // table main, protocol boot, scope universe or link, unicast
    let body = [family(gateway), 0, 0, 0, 254, 3, if direct { 253 } else { 0 }, 1, 0, 0, 0, 0];
    let message = Message::new(NEWROUTE, REPLACE).body(&body).u32(4, index);
    if direct { message } else { message.attr(5, &octets(gateway)) }
}

/// Makes these gateways, of the link of that name, the way to everywhere.
pub fn set_default_routes(name: &str, gateways: &[IpAddr]) -> Result<()> {
    let mut socket = Socket::route().map_err(Error::of("open", "a netlink socket"))?;
    let link = find(&mut socket, name)?.ok_or_else(|| Error::of("find the link", name)(Errno::NODEV.into()))?;
    let set =
        |gateway: &IpAddr| socket.one(default_route(link.index, *gateway)).map_err(Error::of("set the route by", gateway.to_string()));
    gateways.iter().try_for_each(set)
}

/// Destinations of the routes in the main table, without the default ones.
pub fn routes(socket: &mut Socket) -> Result<Vec<(Subnet, u32)>> {
    let replies = socket.dump(GETROUTE, &[0; 12]).map_err(Error::of("list", "routes"))?;
    let one = |body: &[u8]| {
        let (prefix, table) = (*body.get(1)?, *body.get(4)?);
        let all: Vec<(u16, &[u8])> = attributes(body.get(12..)?).collect();
        let bytes = all.iter().find(|(kind, _)| *kind == 1)?.1;
        let link = all.iter().find(|(kind, _)| *kind == 4).map_or(0, |(_, value)| number(value));
        if table != 254 || prefix == 0 {
            return None;
        }
        Some((Subnet::of(to_address(bytes)?, prefix)?, link))
    };
    Ok(replies.iter().filter_map(|reply| one(&reply.body)).collect())
}
