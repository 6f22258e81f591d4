//! Changes of the packet filter by others.

use super::{Family, encode};
use crate::netlink::{Reply, Socket, attributes};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Of nf_tables, as a bit.
const GROUP: u32 = 1 << 6;

/// Hears of all changes in its namespace, by whomever.
#[derive(Debug)]
pub struct Watch(Socket);

impl Watch {
    /// From now on.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Socket::netfilter_news(GROUP)?))
    }

    /// Reads what has come, without waiting. True where somebody else than the socket with that number has removed something of a table, or
    /// where so much has happened that nobody knows.
    pub fn lost(&mut self, table: &str, family: Family, own: u32) -> io::Result<bool> {
        match self.0.news() {
            Ok(replies) => Ok(replies.iter().any(|reply| reply.port != own && is_removal(reply, table, family))),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The first attribute of what is about a table is its name.
fn is_removal(reply: &Reply, table: &str, family: Family) -> bool {
    let name = |body: &[u8]| {
        let (_, value) = attributes(body.get(4..)?).find(|(kind, _)| *kind == 1)?;
        Some(value.strip_suffix(&[0]).unwrap_or(value) == table.as_bytes())
    };
    encode::REMOVALS.contains(&reply.kind) && reply.body.first() == Some(&(family as u8)) && name(&reply.body) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Message;

    #[test]
    fn removals_of_the_table() {
        let check = |kind: u16, family: u8, table: &str, expect: bool| {
            let message = Message::new(kind, 0).body(&[family, 0, 0, 0]).text(1, table);
            let reply = Reply { kind, sequence: 0, port: 0, body: message.bytes()[16..].to_vec() };
            assert_eq!(is_removal(&reply, "ours", Family::Inet), expect, "{kind} {family} {table}");
        };
        check(encode::REMOVALS[0], 1, "ours", true);
        check(encode::REMOVALS[2], 1, "ours", true);
        check(encode::REMOVALS[0], 2, "ours", false);
        check(encode::REMOVALS[0], 1, "other", false);
        check(encode::GETTABLE, 1, "ours", false);
    }
}
