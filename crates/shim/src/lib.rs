//! The per-container process, the spawner that makes it, and the daemon's handle to both.
//!
//! The spawner and the shim are single-threaded and have no async runtime; [`handle`] is the daemon's side and runs on tokio.

pub mod config;
pub mod handle;
pub mod protocol;

pub use config::ShimConfig;
