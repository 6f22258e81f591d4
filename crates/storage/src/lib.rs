//! Layers and writable snapshots behind the [`LayerStore`] contract. Content is keyed by diff id; chains refer to it. Nothing above
//! this crate knows which form of store is in use, and nothing here knows of images or containers.

mod changes;
pub mod conformance;
pub mod dir;
pub mod id;
pub mod store;
pub mod tarball;
mod tree;
mod unpack;

pub use dir::DirStore;
pub use id::{ChainId, DiffId};
pub use store::{Change, ChangeKind, Error, LayerInfo, LayerStore, Limits, SnapshotKey, Usage};
