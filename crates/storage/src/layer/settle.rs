//! What only the chain below can answer: attributes of parents left out, files with names above, and whether a removal removes anything.

use super::{Borrowed, Layer, Sink, is_whiteout, time};
use crate::store::{Error, Result};
use crate::tree::merged::{Found, Merged};
use crate::tree::{Context, kind, mtime, open_file, permissions, xattr};
use dhow_erofs::{Attributes, Content, NodeId, Tree};
use rustix::fs::{self, FileType, Stat};
use std::collections::HashSet;
use std::os::fd::AsFd;

/// Overlay's mark of a directory that hides what is below.
const OPAQUE: (&[u8], &[u8]) = (b"trusted.overlay.opaque", b"y");

impl Layer {
    /// Puts the layer over a chain. Afterwards the tree is as overlayfs wants a layer: removals are devices 0:0, and a directory that hides
    /// what is below carries the mark.
    pub(crate) fn settle(&mut self, lower: &Merged, sink: &mut dyn Sink) -> Result<()> {
        for borrowed in std::mem::take(&mut self.borrowed) {
            self.fetch(&borrowed, lower, sink)?;
        }
        if self.implied.contains(&Tree::ROOT)
            && let Some(below) = lower.top()
        {
            self.inherit(Tree::ROOT, below, &fs::fstat(below).on("stat", b"/")?)?;
        }
        let hidden = self.opaque.remove(&Tree::ROOT);
        let asking = self.asking();
        if asking.contains(&Tree::ROOT) {
            self.directory_over(Tree::ROOT, (!hidden).then_some(lower), &asking)?;
        }
        if hidden {
            self.hide_lower_root(lower)?;
        }
        for id in std::mem::take(&mut self.opaque) {
            self.mark_opaque(id);
        }
        self.implied.clear();
        Ok(())
    }

    fn mark_opaque(&mut self, id: NodeId) {
        let xattrs = &mut self.tree.node_mut(id).attributes.xattrs;
        if !xattrs.iter().any(|(name, _)| name == OPAQUE.0) {
            xattrs.push((OPAQUE.0.to_vec(), OPAQUE.1.to_vec()));
        }
    }

    /// Makes a file of the chain below one of this layer's.
    fn fetch(&mut self, borrowed: &Borrowed, lower: &Merged, sink: &mut dyn Sink) -> Result<()> {
        let refuse = |reason: String| Err(Error::Archive { entry: borrowed.entry.clone(), reason });
        let Some((name, parents)) = borrowed.path.split_last() else { return Ok(()) };
        let dir = lower.dir(parents).on("look up", name)?;
        let found = dir.as_ref().map(|dir| dir.child(name)).transpose().on("look up", name)?.flatten();
        let (dir, stat) = match found {
            Some(Found::Other(dir, stat)) => (dir, stat),
            Some(Found::Dir(..)) => return refuse("a hard link to a directory".into()),
            None => return refuse(format!("hard link to {:?}, which does not exist", String::from_utf8_lossy(&borrowed.link))),
        };
        let (major, minor) = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
        let mut xattrs = Vec::new();
        let content = match kind(&stat) {
            FileType::RegularFile => {
                let file = open_file(dir, name).on("open", name)?;
                xattrs = xattr::read(file).on("read attributes of", name)?;
                Content::File(sink.copy(borrowed.id, dir, name, &stat)?)
            }
            FileType::Symlink => Content::Symlink(fs::readlinkat(dir, &name[..], Vec::new()).on("read link", name)?.into_bytes().into()),
            FileType::CharacterDevice => Content::Char(major, minor),
            FileType::BlockDevice => Content::Block(major, minor),
            FileType::Fifo => Content::Fifo,
            _ => return refuse("a hard link to a socket".into()),
        };
        let node = self.tree.node_mut(borrowed.id);
        node.attributes = attributes(&stat, xattrs);
        node.content = content;
        Ok(())
    }

    fn inherit(&mut self, id: NodeId, from: impl AsFd, stat: &Stat) -> Result<()> {
        let xattrs = xattr::read(from).on("read attributes of", b"directory")?;
        self.tree.node_mut(id).attributes = attributes(stat, xattrs);
        Ok(())
    }

    /// Directories with something to ask, in them or below: most layers have few, and the others need not be looked at.
    fn asking(&self) -> HashSet<NodeId> {
        let mut asking = HashSet::new();
        // Parents before children, with the way back up.
        let mut order = vec![(Tree::ROOT, Tree::ROOT)];
        let mut next = 0;
        while let Some(&(id, _)) = order.get(next) {
            next += 1;
            let Some(entries) = self.tree.entries(id) else { continue };
            for &child in entries.values() {
                let content = &self.tree.node(child).content;
                if matches!(content, Content::Directory(_)) {
                    order.push((child, id));
                }
                if is_whiteout(content) || self.implied.contains(&child) {
                    asking.insert(id);
                }
            }
        }
        for (id, parent) in order.into_iter().rev() {
            if asking.contains(&id) {
                asking.insert(parent);
            }
        }
        asking
    }

    /// Compares a directory with what it lies over; `None`: it hides that, or there is nothing.
    fn directory_over(&mut self, id: NodeId, lower: Option<&Merged>, asking: &HashSet<NodeId>) -> Result<()> {
        let wanted = |name: &[u8], child: NodeId| {
            let removed = is_whiteout(&self.tree.node(child).content);
            (removed || self.implied.contains(&child) || asking.contains(&child)).then(|| (name.to_vec(), child, removed))
        };
        let children: Vec<_> = self.tree.entries(id).into_iter().flatten().filter_map(|(name, &child)| wanted(name, child)).collect();
        for (name, child, removed) in children {
            let below = lower.map(|lower| lower.child(&name)).transpose().on("look up", &name)?.flatten();
            if removed {
                // In a directory that is nowhere below overlay would show the mark itself.
                if below.is_none() {
                    self.tree.unlink(id, &name);
                }
                continue;
            }
            let below = match below {
                Some(Found::Dir(below, stat)) => {
                    if self.implied.contains(&child)
                        && let Some(top) = below.top()
                    {
                        self.inherit(child, top, &stat)?;
                    }
                    (!self.opaque.contains(&child)).then_some(below)
                }
                _ => None,
            };
            if asking.contains(&child) {
                self.directory_over(child, below.as_ref(), asking)?;
            }
        }
        Ok(())
    }

    /// Overlay does not ask the root directory for its mark, so each name below is hidden by itself.
    fn hide_lower_root(&mut self, lower: &Merged) -> Result<()> {
        for name in lower.names().on("read", b"/")? {
            if self.tree.child(Tree::ROOT, &name).is_none() {
                let id = self.add(Attributes::default(), Content::Char(0, 0))?;
                self.name(Tree::ROOT, &name, id)?;
            }
        }
        let directories = self.tree.entries(Tree::ROOT).into_iter().flat_map(|entries| entries.values().copied());
        let directories: Vec<_> = directories.filter(|id| self.tree.entries(*id).is_some()).collect();
        self.opaque.extend(directories);
        Ok(())
    }
}

fn attributes(stat: &Stat, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Attributes {
    let mode = permissions(stat).as_raw_mode() as u16;
    Attributes { mode, uid: stat.st_uid, gid: stat.st_gid, mtime: time(mtime(stat)), xattrs }
}
