//! Docker's Engine API as both ends see it: JSON types, versions, stream framing, errors, and the pure parsers that the command line and
//! the daemon share. It uses nothing of ours but image references, and does no I/O outside of the client.

pub mod client;
pub mod duration;
pub mod error;
pub mod filters;
pub mod mount;
pub mod query;
pub mod size;
pub mod stream;
pub mod time;
pub mod types;
pub mod version;

pub use error::ApiError;
pub use filters::Filters;
pub use query::Query;
pub use version::ApiVersion;
