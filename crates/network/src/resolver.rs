//! The place where a container's questions for names arrive: two sockets in its namespace, and a table there that sends them what is
//! meant for port 53, which stays free for the container's own servers.

use crate::error::{Error, Result};
use crate::namespace::inside;
use crate::netlink::Socket;
use crate::nft::{self, Chain, Expr, Family, Hook, Table};
use crate::ports::Protocol;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

/// Where containers ask.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const PORT: u16 = 53;
/// The table's name.
const NAME: &str = "dhow-names";
/// Connections that wait to be taken.
const BACKLOG: i32 = 64;

/// The sockets.
#[derive(Debug)]
pub struct Sockets {
    /// For datagrams, bound.
    pub udp: OwnedFd,
    /// For connections, listening.
    pub tcp: OwnedFd,
}

/// How the table sends questions to the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Ports are written over where packets arrive at the loopback. No connection is tracked for it, and what the container's other links send and
    /// get goes by no rule.
    Rewriting,
    /// Translation of addresses, for kernels that cannot filter at a link. Each packet of the container is tracked then.
    Translating,
}

/// All of them, the best first.
pub const WAYS: [Way; 2] = [Way::Rewriting, Way::Translating];

/// Makes both sockets and the table in a namespace, by the ways given: the first that the kernel knows.
pub fn open(namespace: BorrowedFd<'_>, ways: &[Way]) -> Result<Sockets> {
    inside(namespace, || open_by(ways))
}

/// The same in the thread's own namespace, by the best way.
pub(crate) fn open_here() -> Result<Sockets> {
    open_by(&WAYS)
}

fn open_by(ways: &[Way]) -> Result<Sockets> {
    let (udp, udp_port) = bind(SocketType::DGRAM)?;
    let (tcp, tcp_port) = bind(SocketType::STREAM)?;
    rustix::net::listen(&tcp, BACKLOG).map_err(|e| Error::of("listen for", "questions for names")(e.into()))?;
    let mut filter = Socket::netfilter().map_err(Error::of("open", "a netlink socket of the packet filter"))?;
    let mut outcome = Ok(());
    for way in ways {
        let table = match way {
            Way::Rewriting => rewriting(udp_port, tcp_port),
            Way::Translating => translating(udp_port, tcp_port),
        };
        outcome = nft::commit(&mut filter, nft::make(&table), "put the table", &table.name);
        if outcome.is_ok() {
            break;
        }
    }
    outcome.map(|()| Sockets { udp, tcp })
}

fn bind(kind: SocketType) -> Result<(OwnedFd, u16)> {
    let failed = |e: rustix::io::Errno| Error::of("bind a socket at", ADDRESS.to_string())(e.into());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None).map_err(failed)?;
    rustix::net::bind(&socket, &SocketAddr::from((ADDRESS, 0))).map_err(failed)?;
    let at = rustix::net::getsockname(&socket).map_err(failed)?;
    let at = SocketAddr::try_from(at).map_err(failed)?;
    Ok((socket, at.port()))
}

/// What to do with the packets of a protocol: the resolver's port, and the rest of the rule.
fn rule(source: bool, protocol: Protocol, port: u16, end: Vec<Expr>) -> Vec<Expr> {
    let (address, at) = if source { (12, Expr::SourcePort(2)) } else { (16, Expr::DestinationPort(2)) };
    let head = vec![
        Expr::Network { offset: address, length: 4, register: 0 },
        Expr::Is(0, ADDRESS.octets().to_vec()),
        Expr::L4Proto(1),
        Expr::Is(1, vec![protocol.number()]),
        at,
        Expr::Is(2, port.to_be_bytes().to_vec()),
    ];
    [head, end].concat()
}

fn named(family: Family, chain: Chain) -> Table {
    Table { name: NAME.to_owned(), family, sets: Vec::new(), chains: vec![chain] }
}

/// [`Way::Rewriting`]: ports of questions are written over to the sockets', those of answers back.
fn rewriting(udp: u16, tcp: u16) -> Table {
    let hook = Hook { kind: "filter", number: 0, priority: 0, accept: true, link: Some("lo") };
    let write = |offset: u32, port: u16| vec![Expr::Load(3, port.to_be_bytes().to_vec()), Expr::SetTransport { offset, register: 3 }];
    let both = |protocol: Protocol, port: u16| [rule(false, protocol, PORT, write(2, port)), rule(true, protocol, port, write(0, PORT))];
    let rules = both(Protocol::Udp, udp).into_iter().chain(both(Protocol::Tcp, tcp)).collect();
    named(Family::Netdev, Chain { name: "loopback", hook: Some(hook), rules })
}

/// [`Way::Translating`].
fn translating(udp: u16, tcp: u16) -> Table {
    let hook = Hook { kind: "nat", number: 3, priority: -100, accept: true, link: None };
    let to = |port: u16| {
        let target = [Expr::Load(8, ADDRESS.octets().to_vec()), Expr::Load(9, port.to_be_bytes().to_vec())];
        [&target[..], &[Expr::Dnat { family: 2, address: 8, port: Some(9) }]].concat()
    };
    let rules = vec![rule(false, Protocol::Udp, PORT, to(udp)), rule(false, Protocol::Tcp, PORT, to(tcp))];
    named(Family::Ip, Chain { name: "output", hook: Some(hook), rules })
}
