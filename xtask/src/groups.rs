//! Control groups that suites of tests leave behind: what has come since they began and bears one of their names is taken away.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where hierarchies are mounted.
const MOUNT: &str = "/sys/fs/cgroup";
/// Groups that the suites name themselves; all others of theirs are named after containers, whose ids are UUIDs.
const NAMES: [&str; 2] = ["runtime-test", "testdir"];
/// Below which groups they are, beside a hierarchy's root and the caller's own group.
const PARENTS: [&str; 1] = ["dhow-runtime"];

/// Groups of such names that are there.
#[derive(Debug)]
pub(crate) struct Groups(BTreeSet<PathBuf>);

impl Groups {
    /// As it is now.
    pub(crate) fn now() -> Result<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").context("read the own groups")?;
        let mut found = BTreeSet::new();
        for parent in parents(&own, &children(Path::new(MOUNT))?) {
            found.extend(children(&parent)?.into_iter().filter(|dir| of_suite(dir)));
        }
        Ok(Self(found))
    }

    /// Takes away what has come since. A group with processes stays, and is told.
    pub(crate) fn clear(&self) -> Result<()> {
        for group in Self::now()?.0.difference(&self.0) {
            if let Err(error) = remove(group) {
                println!("left behind: {}: {error:#}", group.display());
            }
        }
        Ok(())
    }
}

/// The roots of all hierarchies and the caller's own groups in them, with what is looked into below them.
fn parents(own: &str, hierarchies: &[PathBuf]) -> BTreeSet<PathBuf> {
    let roots = hierarchies.iter().map(PathBuf::as_path).chain([Path::new(MOUNT)]);
    let groups: BTreeSet<&str> =
        own.lines().filter_map(|line| line.splitn(3, ':').nth(2)).map(|path| path.trim_start_matches('/')).collect();
    let below = |root: &Path| groups.iter().copied().chain(PARENTS).map(|group| root.join(group)).collect::<Vec<_>>();
    roots.flat_map(below).collect()
}

fn of_suite(dir: &Path) -> bool {
    dir.file_name().and_then(|name| name.to_str()).is_some_and(|name| NAMES.contains(&name) || is_uuid(name))
}

fn is_uuid(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The directories in one that need not be there.
fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.with_context(|| format!("list {}", dir.display()))?,
    };
    let entries = entries.collect::<std::io::Result<Vec<_>>>().with_context(|| format!("list {}", dir.display()))?;
    Ok(entries.iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(std::fs::DirEntry::path).collect())
}

fn remove(group: &Path) -> Result<()> {
    children(group)?.iter().try_for_each(|child| remove(child))?;
    std::fs::remove_dir(group).with_context(|| format!("remove {}", group.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_groups_are_theirs() {
        for (name, expect) in [
            ("0e8da9c1-c8cf-066c-3ca4-bb9d1dd5eaaf", true),
            ("testdir", true),
            ("runtime-test", true),
            ("0e8da9c1-c8cf-066c-3ca4-bb9d1dd5eaag", false),
            ("0e8da9c1-c8cf-066c-3ca4", false),
            ("docker", false),
        ] {
            assert_eq!(of_suite(&Path::new(MOUNT).join(name)), expect, "{name}");
        }
    }

    #[test]
    fn where_they_are_looked_for() {
        let found = parents("4:memory:/a/b\n1:name=systemd:/\n0::/\n", &[PathBuf::from("/sys/fs/cgroup/memory")]);
        let expect = ["", "/a/b", "/dhow-runtime", "/memory", "/memory/a/b", "/memory/dhow-runtime"];
        assert_eq!(found, expect.iter().map(|end| PathBuf::from(format!("{MOUNT}{end}"))).collect());
    }
}
