//! A tree as the bytes of its index.

use crate::directory::Listing;
use crate::format::{self, BLOCK, BLOCK_BITS, CHUNK, Data, Inode};
use crate::layout::{Layout, Place};
use crate::tree::{Content, File, Tree};
use crate::{Error, Unfit};
use std::io::Write;

/// Bytes of each extra device, in the order in which extents count them. At a mount they are given in the same order.
pub type Devices<'a> = &'a [u64];

/// Writes the index of `tree`, under an id by which the mounted filesystem is known, and tells how many bytes it has. Nothing is written where the tree does not fit the format.
pub fn write(tree: &Tree, devices: Devices<'_>, id: &[u8; 16], out: &mut dyn Write) -> Result<u64, Error> {
    let blocks =
        devices.iter().map(|bytes| u32::try_from(bytes.div_ceil(BLOCK)).map_err(|_| Unfit::Size)).collect::<Result<Vec<_>, _>>()?;
    let layout = Layout::new(tree, &blocks)?;
    let index = u32::try_from(layout.end >> BLOCK_BITS).map_err(|_| Unfit::Size)?;
    let root = u16::try_from(layout.number(Tree::ROOT)).map_err(|_| Unfit::Size)?;
    let mut writer = Writer { tree, layout: &layout, out, at: 0 };
    writer.put(&format::head(root, layout.places.len() as u64, index, &blocks, id))?;
    for (n, place) in layout.places.iter().enumerate() {
        writer.inode(n, place)?;
    }
    for place in &layout.places {
        writer.blocks(place)?;
    }
    writer.fill(layout.end)?;
    Ok(layout.end)
}

struct Writer<'a> {
    tree: &'a Tree,
    layout: &'a Layout,
    out: &'a mut dyn Write,
    at: u64,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Zeros up to a place.
    fn fill(&mut self, to: u64) -> Result<(), Error> {
        const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
        while self.at < to {
            let count = usize::try_from(to - self.at).unwrap_or(usize::MAX).min(ZEROS.len());
            self.put(&ZEROS[..count])?;
        }
        Ok(())
    }

    fn inode(&mut self, n: usize, place: &Place) -> Result<(), Error> {
        let node = self.tree.node(place.id);
        let attributes = &node.attributes;
        self.fill(place.at)?;
        let inode = Inode {
            data: place.data,
            xattrs: place.xattrs.len(),
            mode: type_bits(&node.content) | (attributes.mode & 0o7777),
            size: place.size,
            number: n as u32 + 1,
            uid: attributes.uid,
            gid: attributes.gid,
            seconds: attributes.mtime.seconds,
            nanos: attributes.mtime.nanos,
            links: place.links,
        };
        self.put(&inode.bytes())?;
        self.put(&place.xattrs)?;
        match (place.data, &node.content) {
            (Data::Inline { .. }, _) => {
                let content = self.content(place)?;
                let tail = content.len() - content.len() % BLOCK as usize;
                self.put(content.get(tail..).unwrap_or_default())
            }
            (Data::Chunks { bits }, Content::File(file)) => self.chunks(file, u32::from(bits)),
            _ => Ok(()),
        }
    }

    /// The part of a node's content that does not lie behind its inode.
    fn blocks(&mut self, place: &Place) -> Result<(), Error> {
        let (block, end) = match place.data {
            Data::Plain { block } if place.size > 0 => (block, place.size),
            Data::Inline { block } if place.size >= BLOCK => (block, place.size - place.size % BLOCK),
            _ => return Ok(()),
        };
        self.fill(u64::from(block) << BLOCK_BITS)?;
        let content = self.content(place)?;
        self.put(content.get(..usize::try_from(end).unwrap_or(usize::MAX)).unwrap_or(&content))
    }

    /// Of a directory or a symbolic link.
    fn content(&self, place: &Place) -> Result<Vec<u8>, Error> {
        match &self.tree.node(place.id).content {
            Content::Symlink(target) => Ok(target.to_vec()),
            _ => {
                let number = |id| self.layout.number(id);
                let listing = Listing::new(self.tree, place.id)?;
                Ok(listing.bytes(self.tree, number(place.id), number(place.parent), number))
            }
        }
    }

    fn chunks(&mut self, file: &File, bits: u32) -> Result<(), Error> {
        self.fill(self.at.next_multiple_of(CHUNK))?;
        let size = BLOCK << bits;
        let mut extents = file.extents.iter().peekable();
        for n in 0..file.size.div_ceil(size) {
            let offset = n * size;
            while extents.next_if(|extent| extent.offset + extent.length <= offset).is_some() {}
            let place = match extents.peek().filter(|extent| extent.offset <= offset) {
                None => None,
                Some(extent) => {
                    let position = extent.position + (offset - extent.offset);
                    Some((extent.device, u32::try_from(position >> BLOCK_BITS).map_err(|_| Unfit::Size)?))
                }
            };
            self.put(&format::chunk(place))?;
        }
        Ok(())
    }
}

fn type_bits(content: &Content) -> u16 {
    match content {
        Content::Fifo => 0o010_000,
        Content::Char(..) => 0o020_000,
        Content::Directory(_) => 0o040_000,
        Content::Block(..) => 0o060_000,
        Content::File(_) => 0o100_000,
        Content::Symlink(_) => 0o120_000,
    }
}
