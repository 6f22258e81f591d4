//! Docker's Engine API as both ends see it: JSON types, versions, stream framing, errors, and the pure parsers that the command line and
//! the daemon share. It uses nothing of ours but image references, and does no I/O outside of the client.

pub mod types;
pub mod client;
