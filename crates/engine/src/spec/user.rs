//! Users and groups by the names and numbers that people and images give, looked up in the container's own files.
//!
//! Numbers are decimal digits up to 2147483647 and nothing else: no sign, no wrap-around to root (CVE-2024-40635).

use crate::error::{Error, Kind, Result};

/// Highest id.
const MAX: u32 = 0x7fff_ffff;

/// The account files' contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    pub(crate) passwd: Vec<u8>,
    pub(crate) group: Vec<u8>,
}

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The primary group, then the user's, then the added ones.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// A name or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who<'a> {
    Name(&'a str),
    Id(u32),
}

/// `user[:group]`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parsed<'a> {
    user: Option<Who<'a>>,
    group: Option<Who<'a>>,
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}

fn who(text: &str) -> Result<Option<Who<'_>>> {
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Some(Who::Name(text)));
    }
    match text.parse::<u32>() {
        Ok(id) if id <= MAX => Ok(Some(Who::Id(id))),
        _ => Err(bad(format!("uids and gids must be in range 0-{MAX}"))),
    }
}

/// Takes a user string apart, strictly.
pub(crate) fn parse(text: &str) -> Result<Parsed<'_>> {
    if text.bytes().any(|b| b.is_ascii_control()) {
        return Err(bad("invalid user: it contains a control character"));
    }
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    if group.contains(':') {
        return Err(bad(format!("unable to find group {group}: no matching entries in group file")));
    }
    Ok(Parsed { user: who(user)?, group: who(group)? })
}

#[derive(Debug)]
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

#[derive(Debug)]
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Lines of a file of accounts. Those that are not text or lack fields are passed over.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Vec<&str>> {
    bytes
        .split(|b| *b == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split(':').collect())
}

fn id(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?.filter(|n| *n <= MAX)
}

fn users(accounts: &Accounts) -> impl Iterator<Item = User<'_>> {
    lines(&accounts.passwd).filter_map(|f| {
        let home = f.get(5).copied().unwrap_or_default();
        Some(User { name: f.first()?, uid: id(f.get(2)?)?, gid: id(f.get(3)?)?, home })
    })
}

fn groups(accounts: &Accounts) -> impl Iterator<Item = Group<'_>> {
    lines(&accounts.group)
        .filter_map(|f| Some(Group { name: f.first()?, gid: id(f.get(2)?)?, members: f.get(3).copied().unwrap_or_default() }))
}

fn group_id(accounts: &Accounts, wanted: &Who<'_>) -> Result<u32> {
    let found = groups(accounts).find(|g| match wanted {
        Who::Name(name) => g.name == *name,
        Who::Id(id) => g.gid == *id,
    });
    match (found, wanted) {
        (Some(group), _) => Ok(group.gid),
        (None, Who::Id(id)) => Ok(*id),
        (None, Who::Name(name)) => Err(bad(format!("unable to find group {name}: no matching entries in group file"))),
    }
}

/// Looks a user string and added groups up. The empty string is root.
pub(crate) fn resolve(text: &str, added: &[String], accounts: &Accounts) -> Result<Resolved> {
    let parsed = parse(text)?;
    let wanted = parsed.user.clone().unwrap_or(Who::Id(0));
    let found = users(accounts).find(|u| match &wanted {
        Who::Name(name) => u.name == *name,
        Who::Id(id) => u.uid == *id,
    });
    let (uid, mut gid, home, name) = match (&found, &wanted) {
        (Some(user), _) => (user.uid, user.gid, user.home, Some(user.name)),
        (None, Who::Id(id)) => (*id, 0, "", None),
        (None, Who::Name(name)) => return Err(bad(format!("unable to find user {name}: no matching entries in passwd file"))),
    };
    let mut list = Vec::new();
    if let Some(group) = &parsed.group {
        gid = group_id(accounts, group)?;
    } else if let Some(name) = name {
        list.extend(groups(accounts).filter(|g| g.members.split(',').any(|m| m.trim() == name)).map(|g| g.gid));
    }
    for group in added {
        if let Some(group) = who(group)? {
            list.push(group_id(accounts, &group)?);
        }
    }
    list.insert(0, gid);
    let home = if home.is_empty() { "/" } else { home };
    Ok(Resolved { uid, gid, groups: list, home: home.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: b"root:x:0:0:root:/root:/bin/sh\n# no\nbroken\nweb:x:33:34::/var/www:/bin/false\nbig:x:4294967296:0::/:\nneg:x:-1:0::/:\n\xff\xfe:x:1:1::/:\n7:x:70:70::/seven:\n".to_vec(),
            group: b"root:x:0:\nwheel:x:10:root,web\nwww:x:34:\naudio:x:29:web\n".to_vec(),
        }
    }

    fn check(text: &str, added: &[&str], expect: std::result::Result<(u32, u32, &[u32], &str), &str>) {
        let added: Vec<String> = added.iter().map(|s| (*s).to_owned()).collect();
        let got = resolve(text, &added, &accounts());
        match (got, expect) {
            (Ok(r), Ok(want)) => assert_eq!((r.uid, r.gid, r.groups.as_slice(), r.home.as_str()), want, "{text}"),
            (Err(e), Err(want)) => assert_eq!(e.message, want, "{text}"),
            (got, want) => panic!("{text}: {got:?}, expected {want:?}"),
        }
    }

    #[test]
    fn names_and_numbers() {
        check("", &[], Ok((0, 0, &[0, 10], "/root")));
        check("root", &[], Ok((0, 0, &[0, 10], "/root")));
        check("0", &[], Ok((0, 0, &[0, 10], "/root")));
        check("web", &[], Ok((33, 34, &[34, 10, 29], "/var/www")));
        check("33", &["audio", "77"], Ok((33, 34, &[34, 10, 29, 29, 77], "/var/www")));
        check("web:wheel", &[], Ok((33, 10, &[10], "/var/www")));
        check("1000", &[], Ok((1000, 0, &[0], "/")));
        check("1000:2000", &[], Ok((1000, 2000, &[2000], "/")));
        check(":29", &[], Ok((0, 29, &[29], "/root")));
        check("7", &[], Ok((7, 0, &[0], "/")));
        check("2147483647", &[], Ok((2147483647, 0, &[0], "/")));
    }

    #[test]
    fn class_19_cve_2024_40635_nothing_wraps_to_root() {
        check("nosuch", &[], Err("unable to find user nosuch: no matching entries in passwd file"));
        check("web:nosuch", &[], Err("unable to find group nosuch: no matching entries in group file"));
        check("0", &["nosuch"], Err("unable to find group nosuch: no matching entries in group file"));
        for text in ["2147483648", "4294967296", "65536:4294967296", "99999999999999999999"] {
            check(text, &[], Err("uids and gids must be in range 0-2147483647"));
        }
        check("-1", &[], Err("unable to find user -1: no matching entries in passwd file"));
        check("+0", &[], Err("unable to find user +0: no matching entries in passwd file"));
        check("0x0", &[], Err("unable to find user 0x0: no matching entries in passwd file"));
        check("big", &[], Err("unable to find user big: no matching entries in passwd file"));
        check("neg", &[], Err("unable to find user neg: no matching entries in passwd file"));
        check("a\nb", &[], Err("invalid user: it contains a control character"));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_root_is_only_who_asks_for_it(text in "[ -~]{0,12}", passwd in proptest::collection::vec(any::<u8>(), 0..200)) {
            let accounts = Accounts { passwd, group: vec![] };
            if let Ok(r) = resolve(&text, &[], &accounts) {
                let number = text.split(':').next().unwrap_or_default();
                if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
                    prop_assert_eq!(Some(u64::from(r.uid)), number.parse::<u64>().ok());
                }
            }
        }
    }
}
