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

    /// Reads what has come, without waiting: what others than the socket with that number did. Where so much has happened that nobody
    /// knows, all of it may have.
    pub fn news(&mut self, table: &str, family: Family, own: u32) -> io::Result<News> {
        match self.0.news() {
            Ok(replies) => {
                let foreign = || replies.iter().filter(|reply| reply.port != own);
                Ok(News {
                    lost: foreign().any(|reply| is_removal(reply, table, family)),
                    elsewhere: foreign().any(|reply| is_turn(reply, table)),
                })
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                Ok(News { lost: true, elsewhere: true })
            }
            Err(error) => Err(error),
        }
    }
}

/// What others did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// Something of the table was removed.
    pub lost: bool,
    /// Chains or rules of other tables came or went.
    pub elsewhere: bool,
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The first attribute of what is about a table is its name.
fn is_named(reply: &Reply, table: &str) -> Option<bool> {
    let (_, value) = attributes(reply.body.get(4..)?).find(|(kind, _)| *kind == 1)?;
    Some(value.strip_suffix(&[0]).unwrap_or(value) == table.as_bytes())
}

fn is_removal(reply: &Reply, table: &str, family: Family) -> bool {
    encode::REMOVALS.contains(&reply.kind) && reply.body.first() == Some(&(family as u8)) && is_named(reply, table) == Some(true)
}

fn is_turn(reply: &Reply, table: &str) -> bool {
    let known = reply.body.first().is_some_and(|family| Family::of(*family).is_some());
    encode::TURNS.contains(&reply.kind) && known && is_named(reply, table) == Some(false)
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
            assert_eq!(is_turn(&reply, "ours"), table == "other" && kind != encode::GETTABLE, "{kind} {family} {table}");
        };
        check(encode::REMOVALS[0], 1, "ours", true);
        check(encode::REMOVALS[2], 1, "ours", true);
        check(encode::REMOVALS[0], 2, "ours", false);
        check(encode::REMOVALS[0], 1, "other", false);
        check(encode::GETTABLE, 1, "ours", false);
    }
}
