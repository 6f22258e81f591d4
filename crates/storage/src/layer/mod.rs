//! A layer's archive as a tree in memory: what every form of layer is made of.
//!
//! The archive is hostile (classes 7 and 8). Nothing of its names ever reaches the kernel while it is read: members become nodes, links among
//! the parents of a name are resolved in this tree ([`walk`]), and only the finished tree, in which every name is one plain component, is
//! written down.
//!
//! What a member means follows Docker: a later member replaces an earlier one (directories merge), parents that the archive leaves out take
//! their attributes from the chain below, a hard link may name a file of a lower layer, `.wh.NAME` becomes overlay's whiteout and
//! `.wh..wh..opq` its opaque mark. A removal never touches what the same layer brings: it is about lower layers only.
//!
//! Reading needs no chain. What only the chain below can answer is kept as a question, and [`Layer::settle`] answers it when the layer is
//! given its place.

mod member;
mod settle;
mod walk;
mod whiteout;

use crate::store::{Error, Limits, Result};
use crate::tarball::{Member, Reader, Time};
use dhow_erofs::{Attributes, Content, File, Node, NodeId, Tree};
use rustix::fs::Stat;
use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;
use std::os::fd::BorrowedFd;

/// Most bytes that the tree of one layer may take: about two million nodes with ordinary names.
const MEMORY: usize = 512 << 20;
/// What a node takes beside its names and attributes.
const NODE: usize = 192;
/// A name's bytes, as on every filesystem.
const NAME_MAX: usize = 255;
/// Bytes of an extended attribute's value, as the kernel has it.
const VALUE_MAX: usize = 64 * 1024;
/// A symbolic link's bytes, as on every filesystem.
const TARGET_MAX: usize = 4095;

/// Where the content of files goes while an archive is read.
pub(crate) trait Sink {
    /// Takes the content of a regular file, at whose beginning the reader is, for a node.
    fn take(&mut self, id: NodeId, member: &Member, reader: &mut Reader<'_>) -> Result<File>;
    /// Takes a copy of a file in a layer below, attributes included.
    fn copy(&mut self, id: NodeId, dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Result<File>;
}

/// What an archive turned out to be.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) tree: Tree,
    /// Directories that the archive leaves out and that may be in the chain below, whose attributes they then have.
    implied: HashSet<NodeId>,
    /// Directories that hide the chain below.
    opaque: HashSet<NodeId>,
    /// Files of the chain below with further names here, by their true paths.
    borrowed: Vec<Borrowed>,
    limits: Limits,
    memory: usize,
    /// The parent of the member before: members of one directory mostly follow each other.
    last: Option<(Vec<Vec<u8>>, walk::Place)>,
}

/// A hard link to something that this layer does not have.
#[derive(Debug)]
struct Borrowed {
    id: NodeId,
    path: Vec<Vec<u8>>,
    /// Who asked for it, and by which name.
    entry: String,
    link: Vec<u8>,
}

impl Layer {
    /// Reads an archive to its end and tells the digest of the whole stream and its length.
    pub(crate) fn read(tar: &mut dyn BufRead, limits: Limits, sink: &mut dyn Sink) -> Result<(Self, [u8; 32], u64)> {
        let mut layer = Self::new(limits);
        let mut reader = Reader::over(tar, limits);
        while let Some(member) = reader.next()? {
            layer.member(&member, &mut reader, sink)?;
        }
        let (length, digest) = reader.finish()?;
        layer.last = None;
        Ok((layer, digest, length))
    }

    fn new(limits: Limits) -> Self {
        Self {
            tree: Tree::new(Attributes { mode: 0o755, ..Attributes::default() }),
            implied: HashSet::from([Tree::ROOT]),
            opaque: HashSet::new(),
            borrowed: Vec::new(),
            limits,
            memory: 0,
            last: None,
        }
    }

    /// Whether the root directory's attributes are the archive's own.
    #[cfg(test)]
    fn names_its_root(&self) -> bool {
        !self.implied.contains(&Tree::ROOT)
    }

    /// Bytes of files and links, each inode once, as Docker counts.
    pub(crate) fn size(&self) -> u64 {
        let mut seen = HashSet::new();
        let mut waiting = vec![Tree::ROOT];
        let mut size = 0_u64;
        while let Some(directory) = waiting.pop() {
            for &child in self.tree.entries(directory).into_iter().flat_map(BTreeMap::values) {
                if !seen.insert(child) {
                    continue;
                }
                match &self.tree.node(child).content {
                    Content::Directory(_) => waiting.push(child),
                    Content::File(file) => size = size.saturating_add(file.size),
                    Content::Symlink(target) => size += target.len() as u64,
                    _ => {}
                }
            }
        }
        size
    }

    /// A node that has no name yet.
    fn add(&mut self, attributes: Attributes, content: Content) -> Result<NodeId> {
        let xattrs: usize = attributes.xattrs.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        let link = if let Content::Symlink(target) = &content { target.len() } else { 0 };
        self.count(NODE + xattrs + link)?;
        self.tree.add(Node { attributes, content }).map_err(|_| Self::too_much())
    }

    fn name(&mut self, directory: NodeId, name: &[u8], id: NodeId) -> Result<()> {
        self.count(name.len() + 64)?;
        self.tree.link(directory, name, id);
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory > MEMORY { Err(Self::too_much()) } else { Ok(()) }
    }

    fn too_much() -> Error {
        Error::Limit { what: "bytes of names and attributes", limit: MEMORY as u64 }
    }

    fn refuse<T>(member: &Member, reason: impl Into<String>) -> Result<T> {
        Err(Error::Archive { entry: member.shown(), reason: reason.into() })
    }
}

fn time(time: Time) -> dhow_erofs::Time {
    dhow_erofs::Time { seconds: time.seconds, nanos: time.nanos }
}

fn is_whiteout(content: &Content) -> bool {
    matches!(content, Content::Char(0, 0))
}

fn directory() -> Content {
    Content::Directory(BTreeMap::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Archive;
    use crate::tarball::Kind;

    /// Content is of no interest here.
    struct Nowhere;

    impl Sink for Nowhere {
        fn take(&mut self, _: NodeId, member: &Member, _: &mut Reader<'_>) -> Result<File> {
            Ok(File { size: member.size, extents: Vec::new() })
        }
        fn copy(&mut self, _: NodeId, _: BorrowedFd<'_>, _: &[u8], _: &Stat) -> Result<File> {
            Ok(File::default())
        }
    }

    fn read(archive: Archive) -> Layer {
        Layer::read(&mut &archive.tar()[..], Limits::default(), &mut Nowhere).unwrap().0
    }

    /// Every path with a letter for what it is, `?` behind directories whose attributes the chain may have, `!` behind opaque ones.
    fn shown(layer: &Layer) -> String {
        fn walk(layer: &Layer, id: NodeId, path: &str, out: &mut Vec<String>) {
            for (name, &child) in layer.tree.entries(id).unwrap() {
                let path = format!("{path}/{}", String::from_utf8_lossy(name));
                let letter = match &layer.tree.node(child).content {
                    Content::Directory(_) => "d",
                    Content::Symlink(_) => "l",
                    Content::Char(0, 0) => "w",
                    Content::File(_) => "f",
                    _ => "n",
                };
                let marks = [(layer.implied.contains(&child), "?"), (layer.opaque.contains(&child), "!")];
                let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
                out.push(format!("{letter}{path}{marks}"));
                if letter == "d" {
                    walk(layer, child, &path, out);
                }
            }
        }
        let mut out = Vec::new();
        walk(layer, Tree::ROOT, "", &mut out);
        out.join(" ")
    }

    #[test]
    fn what_members_mean() {
        let new = Archive::new;
        for (archive, expect) in [
            (new().file("a/b", "1"), "d/a? f/a/b"),
            (new().file("a/b", "1").dir("a/", 0o700), "d/a f/a/b"),
            (new().symlink("l", "d").file("l/x", "1"), "d/d? f/d/x l/l"),
            (new().symlink("l", "/../d/.").file("l/x", "1"), "d/d? f/d/x l/l"),
            (new().file("f", "1").dir("f/", 0o755).file("f/x", "1"), "d/f f/f/x"),
            (new().dir("d/", 0o755).file("d/x", "1").file("d", "1"), "f/d"),
            (new().file("d/.wh.a", ""), "d/d? w/d/a"),
            (new().file("a", "").file(".wh.a", ""), "f/a"),
            (new().file(".wh.a", "").file("a", ""), "f/a"),
            (new().file(".wh.d", "").dir("d/", 0o755), "d/d!"),
            (new().file(".wh.d", "").file("d/x", ""), "d/d! f/d/x"),
            (new().dir("d/", 0o755).file(".wh.d", ""), "d/d!"),
            (new().file("d/.wh..wh..opq", "").file("d/.wh.x", "").file("d/y", ""), "d/d?! f/d/y"),
            (new().file("d/.wh..wh..opq", "").file("d/e/y", ""), "d/d?! d/d/e f/d/e/y"),
            (new().file(".wh..wh.plnk", ""), ""),
            (new().hard_link("b", "d/a"), "f/b d/d? f/d/a"),
        ] {
            assert_eq!(shown(&read(archive)), expect);
        }
    }

    #[test]
    fn sizes_and_the_root() {
        let layer = read(Archive::new().file("a", "12345").hard_link("b", "a").symlink("l", "etc").file("c", "1").file("c", "22"));
        assert_eq!((layer.size(), layer.names_its_root()), (5 + 3 + 2, false));
        assert!(read(Archive::new().dir("./", 0o700)).names_its_root());
    }

    #[test]
    fn names_that_no_filesystem_has() {
        let long = "n".repeat(256);
        for archive in [
            Archive::new().file(&long, ""),
            Archive::new().file(&format!("{long}/x"), ""),
            Archive::new().symlink("l", &long).file("l/x", ""),
            Archive::new().symlink("l", &"t/".repeat(2048)),
        ] {
            assert!(Layer::read(&mut &archive.tar()[..], Limits::default(), &mut Nowhere).is_err());
        }
        for (name, value) in [(vec![b'n'; 251], Vec::new()), (b"x".to_vec(), vec![0; 65_537])] {
            let mut heavy = Member::new(Kind::Directory, b"d", 0o755);
            heavy.xattrs = vec![([&b"user."[..], &name].concat(), value)];
            assert!(Layer::read(&mut &Archive::new().member(heavy, b"").tar()[..], Limits::default(), &mut Nowhere).is_err());
        }
        let mut link = Member::new(Kind::Symlink, b"l", 0o777);
        link.link = Vec::new();
        assert!(Layer::read(&mut &Archive::new().member(link, b"").tar()[..], Limits::default(), &mut Nowhere).is_err());
    }
}
