//! A layer's archive made into a directory tree.
//!
//! The archive is hostile (classes 7 and 8). The tree under construction is private to this thread: no container sees it, so the only enemy
//! is the archive itself, which may place links to lead later members astray. Therefore every parent directory is reached component by
//! component from the tree's own root ([`place`]), links among them are resolved *inside* that root, and the last step is always an `*at`
//! call on the parent's descriptor that does not follow a link.
//!
//! What a member means follows Docker: a later member replaces an earlier one (directories merge), parents that the archive leaves out take
//! their attributes from the chain below, a hard link may name a file of a lower layer, `.wh.NAME` becomes overlay's whiteout and
//! `.wh..wh..opq` its opaque mark. A removal never touches what the same layer brings: it is about lower layers only.

mod entry;
mod node;
mod place;
mod whiteout;

use crate::store::{Error, Limits, Result};
use crate::tarball::{Member, Reader, Time};
use crate::tree::merged::Merged;
use crate::tree::{Context, mtime, timestamps, usage};
use rustix::fs;
use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::OwnedFd;

/// Most bytes of directory names remembered until the end, where directories get their times.
const REMEMBERED: usize = 64 << 20;

/// What an archive turned out to be.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// Digest of the whole stream.
    pub(crate) digest: [u8; 32],
    /// Bytes of files and links, each inode once.
    pub(crate) size: u64,
}

/// Unpacks `tar` into the empty directory `root`, over the chain `lower`.
pub(crate) fn unpack(tar: &mut dyn Read, root: OwnedFd, lower: Merged, limits: Limits) -> Result<Unpacked> {
    let mut unpack = Unpack::new(root, lower, limits)?;
    let mut reader = Reader::new(tar, limits);
    while let Some(member) = reader.next()? {
        unpack.member(&member, &mut reader)?;
    }
    let (_, digest) = reader.finish()?;
    unpack.finish()?;
    Ok(Unpacked { digest, size: unpack.size })
}

struct Unpack {
    root: OwnedFd,
    lower: Merged,
    limits: Limits,
    size: u64,
    /// Something was replaced whose size is not known cheaply: the sum is made anew at the end.
    recount: bool,
    /// Directories with the time that they get at the end, since making their children changes it.
    times: Vec<(Vec<u8>, Time)>,
    remembered: usize,
    /// Directories of this layer that hide the chain below. The empty path is the root.
    opaque: BTreeSet<Vec<u8>>,
    /// The parent of the member before: members of one directory mostly follow each other.
    last: Option<(Vec<Vec<u8>>, place::Place)>,
}

impl Unpack {
    fn new(root: OwnedFd, lower: Merged, limits: Limits) -> Result<Self> {
        let mut unpack =
            Self { root, lower, limits, size: 0, times: Vec::new(), remembered: 0, opaque: BTreeSet::new(), recount: false, last: None };
        unpack.root_attributes()?;
        Ok(unpack)
    }

    /// The root starts with the attributes that it has below.
    fn root_attributes(&mut self) -> Result<()> {
        match self.lower.top() {
            Some(below) => {
                node::inherit(below, &self.root, b"/")?;
                let time = mtime(&fs::fstat(below).on("stat", b"/")?);
                self.remember(Vec::new(), time)
            }
            None => {
                node::own(&self.root, 0, 0, 0o755, b"/")?;
                self.remember(Vec::new(), Time::default())
            }
        }
    }

    fn remember(&mut self, path: Vec<u8>, time: Time) -> Result<()> {
        self.remembered += path.len() + 64;
        if self.remembered > REMEMBERED {
            return Err(Error::Limit { what: "bytes of directory names", limit: REMEMBERED as u64 });
        }
        self.times.push((path, time));
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.last = None;
        if self.recount {
            self.size = usage::of(&self.root)?.bytes;
        }
        if self.opaque.contains(&b""[..]) {
            self.hide_lower_root()?;
        }
        for (path, time) in std::mem::take(&mut self.times) {
            // A directory may have been replaced since.
            if let Some(dir) = self.reopen(&path)? {
                fs::futimens(&dir, &timestamps(time)).on("set times of", &path)?;
            }
        }
        Ok(())
    }

    fn refuse<T>(member: &Member, reason: impl Into<String>) -> Result<T> {
        Err(Error::Archive { entry: member.shown(), reason: reason.into() })
    }
}
