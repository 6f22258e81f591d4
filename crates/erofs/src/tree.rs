//! What is to be written: nodes, and directories that name them.

use crate::Unfit;
use std::collections::BTreeMap;

/// A node of one [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// Its number among the nodes of its tree, from 0 without gaps.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Seconds since 1970, and nanoseconds always forward in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Negative before 1970.
    pub seconds: i64,
    /// 0 to 999 999 999.
    pub nanos: u32,
}

/// What every node has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permission bits, set-id bits and sticky bit.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content.
    pub mtime: Time,
    /// Extended attributes by their whole names. They are written in this order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A piece of a file's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file it begins, a multiple of [`crate::BLOCK`].
    pub offset: u64,
    /// Bytes; of all but a file's last piece a multiple of [`crate::BLOCK`].
    pub length: u64,
    /// Which of the extra devices has it, from 0.
    pub device: u16,
    /// Where it begins there, a multiple of [`crate::BLOCK`].
    pub position: u64,
}

/// A regular file. What no extent covers reads as zeros.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct File {
    /// Bytes, holes included.
    pub size: u64,
    /// Sorted, without overlap.
    pub extents: Vec<Extent>,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Names in it.
    Directory(BTreeMap<Box<[u8]>, NodeId>),
    /// A regular file.
    File(File),
    /// A symbolic link and its target.
    Symlink(Box<[u8]>),
    /// A character device: major, minor. 0, 0 is overlayfs' whiteout.
    Char(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its attributes.
    pub attributes: Attributes,
    /// What it is.
    pub content: Content,
}

/// A tree of nodes. A node that no directory names any more is not written.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// The root directory.
    pub const ROOT: NodeId = NodeId(0);

    /// An empty root directory.
    pub fn new(root: Attributes) -> Self {
        Self { nodes: vec![Node { attributes: root, content: Content::Directory(BTreeMap::new()) }] }
    }

    /// A node that has no name yet. [`Unfit::Size`] where there are 2^32 already.
    pub fn add(&mut self, node: Node) -> Result<NodeId, Unfit> {
        let id = u32::try_from(self.nodes.len()).map_err(|_| Unfit::Size)?;
        self.nodes.push(node);
        Ok(NodeId(id))
    }

    /// One node. The id must be this tree's own.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// One node, to change it.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }

    /// What a directory holds; `None` for everything else.
    pub fn entries(&self, id: NodeId) -> Option<&BTreeMap<Box<[u8]>, NodeId>> {
        match &self.node(id).content {
            Content::Directory(entries) => Some(entries),
            _ => None,
        }
    }

    /// What a directory calls `name`.
    pub fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        self.entries(directory)?.get(name).copied()
    }

    /// Names a node, in place of what had the name. Nothing happens where `directory` is none. Directories have one name each.
    pub fn link(&mut self, directory: NodeId, name: &[u8], node: NodeId) {
        if let Content::Directory(entries) = &mut self.node_mut(directory).content {
            entries.insert(name.into(), node);
        }
    }

    /// Takes a name away and tells whose it was.
    pub fn unlink(&mut self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        match &mut self.node_mut(directory).content {
            Content::Directory(entries) => entries.remove(name),
            _ => None,
        }
    }

    /// Nodes that there are, with those that no directory names.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }
}
