//! Where everything goes: inodes first, each with what lies behind it, then the blocks of directories and long links.

use crate::Unfit;
use crate::directory::Listing;
use crate::format::{BLOCK, BLOCK_BITS, CHUNK, CHUNK_BITS_MAX, Data, INODE, SLOT, inodes_at};
use crate::tree::{Content, File, NodeId, Tree};
use crate::xattr;
use std::collections::VecDeque;

/// Most chunks of all files that have more than one, each with 8 bytes of the index.
const CHUNKS_MAX: u64 = 1 << 20;

const PAGE: u64 = 4096;

/// One node's place.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) id: NodeId,
    /// The directory that it was first found in.
    pub(crate) parent: NodeId,
    /// Names that it has; of a directory, with those in it.
    pub(crate) links: u32,
    /// Bytes of content that the index itself holds, or of a file's.
    pub(crate) size: u64,
    pub(crate) xattrs: Vec<u8>,
    /// Where the inode begins, in bytes.
    pub(crate) at: u64,
    pub(crate) data: Data,
}

/// All places, in the order in which they are written.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) places: Vec<Place>,
    /// By node: its index in `places`.
    order: Vec<Option<u32>>,
    /// Bytes of the whole index, a multiple of a page.
    pub(crate) end: u64,
}

impl Layout {
    /// `devices` tells the blocks of each.
    pub(crate) fn new(tree: &Tree, devices: &[u32]) -> Result<Self, Unfit> {
        let mut layout = Self { places: Vec::new(), order: vec![None; tree.count()], end: inodes_at(devices.len()) };
        layout.find(tree)?;
        let mut chunks = 0;
        for n in 0..layout.places.len() {
            layout.inode(tree, n, devices, &mut chunks)?;
        }
        layout.blocks()?;
        Ok(layout)
    }

    /// The number by which directories know a node.
    pub(crate) fn number(&self, id: NodeId) -> u64 {
        self.place(id).map_or(0, |place| place.at / SLOT)
    }

    fn place(&self, id: NodeId) -> Option<&Place> {
        self.places.get(self.order.get(id.index()).copied().flatten()? as usize)
    }

    /// Every node that has a name, a directory's children together.
    fn find(&mut self, tree: &Tree) -> Result<(), Unfit> {
        let mut waiting = VecDeque::from([Tree::ROOT]);
        self.see(tree, Tree::ROOT, Tree::ROOT)?;
        while let Some(directory) = waiting.pop_front() {
            for &child in tree.entries(directory).into_iter().flat_map(|entries| entries.values()) {
                let is_directory = tree.entries(child).is_some();
                if self.see(tree, child, directory)? && is_directory {
                    waiting.push_back(child);
                    self.count(directory);
                }
            }
        }
        Ok(())
    }

    /// True where it was not known yet.
    fn see(&mut self, tree: &Tree, id: NodeId, parent: NodeId) -> Result<bool, Unfit> {
        let Some(slot) = self.order.get_mut(id.index()) else { return Err(Unfit::Size) };
        if slot.is_some() {
            self.count(id);
            return Ok(false);
        }
        *slot = Some(u32::try_from(self.places.len()).map_err(|_| Unfit::Size)?);
        let node = tree.node(id);
        let (links, size) = match &node.content {
            Content::Directory(_) => (2, Listing::new(tree, id)?.size()),
            Content::File(file) => (1, file.size),
            Content::Symlink(target) => (1, target.len() as u64),
            Content::Char(..) | Content::Block(..) | Content::Fifo => (1, 0),
        };
        let xattrs = xattr::encode(&node.attributes.xattrs)?;
        self.places.push(Place { id, parent, links, size, xattrs, at: 0, data: Data::Number(0) });
        Ok(true)
    }

    fn count(&mut self, id: NodeId) {
        if let Some(n) = self.order.get(id.index()).copied().flatten()
            && let Some(place) = self.places.get_mut(n as usize)
        {
            place.links = place.links.saturating_add(1);
        }
    }

    /// Gives a node's inode its place, and what lies right behind it.
    fn inode(&mut self, tree: &Tree, n: usize, devices: &[u32], chunks: &mut u64) -> Result<(), Unfit> {
        let place = &mut self.places[n];
        let fixed = INODE + place.xattrs.len() as u64;
        let start = whole(self.end.next_multiple_of(SLOT), INODE);
        (place.at, place.data) = (start, Data::Number(0));
        self.end = start + fixed;
        match &tree.node(place.id).content {
            Content::Directory(_) | Content::Symlink(_) => {
                let tail = place.size % BLOCK;
                let fitting = (0..BLOCK / SLOT)
                    .map(|n| start + n * SLOT)
                    .find(|at| at % BLOCK <= BLOCK - INODE && whole(at + fixed, tail) == at + fixed);
                match fitting.filter(|_| tail > 0) {
                    Some(at) => {
                        (place.at, place.data) = (at, Data::Inline { block: 0 });
                        self.end = at + fixed + tail;
                    }
                    None => place.data = Data::Plain { block: 0 },
                }
            }
            Content::File(file) if file.size > 0 => {
                let bits = chunk_bits(file, devices)?;
                let count = file.size.div_ceil(BLOCK << bits);
                if count > 1 {
                    *chunks += count;
                }
                if *chunks > CHUNKS_MAX {
                    return Err(Unfit::Pieces);
                }
                place.data = Data::Chunks { bits: bits as u16 };
                self.end = self.end.next_multiple_of(CHUNK) + count * CHUNK;
            }
            Content::File(_) => place.data = Data::Plain { block: 0 },
            Content::Char(major, minor) | Content::Block(major, minor) => place.data = Data::Number(crate::format::device(*major, *minor)),
            Content::Fifo => {}
        }
        Ok(())
    }

    /// Blocks of content that did not go behind its inode.
    fn blocks(&mut self) -> Result<(), Unfit> {
        self.end = self.end.next_multiple_of(BLOCK);
        for place in &mut self.places {
            let (block, size) = match &mut place.data {
                Data::Plain { block } => (block, place.size.next_multiple_of(BLOCK)),
                Data::Inline { block } => (block, place.size - place.size % BLOCK),
                _ => continue,
            };
            *block = u32::try_from(self.end >> BLOCK_BITS).map_err(|_| Unfit::Size)?;
            self.end += size;
        }
        // Readers look at the superblock by the page.
        self.end = self.end.next_multiple_of(PAGE);
        if self.end >> BLOCK_BITS >= u64::from(u32::MAX) { Err(Unfit::Size) } else { Ok(()) }
    }
}

/// The first place from `at` on where so many bytes stay within one block.
fn whole(at: u64, bytes: u64) -> u64 {
    if at % BLOCK + bytes > BLOCK { at.next_multiple_of(BLOCK) } else { at }
}

/// The largest chunks, in powers of two of blocks, whose borders are where the pieces of a file have theirs.
fn chunk_bits(file: &File, devices: &[u32]) -> Result<u32, Unfit> {
    let needed = file.size.div_ceil(BLOCK).next_power_of_two().trailing_zeros();
    let mut borders = 0;
    let mut end = 0;
    for extent in &file.extents {
        let last = extent.offset.checked_add(extent.length).ok_or(Unfit::Pieces)?;
        let blocks = devices.get(usize::from(extent.device)).copied().unwrap_or(0);
        let there = extent.position.checked_add(extent.length).is_some_and(|end| end <= u64::from(blocks) << BLOCK_BITS);
        if !there || extent.offset < end || extent.length == 0 || extent.position % BLOCK != 0 || last > file.size {
            return Err(Unfit::Pieces);
        }
        borders |= extent.offset | if last == file.size { 0 } else { last };
        end = last;
    }
    // A hole at the end begins at a border too.
    if borders % BLOCK != 0 {
        return Err(Unfit::Pieces);
    }
    Ok((borders >> BLOCK_BITS).trailing_zeros().min(needed).min(CHUNK_BITS_MAX))
}
