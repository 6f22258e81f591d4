//! A table that drops what arrives at a link beyond a rate.

use super::encode::{APPEND, CREATE, NEWCHAIN, NEWRULE, NEWTABLE, family};
use super::{Expr, Family, Verdict, remove};
use crate::netlink::Message;

/// The table, in the place of one of that name. Bytes a second, and how many may come at once.
pub fn limit(table: &str, link: &str, rate: u64, burst: u32) -> Vec<Message> {
    let of = family(Family::Netdev);
    let chain = Message::new(NEWCHAIN, CREATE)
        .body(&of)
        .text(1, table)
        .text(3, "limit")
        .nest(4, |m| m.be32(1, 0).attr(2, &0i32.to_be_bytes()).text(3, link))
        .be32(5, 1)
        .text(7, "filter");
    // More than the rate, in bytes.
    let over = |m: Message| m.attr(1, &rate.to_be_bytes()).attr(2, &1u64.to_be_bytes()).be32(3, burst).be32(4, 1).be32(5, 1);
    let rule = Message::new(NEWRULE, APPEND).body(&of).text(1, table).text(2, "limit").nest(4, |m| {
        let m = m.nest(1, |m| m.text(1, "limit").nest(2, over));
        Expr::Do(Verdict::Drop).encode(m)
    });
    let new = Message::new(NEWTABLE, CREATE).body(&of).text(1, table);
    remove(table, Family::Netdev).into_iter().chain([new, chain, rule]).collect()
}
