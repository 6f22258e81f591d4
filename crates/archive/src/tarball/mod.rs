//! Tar, both ways: a bounded streaming [`Reader`] for archives of strangers and a reproducible [`Writer`].
//!
//! The header's layout is the `tar` crate's; the loop over members is ours, since a layer needs what a general library does not give:
//! a bound on every extended header before it is read, binary extended attributes, Go's reading of odd headers (so that an archive means here
//! what it means to Docker), and the digest of the whole stream.

mod name;
mod number;
mod pax;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod writer;

pub use name::clean;
pub use reader::{Digested, Reader};
pub use writer::Writer;

/// Bytes of a tar block.
pub(crate) const BLOCK: usize = 512;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, with content.
    Regular,
    /// Another name of an earlier member, or of a file in a layer below.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// Seconds since 1970 and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999 999 999, always forward in time.
    pub nanos: u32,
}

/// One member's header, all extensions merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name as written, never with a NUL.
    pub name: Vec<u8>,
    /// Target of a link, as written.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, set-id bits and sticky bit.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content.
    pub mtime: Time,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Bytes of a regular file, holes included; 0 for everything else.
    pub size: u64,
    /// Extended attributes, in the archive's order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data of a sparse file lies (offset, length); everything else is a hole.
    pub sparse: Option<Vec<(u64, u64)>>,
}

impl Member {
    /// A member of this kind and name, owned by root, of 1970, with nothing in it.
    #[must_use]
    pub fn new(kind: Kind, name: &[u8], mode: u32) -> Self {
        Self {
            name: name.to_vec(),
            link: Vec::new(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            device: (0, 0),
            size: 0,
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    /// Its name for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}
