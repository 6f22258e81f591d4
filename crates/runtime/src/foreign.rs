//! A bind from another container: its mounts are in a namespace of their own, which the kernel clones from only while one is in it.

use crate::error::{At, Result, Step};
use crate::path::{self, Links};
use dhow_sys::{mount, process};
use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

const NEWNS: u64 = libc::CLONE_NEWNS as u64;

/// A place in another container: `/proc/PID/root/PATH`, as its process and the path inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    pid: i32,
    inside: PathBuf,
}

impl Foreign {
    /// Reads a bind's source; `None` where it is a place of this machine like any other.
    pub(crate) fn of(source: &Path) -> Option<Self> {
        let mut parts = source.components();
        if parts.next() != Some(Component::RootDir) {
            return None;
        }
        let mut name = || match parts.next() {
            Some(Component::Normal(name)) => name.to_str(),
            _ => None,
        };
        let (proc, pid, root) = (name()?, name()?, name()?);
        let pid = pid.bytes().all(|b| b.is_ascii_digit()).then(|| pid.parse().ok()).flatten().filter(|pid| *pid > 0)?;
        (proc == "proc" && root == "root").then(|| Self { pid, inside: Path::new("/").join(parts.as_path()) })
    }

    /// Clones the tree there, detached. The caller has one thread and leave to enter the other mount namespace, and is back in its own,
    /// at its root, when this returns. Links are followed within the other container only.
    pub(crate) fn clone_tree(&self, recursive: bool) -> Result<OwnedFd> {
        let own = namespace(Path::new("/proc/thread-self/ns/mnt"))?;
        let other = PathBuf::from(format!("/proc/{}/ns/mnt", self.pid));
        let theirs = namespace(&other)?;
        process::setns(&theirs, NEWNS).at_path(Step::Mount, &other)?;
        let tree = self.clone_here(recursive);
        // Whatever came of it, nobody goes on in there.
        process::setns(&own, NEWNS).at(Step::Mount, "the own mount namespace")?;
        tree
    }

    /// The other namespace's root is ours now.
    fn clone_here(&self, recursive: bool) -> Result<OwnedFd> {
        let root = mount::open_path(Path::new("/")).at_path(Step::Mount, &self.inside)?;
        let place = path::place(root.as_fd(), &self.inside, Links::Follow).at_path(Step::Mount, &self.inside)?;
        mount::clone_tree(&place, Path::new(""), recursive).at_path(Step::Mount, &self.inside)
    }
}

fn namespace(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at_path(Step::Mount, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_root_of_a_process_is_foreign() {
        let check = |source: &str, expect: Option<(i32, &str)>| {
            let expect = expect.map(|(pid, inside)| Foreign { pid, inside: inside.into() });
            assert_eq!(Foreign::of(Path::new(source)), expect, "{source}");
        };
        check("/proc/12/root/dev/shm", Some((12, "/dev/shm")));
        check("/proc/12/root", Some((12, "/")));
        check("/proc/self/root/x", None);
        check("/proc/0/root/x", None);
        check("/proc/-1/root/x", None);
        check("/proc/12/cwd/x", None);
        check("/srv/12/root/x", None);
        check("/proc/../12/root/x", None);
    }
}
