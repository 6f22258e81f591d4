//! Images: configurations, the content store, names, archives in and out. Layers are storage's.
//!
//! ```text
//! ROOT/images.db          images, their blobs, their names (SQLite)
//! ROOT/blobs/sha256/HEX   content as it came: configurations, manifests, layers (compressed or not)
//! ROOT/ingest/HEX         content on its way in, to be continued
//! ROOT/tmp/               half-received content, emptied at open
//! ```
//!
//! An image is there when its row is committed, never before: blobs and layers come first, synced, the row last. What a crash leaves
//! without a row is removed at the next open.

mod archive;
mod arrive;
mod blobs;
mod commit;
mod db;
mod document;
mod early;
mod embedded;
mod error;
mod held;
mod hello;
mod incoming;
mod index;
mod ingest;
mod install;
mod lasting;
mod model;
mod parallel;
mod platforms;
mod policy;
mod prune;
mod push;
mod record;
mod remove;
mod save;
mod store;
mod usage;

pub use arrive::{Arrival, Bring};
pub use commit::CommitConfig;
pub use document::{Descriptor, OutgoingManifest, PlatformEntry};
pub use error::{Error, Result};
pub use held::{Held, HeldContent, HeldEntry};
pub use ingest::{Arrived, Ingest};
pub use model::{Image, ImportConfig, LoadStep, Loaded, Platform, Removed, User};
pub use parallel::Hand;
pub use policy::Compressed;
pub use push::{Outgoing, OutgoingLayer, Packed};
pub use store::Images;
pub use usage::DiskUsage;
