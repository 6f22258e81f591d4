//! Layers and writable snapshots behind the [`LayerStore`] contract. Content is keyed by diff id; chains refer to it. Nothing above
//! this crate knows which form of store is in use, and nothing here knows of images or containers.

mod changes;
pub mod conformance;
mod copied;
pub mod disk;
mod error;
mod form;
pub mod id;
mod layer;
pub mod store;
mod tree;

/// Writes a mounted root filesystem, which may be in use, as a tar. Devices and pipes are never opened; a walk stays within the mount that it
/// is given.
pub fn export(root: impl std::os::fd::AsFd, out: &mut dyn std::io::Write) -> store::Result<()> {
    Ok(tree::emit::live(root, out)?)
}

/// Copies what one directory holds, and its own owner, mode, attributes and times, into an empty one. What vanishes meanwhile is left out,
/// sockets are too.
pub fn copy(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd) -> store::Result<()> {
    tree::copy::tree(from, to)
}

/// Bytes of the files and links in a directory, each inode once. What vanishes meanwhile is not counted.
pub fn bytes(dir: &std::path::Path) -> store::Result<u64> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let failed = |e: rustix::io::Errno| Error::Io { op: "open", object: dir.display().to_string(), source: e.into() };
    Ok(tree::usage::of(open(dir, flags, Mode::empty()).map_err(failed)?)?.bytes)
}

pub use dhow_archive::tarball;
pub use disk::{Choice, Root, Roots, Staged, Store};
pub use form::Form;
pub use id::{ChainId, DiffId};
pub use store::{Change, ChangeKind, Error, LayerInfo, LayerStore, Limits, SnapshotKey, Usage};
