//! What a container, an image and a sandbox are, their states and legal moves, events, exec. A library: it never prints, never reads the
//! environment, and knows nothing of HTTP or of namespaces. It runs on the caller's tokio runtime.

mod accounts;
mod adopt;
mod ahead;
mod apart;
mod attach;
mod burials;
mod cdi;
pub mod client;
mod clock;
mod commit;
pub mod container;
mod create;
mod devices;
pub mod engine;
pub mod error;
pub mod events;
mod exec;
mod execs;
mod export;
mod failure;
mod files;
pub mod firewall;
mod health;
mod host;
mod ids;
mod images;
mod init;
mod lasting;
mod links;
mod login;
pub mod logs;
mod lull;
pub mod model;
mod names;
pub mod network;
mod networks;
mod options;
mod parts;
mod paths;
pub mod policy;
mod prune;
pub mod pull;
pub mod push;
mod registry;
mod reload;
pub mod remote;
mod restart;
mod roots;
mod sandbox;
mod signal;
mod spare;
mod spec;
pub mod stats;
mod store;
mod tasks;
pub mod top;
mod turn;
mod userns;
mod volumes;

// What an image is, for front ends: they reach the image store only through the engine.
pub use commit::CommitRequest;
pub use create::log::check as check_log;
pub use dhow_archive::{PathStat, path};
pub use dhow_image::{Descriptor, DiskUsage, Held, HeldEntry, Image, ImportConfig, LoadStep, Loaded, Platform, PlatformEntry, Removed};
pub use dhow_runtime::idmap::{IdMap, Range as IdRange};
pub use dhow_shim::config::Foreign;
pub use dhow_storage::{Change, ChangeKind};

/// How layers of images are kept.
pub mod layers {
    pub use crate::options::Layers;
    pub use dhow_image::Compressed;
    pub use dhow_storage::{Choice, Form, Root, Roots};
}
pub use engine::Engine;
pub use error::{Error, Kind};
pub use files::ArchiveWrite;
pub use options::{Live, Options};

/// How registries are reached, and who asks them: for front ends, which reach them only through the engine.
pub mod registries {
    pub use dhow_registry::protocol::{Descriptor, Platform};
    pub use dhow_registry::{Credentials, Found, Proxies, Search, Settings};
}
