//! Layers and writable snapshots behind the [`LayerStore`] contract. Content is keyed by diff id; chains refer to it. Nothing above
//! this crate knows which form of store is in use, and nothing here knows of images or containers.

mod changes;
pub mod conformance;
pub mod dir;
mod error;
pub mod id;
pub mod store;
mod tree;
mod unpack;

/// Writes a mounted root filesystem, which may be in use, as a tar. Devices and pipes are never opened; a walk stays within the mount that it
/// is given.
pub fn export(root: impl std::os::fd::AsFd, out: &mut dyn std::io::Write) -> store::Result<()> {
    Ok(tree::emit::live(root, out)?)
}

pub use dhow_archive::tarball;
pub use dir::DirStore;
pub use id::{ChainId, DiffId};
pub use store::{Change, ChangeKind, Error, LayerInfo, LayerStore, Limits, SnapshotKey, Usage};
