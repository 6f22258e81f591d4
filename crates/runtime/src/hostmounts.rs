//! A container without a mount namespace of its own: its mounts are the caller's.
//!
//! Its root is bound onto its own directory, as one mount that hears of nothing and of which nobody hears, with all of its other mounts
//! below it; the program gets there by chroot. Nothing else of the caller's mounts is touched, neither their root nor their propagation. What
//! was mounted is there until whoever keeps the container takes it off: one unmount takes it all.

use crate::error::{At, Failure, Kind, Result, Step};
use crate::manner::Root;
use crate::validate::Plan;
use dhow_sys::mount;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Where the root of such a container is put; `None` for all others.
pub(crate) fn place<'r>(plan: &Plan, root: &'r Root) -> Result<Option<&'r Path>> {
    match root {
        _ if !plan.shares_mounts => Ok(None),
        Root::Dir(path) => Ok(Some(path)),
        Root::Overlay(_) | Root::Mapped(_) | Root::Mounted(_) => {
            Err(Failure::invalid("linux.namespaces", "a root that nobody else may see needs a mount namespace of the container's own"))
        }
    }
}

/// What tells the mount of this descriptor from all others: for good on Linux 6.8, before that as long as it is there.
pub(crate) fn id(root: impl AsFd) -> Result<u64> {
    mount::unique_id(&root).or_else(|_| mount::mount_id(&root)).at(Step::Root, "the root's mount")
}

/// The root of such a container, known by its place and by [`crate::Created::shared_root`]; `None` where it is mounted no more.
pub fn find(place: &Path, wanted: u64) -> Result<Option<OwnedFd>> {
    match mount::open_path(place) {
        Ok(root) => Ok((id(&root)? == wanted).then_some(root)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::io(Step::Root, place.to_string_lossy(), e)),
    }
}

/// Takes the root and all that is mounted below it off. What is not mounted any more is fine.
pub fn take_off(root: &OwnedFd) -> Result<()> {
    let name = format!("/proc/self/fd/{}", root.as_raw_fd());
    match rustix::mount::unmount(name, rustix::mount::UnmountFlags::DETACH) {
        // It was never put anywhere, or somebody else has taken it off.
        Err(rustix::io::Errno::INVAL) => Ok(()),
        other => other.at(Step::Root, "take off the root"),
    }
}

/// After a failure: the first one is what counts.
pub(crate) fn undo(root: Option<OwnedFd>, failure: Failure) -> Failure {
    match root.as_ref().map_or(Ok(()), take_off) {
        Ok(()) => failure,
        Err(also) => Failure { message: format!("{}; and {also}", failure.message), ..failure },
    }
}

/// In a later process of such a container, which has come to the caller's root.
pub(crate) fn enter(root: &OwnedFd) -> Result<()> {
    mount::change_root(root).map_err(|e| Failure { kind: Kind::Other, ..Failure::io(Step::Root, "chroot", e) })
}
