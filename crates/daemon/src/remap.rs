//! `--userns-remap`: whose subordinate ids the containers get.

use anyhow::{Context, Result, anyhow, bail};
use dhow_engine::{IdMap, IdRange};
use std::io::Write;
use std::path::Path;

/// What asks for [`DEFAULT_NAME`].
const DEFAULT: &str = "default";
/// Whose ranges these are then. They are entered where there are none.
const DEFAULT_NAME: &str = "dockremap";
/// Where ranges begin that we enter, and how many ids they have.
const FIRST: u32 = 100_000;
const SIZE: u32 = 65_536;

/// The four files that decide.
#[derive(Debug, Default)]
struct Accounts {
    passwd: String,
    group: String,
    subuid: String,
    subgid: String,
}

/// What a setting means.
#[derive(Debug, PartialEq)]
enum Found {
    /// Root itself: nothing is mapped.
    Root,
    /// The ids of this user.
    Ids(String, IdMap),
    /// [`DEFAULT`], and nothing is entered for it yet.
    Nothing,
}

/// Reads the setting and the host's files. Ranges for `default` are entered into them where there are none.
pub(crate) fn load(setting: &str) -> Result<Option<IdMap>> {
    if setting.is_empty() {
        return Ok(None);
    }
    enabled()?;
    let etc = Path::new("/etc");
    let mut found = resolve(setting, &Accounts::read(etc)?)?;
    if found == Found::Nothing {
        enter(etc)?;
        found = resolve(setting, &Accounts::read(etc)?)?;
    }
    match found {
        Found::Root => {
            tracing::warn!("User namespaces: root cannot be remapped with itself; user namespaces are OFF");
            Ok(None)
        }
        Found::Ids(user, map) => {
            tracing::info!("User namespaces: ID ranges will be mapped to subuid/subgid ranges of: {user}");
            Ok(Some(map))
        }
        Found::Nothing => bail!("Can't create ID mappings: no subuid ranges found for user {DEFAULT_NAME:?}"),
    }
}

/// Says so now where every start would fail.
fn enabled() -> Result<()> {
    let limit = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    if !Path::new("/proc/self/ns/user").exists() || limit.trim() == "0" {
        bail!("--userns-remap: this kernel has no user namespaces, or user.max_user_namespaces is 0");
    }
    Ok(())
}

impl Accounts {
    fn read(etc: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = etc.join(name);
            match std::fs::read_to_string(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
                other => other.with_context(|| path.display().to_string()),
            }
        };
        Ok(Self { passwd: read("passwd")?, group: read("group")?, subuid: read("subuid")?, subgid: read("subgid")? })
    }
}

/// An account or group.
#[derive(Debug, Clone, PartialEq)]
struct Named {
    name: String,
    id: String,
}

/// A line of passwd or group, by its name or number.
fn look_up(file: &str, wanted: &str, by_number: bool) -> Option<Named> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        let matches = if by_number { id == wanted } else { name == wanted };
        matches.then(|| Named { name: name.to_owned(), id: id.to_owned() })
    };
    file.lines().find_map(line)
}

/// `user`, `user:group`, numbers or names, or [`DEFAULT`].
fn resolve(setting: &str, accounts: &Accounts) -> Result<Found> {
    let mut parts = setting.split(':');
    let (wanted, wanted_group) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() || wanted.is_empty() || wanted_group.is_some_and(str::is_empty) {
        bail!("Invalid user/group specification in --userns-remap: {setting:?}");
    }
    let number = |text: &str| text.parse::<u32>().ok();
    let user = match number(wanted) {
        Some(uid) => look_up(&accounts.passwd, &uid.to_string(), true).ok_or_else(|| anyhow!("Uid {uid} has no entry in /etc/passwd"))?,
        None if wanted == DEFAULT => look_up(&accounts.passwd, DEFAULT_NAME, false).unwrap_or_else(default_account),
        None => look_up(&accounts.passwd, wanted, false).ok_or_else(|| anyhow!("Error during uid lookup for {wanted:?}: no such user"))?,
    };
    let by_gid = |gid: &str| look_up(&accounts.group, gid, true).ok_or_else(|| anyhow!("Gid {gid} has no entry in /etc/group"));
    let group = match wanted_group {
        Some(group) => match number(group) {
            Some(gid) => by_gid(&gid.to_string())?,
            None => look_up(&accounts.group, group, false)
                .ok_or_else(|| anyhow!("Error during groupname lookup for {group:?}: no such group"))?,
        },
        None if number(wanted).is_some() => by_gid(&user.id)?,
        None if wanted == DEFAULT => look_up(&accounts.group, DEFAULT_NAME, false).unwrap_or_else(default_account),
        None => look_up(&accounts.group, wanted, false).ok_or_else(|| anyhow!("Error during gid lookup for {wanted:?}: no such group"))?,
    };
    if user.name == "root" {
        return Ok(Found::Root);
    }
    let uids = ranges("/etc/subuid", &accounts.subuid, &user)?;
    // Docker's releases differ in whether the user or the group is meant here.
    let gids = match ranges("/etc/subgid", &accounts.subgid, &group)? {
        none if none.is_empty() => ranges("/etc/subgid", &accounts.subgid, &user)?,
        some => some,
    };
    match (uids.is_empty(), gids.is_empty()) {
        (true, true) if wanted == DEFAULT => return Ok(Found::Nothing),
        (true, _) => bail!("Can't create ID mappings: no subuid ranges found for user {:?}", user.name),
        (_, true) => bail!("Can't create ID mappings: no subgid ranges found for group {:?}", group.name),
        _ => {}
    }
    let map = IdMap::new(uids, gids).map_err(|e| anyhow!("Can't create ID mappings: {}: {}", e.object, e.message))?;
    Ok(Found::Ids(user.name, map))
}

/// Only a name, to which ranges belong.
fn default_account() -> Named {
    Named { name: DEFAULT_NAME.to_owned(), id: String::new() }
}

/// The ranges of one owner, put one after the other in the container.
fn ranges(name: &str, file: &str, owner: &Named) -> Result<Vec<IdRange>> {
    let mut all = Vec::new();
    let mut container = 0u32;
    for (n, line) in file.lines().enumerate() {
        let mut fields = line.trim().split(':');
        let of = fields.next().unwrap_or_default();
        if of.is_empty() || (of != owner.name && of != owner.id) {
            continue;
        }
        let wrong = || anyhow!("Can't create ID mappings: {name}: line {} is no NAME:FIRST:COUNT", n + 1);
        let mut number = || fields.next().and_then(|field| field.trim().parse::<u32>().ok()).ok_or_else(wrong);
        let (host, size) = (number()?, number()?);
        all.push(IdRange { container, host, size });
        container = container.checked_add(size).ok_or_else(|| anyhow!("Can't create ID mappings: {name}: too many ids of {of}"))?;
    }
    Ok(all)
}

/// The first run of [`SIZE`] ids that nobody has, neither as user nor as group.
fn free(accounts: &Accounts) -> Option<u32> {
    let line = |line: &str| {
        let mut fields = line.split(':').skip(1).map(|field| field.trim().parse::<u64>().ok());
        Some((fields.next()??, fields.next()??))
    };
    let single = |line: &str| line.split(':').nth(2)?.parse::<u64>().ok().map(|id| (id, 1));
    let subordinate = accounts.subuid.lines().chain(accounts.subgid.lines()).filter_map(line);
    let mut taken: Vec<(u64, u64)> = subordinate.chain(accounts.passwd.lines().chain(accounts.group.lines()).filter_map(single)).collect();
    taken.sort_unstable();
    let mut start = u64::from(FIRST);
    for (first, size) in taken {
        if first < start + u64::from(SIZE) && start < first + size {
            start = first + size;
        }
    }
    u32::try_from(start).ok().filter(|start| start.checked_add(SIZE).is_some())
}

/// Enters ranges for [`DEFAULT_NAME`] into both files, or into none.
fn enter(etc: &Path) -> Result<()> {
    let start = free(&Accounts::read(etc)?).context("Can't create ID mappings: no subordinate ids are free")?;
    let line = format!("{DEFAULT_NAME}:{start}:{SIZE}\n");
    let undo = append(&etc.join("subuid"), &line)?;
    if let Err(error) = append(&etc.join("subgid"), &line) {
        undo().context("take a line out of /etc/subuid again")?;
        return Err(error);
    }
    tracing::info!("entered {} into /etc/subuid and /etc/subgid", line.trim());
    Ok(())
}

/// Adds a line. The answer takes it away again.
fn append(path: &Path, line: &str) -> Result<impl FnOnce() -> std::io::Result<()> + use<>> {
    let begin = || {
        let mut file = std::fs::OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let before = file.metadata()?.len();
        let text = std::fs::read(path)?;
        let newline = if text.last().is_some_and(|last| *last != b'\n') { "\n" } else { "" };
        let written = file.write_all(format!("{newline}{line}").as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            file.set_len(before)?;
            return Err(error);
        }
        Ok((file, before))
    };
    let (file, before) = begin().with_context(|| path.display().to_string())?;
    Ok(move || file.set_len(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n".into(),
            group: "root:x:0:\nann:x:1000:\nstaff:x:50:\n".into(),
            subuid: "# a comment\nann:200000:1000\n1001:300000:65536\nann:500000:10\nbad:x:y\n".into(),
            subgid: "ann:200000:65536\nstaff:400000:65536\nbob:300000:65536\n".into(),
        }
    }

    fn check(setting: &str, expect: std::result::Result<(&str, &[(u32, u32, u32)], u32), &str>) {
        match (resolve(setting, &accounts()), expect) {
            (Ok(Found::Ids(user, map)), Ok((name, uids, gid))) => {
                let found: Vec<_> = map.uids.iter().map(|r| (r.container, r.host, r.size)).collect();
                assert_eq!((user.as_str(), found.as_slice(), map.gids[0].host), (name, uids, gid), "{setting}");
            }
            (Err(error), Err(words)) => assert_eq!(format!("{error:#}"), words, "{setting}"),
            (found, expect) => panic!("{setting}: {found:?}, not {expect:?}"),
        }
    }

    #[test]
    fn settings() {
        let ann: &[_] = &[(0, 200_000, 1000), (1000, 500_000, 10)];
        check("ann", Ok(("ann", ann, 200_000)));
        check("1000", Ok(("ann", ann, 200_000)));
        check("ann:staff", Ok(("ann", ann, 400_000)));
        check("1000:50", Ok(("ann", ann, 400_000)));
        check("bob:staff", Ok(("bob", &[(0, 300_000, 65_536)], 400_000)));
        check("a:b:c", Err("Invalid user/group specification in --userns-remap: \"a:b:c\""));
        check(":x", Err("Invalid user/group specification in --userns-remap: \":x\""));
        check("nobody", Err("Error during uid lookup for \"nobody\": no such user"));
        check("77", Err("Uid 77 has no entry in /etc/passwd"));
        check("1001", Err("Gid 1001 has no entry in /etc/group"));
        check("bob", Err("Error during gid lookup for \"bob\": no such group"));
        check("ann:none", Err("Error during groupname lookup for \"none\": no such group"));
        check("ann:9", Err("Gid 9 has no entry in /etc/group"));
        assert_eq!(resolve("root", &accounts()).unwrap(), Found::Root);
        assert_eq!(resolve("0:0", &accounts()).unwrap(), Found::Root);
    }

    #[test]
    fn no_ranges_or_wrong_ones() {
        let with = |subuid: &str| resolve("ann", &Accounts { subuid: subuid.into(), ..accounts() }).unwrap_err().to_string();
        assert_eq!(with(""), "Can't create ID mappings: no subuid ranges found for user \"ann\"");
        assert_eq!(with("ann:1:x"), "Can't create ID mappings: /etc/subuid: line 1 is no NAME:FIRST:COUNT");
        assert_eq!(with("ann:1:0"), "Can't create ID mappings: uids[0]: is empty or goes beyond the largest id");
        assert_eq!(with("ann:1:9\nann:5:9"), "Can't create ID mappings: uids[1]: overlaps another range");
        assert_eq!(with("ann:1:4000000000\nann:5:4000000000"), "Can't create ID mappings: /etc/subuid: too many ids of ann");
    }

    #[test]
    fn the_default_is_entered_once_behind_what_others_have() {
        assert_eq!(resolve(DEFAULT, &accounts()).unwrap(), Found::Nothing);
        let etc = tempfile::tempdir().unwrap();
        std::fs::write(etc.path().join("subuid"), "x:90000:20000").unwrap();
        std::fs::write(etc.path().join("passwd"), "y:x:120000:120000::/:/bin/sh\n").unwrap();
        enter(etc.path()).unwrap();
        let entered = Accounts::read(etc.path()).unwrap();
        assert_eq!(entered.subuid, "x:90000:20000\ndockremap:120001:65536\n");
        assert_eq!(entered.subgid, "dockremap:120001:65536\n");
        match resolve(DEFAULT, &entered).unwrap() {
            Found::Ids(user, map) => {
                assert_eq!((user.as_str(), map.host_uid(0), map.host_gid(1)), (DEFAULT_NAME, Some(120_001), Some(120_002)))
            }
            other => panic!("{other:?}"),
        }
        // The second file cannot be written: the first is as it was.
        let etc = tempfile::tempdir().unwrap();
        std::fs::write(etc.path().join("subuid"), "x:1:2\n").unwrap();
        std::fs::create_dir(etc.path().join("subgid")).unwrap();
        assert!(append(&etc.path().join("subgid"), "x").is_err());
        let undo = append(&etc.path().join("subuid"), "y:3:4\n").unwrap();
        undo().unwrap();
        assert_eq!(std::fs::read_to_string(etc.path().join("subuid")).unwrap(), "x:1:2\n");
    }

    #[test]
    fn room_between_ranges() {
        let free_of = |subuid: &str| free(&Accounts { subuid: subuid.into(), ..Accounts::default() });
        for (taken, expect) in [
            ("", Some(100_000)),
            ("a:100000:65536", Some(165_536)),
            ("b:165536:65536\na:100000:65536", Some(231_072)),
            ("a:200000:5", Some(100_000)),
            ("a:1:200000", Some(200_001)),
            ("a:100000:4294900000", None),
        ] {
            assert_eq!(free_of(taken), expect, "{taken}");
        }
    }
}
