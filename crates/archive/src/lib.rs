//! Trees of files by descriptor, and tar, both ways. Nothing here joins a path to a string and hands it to the kernel; archives and trees
//! are a stranger's. Nothing here knows of layers, containers or an API.

pub mod compress;
pub mod emit;
pub mod error;
pub mod extract;
pub mod path;
pub mod root;
pub mod tarball;
pub mod tree;

pub use error::{Context, Error, Limits, Result};
pub use extract::{Extract, Owner};
pub use root::{PathStat, Root};
