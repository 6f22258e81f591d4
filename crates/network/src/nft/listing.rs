//! What there is in the packet filter, whoever put it there.

use super::encode::{self, GETCHAIN, GETRULE, GETTABLE};
use super::{Family, Hook};
use crate::error::{Error, Result};
use crate::netlink::{Message, Socket, attributes};

/// A chain as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChain {
    /// What its table sees.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where it sits; `kind` is `filter` or something else. `None`: other chains go to it.
    pub hook: Option<Hook>,
}

/// A rule as it is: as much of it as is of use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedRule {
    /// Its number in the table.
    pub handle: u64,
    /// What it was given to be known by.
    pub comment: String,
    /// It asks for nothing: every packet that comes by is meant.
    pub always: bool,
    /// What becomes of the packet: `drop`, `reject`, `return`, `accept`; empty for anything else.
    pub end: String,
    /// The chain that it goes to.
    pub jump: String,
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn be32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

fn be64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?))
}

/// Names of all tables of a family, in the socket's namespace.
pub fn tables(socket: &mut Socket, family: Family) -> Result<Vec<String>> {
    let replies = socket.dump(GETTABLE, &encode::family(family)).map_err(Error::of("list", "tables"))?;
    Ok(replies.iter().filter_map(|reply| Some(text(find(reply.body.get(4..)?, 1)?))).collect())
}

fn chain(body: &[u8]) -> Option<ListedChain> {
    let (family, rest) = (Family::of(*body.first()?)?, body.get(4..)?);
    let hook = find(rest, 4).and_then(|hook| {
        Some(Hook {
            kind: if find(rest, 7).map(text).as_deref() == Some("filter") { "filter" } else { "other" },
            number: be32(find(hook, 1)?)?,
            priority: be32(find(hook, 2)?)? as i32,
            accept: find(rest, 5).and_then(be32) != Some(0),
            link: None,
        })
    });
    Some(ListedChain { family, table: text(find(rest, 1)?), name: text(find(rest, 3)?), hook })
}

/// All chains of IPv4, IPv6 and both.
pub fn chains(socket: &mut Socket) -> Result<Vec<ListedChain>> {
    let replies = socket.dump(GETCHAIN, &[0; 4]).map_err(Error::of("list", "chains"))?;
    Ok(replies.iter().filter_map(|reply| chain(&reply.body)).collect())
}

/// The rules of a chain, in order.
pub fn rules(socket: &mut Socket, family: Family, table: &str, name: &str) -> Result<Vec<ListedRule>> {
    let message = Message::new(GETRULE, 0).body(&encode::family(family)).text(1, table).text(2, name);
    let mut found = Vec::new();
    let each = |reply: crate::netlink::Reply| {
        let of_chain = |body: &[u8]| Some(text(find(body.get(4..)?, 1)?) == table && text(find(body.get(4..)?, 2)?) == name);
        // A kernel that does not know the question's attributes answers with all rules.
        if of_chain(&reply.body) == Some(true) {
            found.extend(rule(&reply.body));
        }
    };
    // What follows the header is the question.
    socket.dump_each(GETRULE, message.bytes().get(16..).unwrap_or_default(), each).map_err(Error::of("list the rules of", name))?;
    Ok(found)
}

fn rule(body: &[u8]) -> Option<ListedRule> {
    let rest = body.get(4..)?;
    let mut rule = ListedRule { handle: be64(find(rest, 3)?)?, always: true, ..ListedRule::default() };
    if let Some([0, length, comment @ ..]) = find(rest, 7) {
        rule.comment = text(comment.get(..usize::from(*length)).unwrap_or_default());
    }
    for (_, expression) in attributes(find(rest, 4).unwrap_or_default()) {
        let Some(name) = find(expression, 1).map(text) else { continue };
        let data = find(expression, 2).unwrap_or_default();
        match name.as_str() {
            "counter" | "log" => {}
            // xtables' way of saying things.
            "match" if find(data, 1).map(text).as_deref() == Some("comment") => {}
            "reject" => rule.end = "reject".into(),
            "target" => match find(data, 1).map(text).as_deref() {
                Some("REJECT") => rule.end = "reject".into(),
                Some("LOG" | "NFLOG") => {}
                _ => rule.always = false,
            },
            "immediate" => verdict(&mut rule, data),
            _ => rule.always = false,
        }
    }
    Some(rule)
}

fn verdict(rule: &mut ListedRule, data: &[u8]) {
    let Some(verdict) = find(data, 2).and_then(|value| find(value, 2)) else { return };
    rule.jump = find(verdict, 2).map(text).unwrap_or_default();
    let end = match find(verdict, 1).and_then(be32).map(|code| code as i32) {
        Some(0) => "drop",
        Some(1) => "accept",
        Some(-5) => "return",
        _ => "",
    };
    rule.end = end.into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::{Expr, Place, Verdict};

    fn listed(rule: &[Expr], comment: &str) -> ListedRule {
        let message = encode::insert_rule(Family::Ip, "filter", "FORWARD", Place::Head, rule, comment).attr(3, &7u64.to_be_bytes());
        super::rule(&message.bytes()[16..]).unwrap()
    }

    #[test]
    fn rules_are_read_back() {
        let check = |rule: &[Expr], expect: (bool, &str, &str)| {
            let got = listed(rule, "mine");
            assert_eq!((got.always, got.end.as_str(), got.jump.as_str()), expect);
            assert_eq!((got.handle, got.comment.as_str()), (7, "mine"));
        };
        check(&[Expr::Do(Verdict::Drop)], (true, "drop", ""));
        check(&[Expr::Do(Verdict::Return)], (true, "return", ""));
        check(&[Expr::Do(Verdict::Jump("publish"))], (true, "", "publish"));
        check(&[Expr::Nfproto(0), Expr::Is(0, vec![2]), Expr::Do(Verdict::Drop)], (false, "drop", ""));
    }

    proptest::proptest! {
        #[test]
        fn nothing_breaks_it(bytes: Vec<u8>) {
            let _ = rule(&bytes);
            let _ = chain(&bytes);
        }
    }
}
