//! The per-container process, the spawner that makes it, and the daemon's handle to both.
//!
//! The spawner and the shim are single-threaded and have no async runtime; [`handle`] is the daemon's side and runs on tokio. The
//! program whose `argv[0]` is [`spawner::NAME`] calls [`spawner::main`] before anything else.

pub mod config;
mod descriptors;
mod detach;
mod document;
mod files;
mod foreign;
mod frame;
pub mod handle;
pub mod head;
pub mod health;
mod log;
pub mod packed;
mod process;
pub mod protocol;
pub mod spawner;

pub use config::ShimConfig;
pub use descriptors::raise as raise_descriptors;
