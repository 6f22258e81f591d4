//! Tables, chains, sets and rules as messages.

use super::{Chain, Element, Expr, Family, Set, Table, types};
use crate::netlink::Message;

const SUBSYSTEM: u16 = 10 << 8;
pub(super) const NEWTABLE: u16 = SUBSYSTEM;
pub(super) const GETTABLE: u16 = SUBSYSTEM | 1;
const DELTABLE: u16 = SUBSYSTEM | 2;
/// Of tables, chains, rules, sets and elements.
pub(super) const REMOVALS: [u16; 5] = [DELTABLE, SUBSYSTEM | 5, DELRULE, SUBSYSTEM | 11, DELELEMENT];
/// Of what packets go by: chains and rules that come or go.
pub(super) const TURNS: [u16; 5] = [DELTABLE, NEWCHAIN, SUBSYSTEM | 5, NEWRULE, DELRULE];
pub(super) const NEWCHAIN: u16 = SUBSYSTEM | 3;
pub(super) const GETCHAIN: u16 = SUBSYSTEM | 4;
pub(super) const NEWRULE: u16 = SUBSYSTEM | 6;
pub(super) const GETRULE: u16 = SUBSYSTEM | 7;
const DELRULE: u16 = SUBSYSTEM | 8;
const NEWSET: u16 = SUBSYSTEM | 9;
const NEWELEMENT: u16 = SUBSYSTEM | 12;
const DELELEMENT: u16 = SUBSYSTEM | 14;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x400 | 0x800;
const SET_INTERVAL: u32 = 4;
const SET_MAP: u32 = 8;
const SET_CONCAT: u32 = 0x80;
/// Marks the comment in what `nft` keeps beside a rule.
const COMMENT: u8 = 0;
/// Elements of one message: an attribute has at most 64 kB.
const CHUNK: usize = 500;

/// `nfgenmsg`.
pub(super) fn family(family: Family) -> [u8; 4] {
    [family as u8, 0, 0, 0]
}

/// Makes a transaction of these.
pub(super) fn batch(messages: Vec<Message>) -> Vec<Message> {
    let edge = |kind| Message::new(kind, 0).body(&[0, 0, 0, 10]);
    std::iter::once(edge(BATCH_BEGIN)).chain(messages).chain([edge(BATCH_END)]).collect()
}

/// Takes a table away, whether it is there or not.
pub fn remove(name: &str, of: Family) -> Vec<Message> {
    let new = Message::new(NEWTABLE, CREATE).body(&family(of)).text(1, name);
    let delete = Message::new(DELTABLE, 0).body(&family(of)).text(1, name);
    vec![new, delete]
}

/// Puts a table in the place of the one of that name.
pub fn put(table: &Table) -> Vec<Message> {
    remove(&table.name, table.family).into_iter().chain(make(table)).collect()
}

/// Makes a table where there is none of that name. Where nothing is removed the kernel waits for nobody.
pub fn make(table: &Table) -> Vec<Message> {
    let mut all = vec![Message::new(NEWTABLE, CREATE).body(&family(table.family)).text(1, &table.name)];
    for (number, set) in table.sets.iter().enumerate() {
        all.push(new_set(table, set, number as u32 + 1));
        all.extend(change_elements(table.family, &table.name, set.name, &set.elements, true));
    }
    all.extend(table.chains.iter().map(|chain| new_chain(table, chain)));
    for chain in &table.chains {
        all.extend(chain.rules.iter().map(|rule| {
            let message = Message::new(NEWRULE, APPEND).body(&family(table.family)).text(1, &table.name).text(2, chain.name);
            message.nest(4, |m| rule.iter().fold(m, |m, expr| expr.encode(m)))
        }));
    }
    all
}

fn new_set(table: &Table, set: &Set, id: u32) -> Message {
    let message = Message::new(NEWSET, CREATE).body(&family(table.family)).text(1, &table.name).text(2, set.name);
    let flags = if set.value.is_some() { SET_MAP } else { 0 } | if set.intervals.is_some() { SET_INTERVAL | SET_CONCAT } else { 0 };
    let message = message.be32(3, flags).be32(4, set.key.0).be32(5, set.key.1);
    let message = match set.intervals {
        Some(parts) => message.nest(9, |m| m.nest(2, |m| parts.iter().fold(m, |m, bytes| m.nest(1, |m| m.be32(1, u32::from(*bytes)))))),
        None => message,
    };
    // For `nft` to show names of links as such: the key is in the host's order.
    let message = if set.key == types::IFNAME { message.attr(13, &[&[0, 4][..], &1u32.to_ne_bytes()].concat()) } else { message };
    match set.value {
        Some((kind, length)) => message.be32(6, kind).be32(7, length).be32(10, id),
        None => message.be32(10, id),
    }
}

fn new_chain(table: &Table, chain: &Chain) -> Message {
    let message = Message::new(NEWCHAIN, CREATE).body(&family(table.family)).text(1, &table.name).text(3, chain.name);
    let Some(hook) = chain.hook else { return message };
    let at = |m: Message| {
        let m = m.be32(1, hook.number).attr(2, &hook.priority.to_be_bytes());
        hook.link.iter().fold(m, |m, link| m.text(3, link))
    };
    message.nest(4, at).be32(5, u32::from(hook.accept)).text(7, hook.kind)
}

/// Adds elements to a set, or deletes them. To add one that is there with the same value is no error; to delete one that is not there is.
pub fn change_elements(of: Family, table: &str, set: &str, elements: &[Element], add: bool) -> Vec<Message> {
    let (kind, flags) = if add { (NEWELEMENT, CREATE) } else { (DELELEMENT, 0) };
    let chunks = elements.chunks(CHUNK).map(|chunk| {
        Message::new(kind, flags).body(&family(of)).text(1, table).text(2, set).nest(3, |m| {
            chunk.iter().fold(m, |m, element| {
                m.nest(1, |m| {
                    let m = m.nest(1, |m| m.attr(1, &element.key));
                    let m = element.last.iter().fold(m, |m, last| m.nest(10, |m| m.attr(1, last)));
                    match &element.value {
                        Some(value) if add => m.nest(2, |m| m.attr(1, value)),
                        _ => m,
                    }
                })
            })
        })
    });
    chunks.collect()
}

/// Where a rule goes in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before all others.
    Head,
    /// Before the one with that handle.
    Before(u64),
    /// After all others.
    End,
}

/// Puts a rule into a chain of somebody else's. `comment` is what it is known by.
pub fn insert_rule(of: Family, table: &str, chain: &str, place: Place, rule: &[Expr], comment: &str) -> Message {
    let flags = if place == Place::End { APPEND } else { CREATE };
    let message = Message::new(NEWRULE, flags).body(&family(of)).text(1, table).text(2, chain);
    let message = message.nest(4, |m| rule.iter().fold(m, |m, expr| expr.encode(m)));
    let message = match place {
        Place::Before(handle) => message.attr(6, &handle.to_be_bytes()),
        Place::Head | Place::End => message,
    };
    let text: Vec<u8> = comment.bytes().take(120).chain([0]).collect();
    message.attr(7, &[&[COMMENT, text.len() as u8][..], &text].concat())
}

/// Takes a rule away.
pub fn delete_rule(of: Family, table: &str, chain: &str, handle: u64) -> Message {
    Message::new(DELRULE, 0).body(&family(of)).text(1, table).text(2, chain).attr(3, &handle.to_be_bytes())
}
