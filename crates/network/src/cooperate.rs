//! Living with the packet filters of others. An accept in our table does not overrule a drop in another one, so where somebody else's chain
//! of the forward hook drops what it does not know, one rule of ours in it lets pass what our table let pass, by the mark that the packet
//! has then. The rule has a comment by which it is found again.

use crate::error::Result;
use crate::netlink::{Message, Socket};
use crate::nft::{self, Expr, Family, ListedChain, ListedRule, Place, Verdict};
use crate::table;

/// The forward hook.
const FORWARD: u32 = 2;
/// Docker's chain for rules of others.
const USER: &str = "DOCKER-USER";

/// A foreign chain that drops what it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// `ip filter FORWARD`.
    pub chain: String,
    /// What in it drops: `policy`, or its last rule.
    pub by: &'static str,
    /// The chain that has our rule; `None`: there is none, and what the networks forward is lost there.
    pub opened: Option<String>,
}

/// A chain with its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The chain.
    pub chain: ListedChain,
    /// Its rules, in order.
    pub rules: Vec<ListedRule>,
}

impl Seen {
    fn path(&self) -> String {
        format!("{} {} {}", self.chain.family.as_str(), self.chain.table, self.chain.name)
    }

    /// What in it drops whatever was not decided before.
    fn drops(&self) -> Option<&'static str> {
        let hook = self.chain.hook.filter(|hook| hook.number == FORWARD && hook.kind == "filter")?;
        let last = self.rules.last().is_some_and(|rule| rule.always && matches!(rule.end.as_str(), "drop" | "reject"));
        match (hook.accept, last) {
            (false, _) => Some("policy"),
            (true, true) => Some("last rule"),
            (true, false) => None,
        }
    }
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Insert { chain: ListedChain, place: Place },
    Delete { chain: ListedChain, handle: u64 },
}

/// Which chains count: those of the forward hook, and Docker's for others. `own` is our table.
fn counts(chain: &ListedChain, own: &str) -> bool {
    let ours = chain.family == Family::Inet && chain.table == own;
    !ours && (chain.hook.is_some_and(|hook| hook.number == FORWARD) || chain.name == USER)
}

/// Where our rule has its place for an obstacle: in Docker's chain, where packets go by it, after what is in it; else at the head.
fn place<'a>(obstacle: &'a Seen, all: &'a [Seen]) -> (&'a Seen, Place) {
    let same = |seen: &&Seen| (seen.chain.family, &seen.chain.table) == (obstacle.chain.family, &obstacle.chain.table);
    let user = all.iter().filter(same).find(|seen| seen.chain.name == USER);
    match user.filter(|_| obstacle.rules.iter().any(|rule| rule.jump == USER)) {
        // Older ones end with a return.
        Some(user) => {
            let end = user.rules.iter().find(|rule| rule.always && rule.end == "return");
            (user, end.map_or(Place::End, |rule| Place::Before(rule.handle)))
        }
        None => (obstacle, Place::Head),
    }
}

/// What stands in the way, and what is to be done about it. `wanted`: it is to be opened.
fn plan(all: &[Seen], comment: &str, wanted: bool) -> (Vec<Obstacle>, Vec<Change>) {
    let (mut obstacles, mut changes, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for seen in all {
        let Some(by) = seen.drops() else { continue };
        let (at, place) = place(seen, all);
        obstacles.push(Obstacle { chain: seen.path(), by, opened: wanted.then(|| at.path()) });
        let there = at.rules.iter().find(|rule| rule.comment == comment);
        match there {
            _ if !wanted => {}
            Some(rule) => kept.push((at.path(), rule.handle)),
            None => {
                let change = Change::Insert { chain: at.chain.clone(), place };
                if !changes.contains(&change) {
                    changes.push(change);
                }
            }
        }
    }
    for seen in all {
        let ours = seen.rules.iter().filter(|rule| rule.comment == comment);
        let stale = ours.filter(|rule| !kept.contains(&(seen.path(), rule.handle)));
        changes.extend(stale.map(|rule| Change::Delete { chain: seen.chain.clone(), handle: rule.handle }));
    }
    (obstacles, changes)
}

fn message(change: &Change, comment: &str) -> Message {
    match change {
        Change::Insert { chain, place } => {
            let rule: Vec<Expr> = table::has_passed().into_iter().chain([Expr::Do(Verdict::Accept)]).collect();
            nft::insert_rule(chain.family, &chain.table, &chain.name, *place, &rule, comment)
        }
        Change::Delete { chain, handle } => nft::delete_rule(chain.family, &chain.table, &chain.name, *handle),
    }
}

/// Sees to it that our rule is where it is needed (`wanted`), or nowhere. Answers what stands in the way, opened or not. `own` is the name
/// of our table.
pub fn apply(socket: &mut Socket, own: &str, wanted: bool) -> Result<Vec<Obstacle>> {
    let mut all = Vec::new();
    for chain in nft::chains(socket)?.into_iter().filter(|chain| counts(chain, own)) {
        let rules = nft::rules(socket, chain.family, &chain.table, &chain.name)?;
        all.push(Seen { chain, rules });
    }
    let comment = format!("dhow: {own}");
    let (mut obstacles, changes) = plan(&all, &comment, wanted);
    // Each by itself: a table may belong to a program that lets nobody else in.
    for change in changes {
        let done = nft::commit(socket, vec![message(&change, &comment)], "put a rule into the chains of others for", own);
        match (done, change) {
            (Ok(()), _) => {}
            (Err(_), Change::Insert { chain, .. }) => {
                let path = Seen { chain, rules: Vec::new() }.path();
                let closed = obstacles.iter_mut().filter(|obstacle| obstacle.opened.as_ref() == Some(&path));
                closed.for_each(|obstacle| obstacle.opened = None);
            }
            // It went meanwhile.
            (Err(error), Change::Delete { .. }) if error.source.kind() == std::io::ErrorKind::NotFound => {}
            (Err(error), Change::Delete { .. }) => return Err(error),
        }
    }
    Ok(obstacles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::Hook;

    fn seen(table: &str, name: &str, accept: Option<bool>, rules: &[&str]) -> Seen {
        let hook = accept.map(|accept| Hook { kind: "filter", number: FORWARD, priority: 0, accept, link: None });
        let chain = ListedChain { family: Family::Ip, table: table.into(), name: name.into(), hook };
        let rule = |(number, text): (usize, &&str)| {
            let mut rule = ListedRule { handle: number as u64 + 10, always: !text.contains("if"), ..ListedRule::default() };
            match text.rsplit(' ').next().unwrap_or_default() {
                "ours" => (rule.comment, rule.always) = ("c".into(), false),
                "user" => rule.jump = USER.into(),
                end => rule.end = end.into(),
            }
            rule
        };
        Seen { chain, rules: rules.iter().enumerate().map(rule).collect() }
    }

    fn check(all: &[Seen], wanted: bool, expect: &str) {
        let (obstacles, changes) = plan(all, "c", wanted);
        let words = obstacles.iter().map(|o| format!("{} by {} -> {}", o.chain, o.by, o.opened.as_deref().unwrap_or("closed")));
        let changes = changes.iter().map(|change| match change {
            Change::Insert { chain, place } => format!("insert {} {place:?}", chain.name),
            Change::Delete { chain, handle } => format!("delete {} {handle}", chain.name),
        });
        assert_eq!(words.chain(changes).collect::<Vec<_>>().join("; "), expect);
    }

    #[test]
    fn one_rule_where_it_is_needed() {
        check(&[seen("filter", "FORWARD", Some(true), &[])], true, "");
        check(&[seen("filter", "FORWARD", Some(true), &["if drop", "accept"])], true, "");
        let policy = seen("filter", "FORWARD", Some(false), &[]);
        check(std::slice::from_ref(&policy), true, "ip filter FORWARD by policy -> ip filter FORWARD; insert FORWARD Head");
        check(&[policy], false, "ip filter FORWARD by policy -> closed");
        check(
            &[seen("filter", "FORWARD", Some(true), &["if accept", "reject"])],
            true,
            "ip filter FORWARD by last rule -> ip filter FORWARD; insert FORWARD Head",
        );
        // There already; one too many; not needed any more; not wanted any more.
        let there = seen("filter", "FORWARD", Some(false), &["ours", "if drop"]);
        check(std::slice::from_ref(&there), true, "ip filter FORWARD by policy -> ip filter FORWARD");
        check(&[there], false, "ip filter FORWARD by policy -> closed; delete FORWARD 10");
        let two = seen("filter", "FORWARD", Some(false), &["ours", "ours"]);
        check(&[two], true, "ip filter FORWARD by policy -> ip filter FORWARD; delete FORWARD 11");
        check(&[seen("filter", "FORWARD", Some(true), &["ours"])], true, "delete FORWARD 10");
    }

    #[test]
    fn docker_has_a_place_for_it() {
        let forward = |rules: &[&str]| seen("filter", "FORWARD", Some(false), rules);
        let user = |rules: &[&str]| seen("filter", USER, None, rules);
        let opened = "ip filter FORWARD by policy -> ip filter DOCKER-USER";
        check(&[forward(&["user"]), user(&["if drop", "return"])], true, &format!("{opened}; insert DOCKER-USER Before(11)"));
        check(&[forward(&["user"]), user(&["if drop"])], true, &format!("{opened}; insert DOCKER-USER End"));
        // Nothing goes by it.
        check(&[forward(&[]), user(&["return"])], true, "ip filter FORWARD by policy -> ip filter FORWARD; insert FORWARD Head");
        // It was at the head before Docker came.
        check(
            &[forward(&["user", "ours"]), user(&["return"])],
            true,
            &format!("{opened}; insert DOCKER-USER Before(10); delete FORWARD 11"),
        );
    }
}
