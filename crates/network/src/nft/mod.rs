//! nf_tables: a table as a value, and the messages that put it.

mod encode;
mod expr;
mod limit;
mod listing;
mod watch;

pub use encode::{Place, change_elements, delete_rule, insert_rule, make, put, remove};
pub use expr::{Expr, Verdict, name16};
pub use limit::limit;
pub use listing::{ListedChain, ListedRule, chains, rules, tables};
pub use watch::{News, Watch};

use crate::error::{Error, Result};
use crate::netlink::{Message, Socket};

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ip = 2,
    /// All that arrives at one link.
    Netdev = 5,
    /// IPv6.
    Ip6 = 10,
}

impl Family {
    /// By its number; `None` for those that no network of ours has to do with.
    pub fn of(number: u8) -> Option<Self> {
        [Self::Inet, Self::Ip, Self::Ip6].into_iter().find(|family| *family as u8 == number)
    }

    /// As `nft` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Netdev => "netdev",
            Self::Ip6 => "ip6",
        }
    }
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
    /// The link whose packets it sees, of the family [`Family::Netdev`]; there 0 is what arrives at it.
    pub link: Option<&'static str>,
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

/// One element of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// What is looked up.
    pub key: Vec<u8>,
    /// Of a set of intervals: the last key, this one too.
    pub last: Option<Vec<u8>>,
    /// Where the set is a map.
    pub value: Option<Vec<u8>>,
}

impl Element {
    /// A key alone.
    pub fn key(key: Vec<u8>) -> Self {
        Self { key, last: None, value: None }
    }
}

/// A set or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// The key's type as `nft` shows it, and its bytes.
    pub key: (u32, u32),
    /// The value's, of a map.
    pub value: Option<(u32, u32)>,
    /// Bytes of the parts of a key, where its elements are intervals.
    pub intervals: Option<&'static [u8]>,
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
    /// An IPv6 address.
    pub const IPV6: (u32, u32) = (8, 16);
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
