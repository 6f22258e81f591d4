//! Writes EROFS indexes: read-only filesystems that hold names and attributes only, and say for each file where in another file its data lies.
//!
//! A layer's tar is that other file, kept as it came: the kernel mounts index and tar together, and nothing is unpacked. Blocks are 512 bytes,
//! a tar's own. Everything here is pure: a [`Tree`] in memory goes in, bytes come out, the same tree always gives the same bytes.
//!
//! The format is described in the kernel's `Documentation/filesystems/erofs.rst`. What is written here needs Linux 6.3 (blocks smaller than a
//! page) and 5.16 (chunk-based files, extra devices); to mount it out of a file and not a block device takes 6.12.

mod directory;
mod format;
mod layout;
mod tree;
mod write;
mod xattr;

pub use format::BLOCK;
pub use tree::{Attributes, Content, Extent, File, Node, NodeId, Time, Tree};
pub use write::{Devices, write};

/// Why a tree cannot be written as an index. Another form of layer may still hold it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Attributes of one file larger than the format holds, or of a namespace that it does not know.
    #[error("extended attributes that an index cannot hold")]
    Attributes,
    /// A name is empty, longer than 255 bytes, or no name.
    #[error("the name {0:?}")]
    Name(String),
    /// A file's data is in too many pieces, or lies where no block begins.
    #[error("a file in pieces that an index cannot describe")]
    Pieces,
    /// More than 2 TB.
    #[error("larger than an index can be")]
    Size,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be.
    #[error("an index cannot hold {0}")]
    Unfit(#[from] Unfit),
    /// The writer's error.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
