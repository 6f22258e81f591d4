//! A mount namespace that is joined by path. The container's root is put over that namespace's own, where nobody who is in there sees it, and
//! entered by chroot: pivot_root would take the others' root away. The root stays in that namespace for as long as it lives.

use crate::error::{At, Failure, Kind, Result, Step};
use crate::procfs::Procfs;
use dhow_sys::process;
use std::os::fd::OwnedFd;

/// `CLONE_NEWNS`.
pub(crate) const NEWNS: u64 = libc::CLONE_NEWNS as u64;

/// Joins it (unless that was done before), and makes sure that what is mounted there stays there.
pub(crate) fn enter(namespace: Option<&OwnedFd>) -> Result<()> {
    // Made before, since the other namespace need not have one.
    let procfs = Procfs::detached()?;
    if let Some(namespace) = namespace {
        process::setns(namespace, NEWNS).at(Step::Namespaces, "linux.namespaces.mount")?;
    }
    let mounts = procfs.read(Step::Namespaces, &format!("{}/mountinfo", std::process::id()))?;
    if root_is_shared(&mounts) {
        let why = "its root is shared with other mount namespaces, where the container's would appear, too";
        return Err(Failure::new(Step::Namespaces, "linux.namespaces.mount", Kind::Invalid, why));
    }
    Ok(())
}

/// Of several mounts on the root the last counts: it is on top.
fn root_is_shared(mountinfo: &str) -> bool {
    let root = mountinfo.lines().rev().find(|line| line.split(' ').nth(4) == Some("/"));
    root.is_some_and(|line| line.split(' ').skip(6).take_while(|word| *word != "-").any(|word| word.starts_with("shared:")))
}

#[cfg(test)]
mod tests {
    use super::root_is_shared;

    #[test]
    fn roots() {
        for (text, expect) in [
            ("22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw", true),
            ("22 1 8:1 / / rw master:1 - ext4 /dev/sda1 rw", false),
            ("22 1 8:1 / / rw - ext4 shared:1 rw\n23 22 0:5 / /proc rw shared:5 - proc proc rw", false),
            ("22 1 8:1 / / rw - ext4 a rw\n23 22 0:5 / / rw shared:5 - tmpfs b rw", true),
            ("", false),
        ] {
            assert_eq!(root_is_shared(text), expect, "{text}");
        }
    }
}
