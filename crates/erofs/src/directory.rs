//! A directory's content: blocks, each with entries and then their names, sorted over all of it.

use crate::Unfit;
use crate::format::{BLOCK, DIRENT, NAME_MAX};
use crate::tree::{Content, NodeId, Tree};

/// Whom a name in a directory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    Itself,
    Above,
    Child(NodeId),
}

/// The names of a directory in their order.
#[derive(Debug)]
pub(crate) struct Listing<'a>(Vec<(&'a [u8], Whom)>);

impl<'a> Listing<'a> {
    /// Of a directory; empty for everything else.
    pub(crate) fn new(tree: &'a Tree, id: NodeId) -> Result<Self, Unfit> {
        let Some(entries) = tree.entries(id) else { return Ok(Self(Vec::new())) };
        let mut all: Vec<(&[u8], Whom)> = Vec::with_capacity(entries.len() + 2);
        all.extend([(&b"."[..], Whom::Itself), (b"..", Whom::Above)]);
        for (name, child) in entries {
            if name.is_empty() || name.len() > NAME_MAX || matches!(&name[..], b"." | b"..") || name.iter().any(|b| matches!(b, 0 | b'/')) {
                return Err(Unfit::Name(String::from_utf8_lossy(name).into_owned()));
            }
            all.push((name, Whom::Child(*child)));
        }
        // All but the two at the beginning are sorted, and sorting knows it.
        all.sort_by_key(|(name, _)| *name);
        Ok(Self(all))
    }

    /// Bytes of it.
    pub(crate) fn size(&self) -> u64 {
        let mut size = 0_u64;
        for block in self.blocks() {
            size = size.next_multiple_of(BLOCK) + block.iter().map(|(name, _)| cost(name)).sum::<usize>() as u64;
        }
        size
    }

    /// It. `number` tells a node's place, `itself` and `above` are the directory's own and its parent's.
    pub(crate) fn bytes(&self, tree: &Tree, itself: u64, above: u64, number: impl Fn(NodeId) -> u64) -> Vec<u8> {
        let mut out = Vec::new();
        for block in self.blocks() {
            out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
            let mut name_at = block.len() * DIRENT;
            for (name, whom) in block {
                let (number, kind) = match whom {
                    Whom::Itself => (itself, DIRECTORY),
                    Whom::Above => (above, DIRECTORY),
                    Whom::Child(id) => (number(*id), kind(&tree.node(*id).content)),
                };
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&(name_at as u16).to_le_bytes());
                out.extend_from_slice(&[kind, 0]);
                name_at += name.len();
            }
            for (name, _) in block {
                out.extend_from_slice(name);
            }
        }
        out
    }

    fn blocks(&self) -> impl Iterator<Item = &[(&'a [u8], Whom)]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let mut room = BLOCK as usize;
            let fits = rest.iter().take_while(|(name, _)| {
                let left = room.checked_sub(cost(name));
                room = left.unwrap_or(0);
                left.is_some()
            });
            let (block, after) = rest.split_at(fits.count());
            rest = after;
            (!block.is_empty()).then_some(block)
        })
    }
}

fn cost(name: &[u8]) -> usize {
    DIRENT + name.len()
}

const DIRECTORY: u8 = 2;

/// The kernel's own numbers of kinds.
fn kind(content: &Content) -> u8 {
    match content {
        Content::File(_) => 1,
        Content::Directory(_) => DIRECTORY,
        Content::Char(..) => 3,
        Content::Block(..) => 4,
        Content::Fifo => 5,
        Content::Symlink(_) => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Attributes, Node};

    fn listing(names: &[&str]) -> Result<(u64, Vec<u8>), Unfit> {
        let mut tree = Tree::new(Attributes::default());
        for name in names {
            let id = tree.add(Node { attributes: Attributes::default(), content: Content::Fifo })?;
            tree.link(Tree::ROOT, name.as_bytes(), id);
        }
        let listing = Listing::new(&tree, Tree::ROOT)?;
        Ok((listing.size(), listing.bytes(&tree, 1, 2, |id| 100 + id.index() as u64)))
    }

    #[test]
    fn names_are_sorted_with_the_two_of_every_directory() {
        let (size, bytes) = listing(&["a", "!", "..."]).unwrap();
        assert_eq!(size, bytes.len() as u64);
        assert_eq!(&bytes[5 * DIRENT..], b"!......a");
        let number = |n: usize| bytes[n * DIRENT];
        assert_eq!([0, 1, 2, 3, 4].map(number), [102, 1, 2, 103, 101]);
    }

    #[test]
    fn no_name_crosses_a_block() {
        let names: Vec<String> = (0..300).map(|n| format!("{n:03}{}", "x".repeat(n % 253))).collect();
        let (size, bytes) = listing(&names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(size, bytes.len() as u64);
        let mut seen = 0;
        for block in bytes.chunks(BLOCK as usize) {
            let count = usize::from(u16::from_le_bytes([block[8], block[9]])) / DIRENT;
            assert!(count > 0 && count * DIRENT < block.len());
            seen += count;
        }
        assert_eq!(seen, 302);
    }

    #[test]
    fn names_that_are_none() {
        for name in ["", ".", "..", "a/b", "a\0b", &"x".repeat(256)] {
            assert_eq!(listing(&[name]).unwrap_err(), Unfit::Name(name.to_owned()));
        }
    }
}
