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

/// Makes both sockets and the table in a namespace.
pub fn open(namespace: BorrowedFd<'_>) -> Result<Sockets> {
    inside(namespace, open_here)
}

/// The same in the thread's own namespace.
pub(crate) fn open_here() -> Result<Sockets> {
    let (udp, udp_port) = bind(SocketType::DGRAM)?;
    let (tcp, tcp_port) = bind(SocketType::STREAM)?;
    rustix::net::listen(&tcp, BACKLOG).map_err(|e| Error::of("listen for", "questions for names")(e.into()))?;
    let table = table(udp_port, tcp_port);
    let mut filter = Socket::netfilter().map_err(Error::of("open", "a netlink socket of the packet filter"))?;
    nft::commit(&mut filter, nft::make(&table), "put the table", &table.name)?;
    Ok(Sockets { udp, tcp })
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

fn table(udp: u16, tcp: u16) -> Table {
    let rule = |protocol: Protocol, port: u16| {
        let port = port.to_be_bytes();
        vec![
            Expr::Network { offset: 16, length: 4, register: 0 },
            Expr::Is(0, ADDRESS.octets().to_vec()),
            Expr::L4Proto(1),
            Expr::Is(1, vec![protocol.number()]),
            Expr::DestinationPort(2),
            Expr::Is(2, 53u16.to_be_bytes().to_vec()),
            Expr::Load(8, ADDRESS.octets().to_vec()),
            Expr::Load(9, port.to_vec()),
            Expr::Dnat { family: 2, address: 8, port: Some(9) },
        ]
    };
    let hook = Hook { kind: "nat", number: 3, priority: -100, accept: true };
    let rules = vec![rule(Protocol::Udp, udp), rule(Protocol::Tcp, tcp)];
    Table {
        name: "dhow-names".to_owned(),
        family: Family::Ip,
        sets: Vec::new(),
        chains: vec![Chain { name: "output", hook: Some(hook), rules }],
    }
}
