//! Namespaces by the names that a specification has for them.

use crate::error::{At, Failure, Result, Step};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const NAMES: [(u64, &str); 8] = [
    (libc::CLONE_NEWNS as u64, "mount"),
    (libc::CLONE_NEWCGROUP as u64, "cgroup"),
    (libc::CLONE_NEWUTS as u64, "uts"),
    (libc::CLONE_NEWIPC as u64, "ipc"),
    (libc::CLONE_NEWUSER as u64, "user"),
    (libc::CLONE_NEWPID as u64, "pid"),
    (libc::CLONE_NEWNET as u64, "network"),
    (crate::timens::NEWTIME, "time"),
];

/// The kinds of namespaces that a process does not share with the caller: those are entered, and the right to enter the caller's own is not
/// needed.
pub(crate) fn foreign(pid: i32) -> Result<u64> {
    let mut kinds = 0;
    for (kind, file) in FILES {
        let number = |whose: &str| match std::fs::metadata(format!("/proc/{whose}/ns/{file}")) {
            Ok(found) => Ok(Some(found.ino())),
            // A kernel without namespaces of that kind.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && whose == "self" => Ok(None),
            Err(e) => Err(Failure::io(Step::Namespaces, format!("/proc/{whose}/ns/{file}"), e)),
        };
        if let Some(own) = number("self")?
            && number(&pid.to_string())? != Some(own)
        {
            kinds |= kind;
        }
    }
    Ok(kinds)
}

const FILES: [(u64, &str); 8] = [
    (libc::CLONE_NEWNS as u64, "mnt"),
    (libc::CLONE_NEWCGROUP as u64, "cgroup"),
    (libc::CLONE_NEWUTS as u64, "uts"),
    (libc::CLONE_NEWIPC as u64, "ipc"),
    (libc::CLONE_NEWUSER as u64, "user"),
    (libc::CLONE_NEWPID as u64, "pid"),
    (libc::CLONE_NEWNET as u64, "net"),
    (crate::timens::NEWTIME, "time"),
];

fn name(kind: u64) -> &'static str {
    NAMES.iter().find(|(other, _)| *other == kind).map_or("unknown", |(_, name)| name)
}

/// Opens a namespace that a specification names by its path, which must be one of this kind (`CLONE_NEW*`). Errors name field and path.
pub(crate) fn open(kind: u64, path: &Path) -> Result<OwnedFd> {
    let field = || format!("linux.namespaces.{}", name(kind));
    let file = OwnedFd::from(File::open(path).at(Step::Namespaces, &format!("{}: {}", field(), path.display()))?);
    match dhow_sys::process::namespace_kind(&file) {
        Ok(found) if found == kind => Ok(file),
        Ok(found) => Err(Failure::invalid(field(), format!("{} is a namespace of another kind: {}", path.display(), name(found)))),
        Err(_) => Err(Failure::invalid(field(), format!("{} is no namespace", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_own_are_not_foreign() {
        assert_eq!(foreign(std::process::id() as i32).unwrap(), 0);
        assert!(foreign(-1).is_err());
    }

    #[test]
    fn only_the_right_kind() {
        let (net, uts) = (libc::CLONE_NEWNET as u64, libc::CLONE_NEWUTS as u64);
        open(net, Path::new("/proc/self/ns/net")).unwrap();
        for (kind, path, object, word) in [
            (uts, "/proc/self/ns/net", "linux.namespaces.uts", "of another kind: network"),
            (net, "/proc/self/status", "linux.namespaces.network", "is no namespace"),
            (net, "/no/such/place", "linux.namespaces.network: /no/such/place", "no such file"),
        ] {
            let failure = open(kind, Path::new(path)).unwrap_err();
            assert!(failure.object == object && failure.message.contains(word), "{failure}");
        }
    }
}
