//! Layers and writable snapshots behind the [`LayerStore`] contract. Content is keyed by diff id; chains refer to it. Nothing above
//! this crate knows which form of store is in use, and nothing here knows of images or containers.

pub mod dir;
pub mod id;
pub mod store;

pub use id::{ChainId, DiffId};
pub use store::{Change, ChangeKind, Error, LayerInfo, LayerStore, Limits, SnapshotKey, Usage};
