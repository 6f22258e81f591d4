//! What a container, an image and a sandbox are, their states and legal moves, events, exec. A library: it never prints, never reads the
//! environment, and knows nothing of HTTP or of namespaces. It runs on the caller's tokio runtime.

pub mod engine;
pub mod error;
pub mod events;
pub mod model;

pub use engine::{Engine, Options};
pub use error::{Error, Kind};
