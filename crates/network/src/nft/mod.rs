//! nf_tables: a table as a value, and the messages that put it.

mod encode;
mod expr;
mod limit;
mod watch;

pub use encode::{change_elements, make, put, remove};
pub use expr::{Expr, Verdict, name16};
pub use limit::limit;
pub use watch::Watch;

use crate::error::{Error, Result};
use crate::netlink::{Message, Socket, attributes};

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ip = 2,
    /// All that arrives at one link.
    Netdev = 5,
}

/// Where a chain sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// `nat` or `filter`.
    pub kind: &'static str,
    /// 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub number: u32,
    /// Lower ones come first.
    pub priority: i32,
    /// What happens to packets that no rule decided: they pass, or are dropped.
    pub accept: bool,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// `None`: other chains go to it.
    pub hook: Option<Hook>,
    /// In order.
    pub rules: Vec<Vec<Expr>>,
}

/// One element of a set: its key, and its value where the set is a map.
pub type Element = (Vec<u8>, Option<Vec<u8>>);

/// A set or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// The key's type as `nft` shows it, and its bytes.
    pub key: (u32, u32),
    /// The value's, of a map.
    pub value: Option<(u32, u32)>,
    /// What is in it.
    pub elements: Vec<Element>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// What it sees.
    pub family: Family,
    /// Before the chains, whose rules name them.
    pub sets: Vec<Set>,
    /// Before they are gone to.
    pub chains: Vec<Chain>,
}

/// The types that `nft` knows by number.
pub mod types {
    /// An IPv4 address, 4 bytes.
    pub const IPV4: (u32, u32) = (7, 4);
    /// A protocol, 1 byte in 4.
    pub const PROTOCOL: (u32, u32) = (12, 4);
    /// A port, 2 bytes in 4.
    pub const PORT: (u32, u32) = (13, 4);
    /// The name of a link.
    pub const IFNAME: (u32, u32) = (41, 16);

    /// Several after one another.
    pub const fn concat<const N: usize>(parts: [(u32, u32); N]) -> (u32, u32) {
        let (mut kind, mut length, mut at) = (0, 0, 0);
        while at < N {
            kind = kind << 6 | parts[at].0;
            length += parts[at].1;
            at += 1;
        }
        (kind, length)
    }
}

/// Does all of these as one: they are all done, or none.
pub fn commit(socket: &mut Socket, messages: Vec<Message>, operation: &'static str, table: &str) -> Result<()> {
    let all = encode::batch(messages);
    let size: usize = all.iter().map(Message::size).sum();
    if size > 64 * 1024 {
        socket.make_room(size * 2);
    }
    socket.run(all).map_err(|failed| Error::of(operation, table)(failed.error))
}

/// Names of all tables of a family, in the socket's namespace.
pub fn tables(socket: &mut Socket, family: Family) -> Result<Vec<String>> {
    let replies = socket.dump(encode::GETTABLE, &encode::family(family)).map_err(Error::of("list", "tables"))?;
    let name = |body: &[u8]| {
        let (_, value) = attributes(body.get(4..)?).find(|(kind, _)| *kind == 1)?;
        Some(String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned())
    };
    Ok(replies.iter().filter_map(|reply| name(&reply.body)).collect())
}
