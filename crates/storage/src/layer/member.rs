//! One member made into a node.

use super::walk::Place;
use super::{Borrowed, Layer, NAME_MAX, Sink, TARGET_MAX, VALUE_MAX, directory, time, whiteout};
use crate::store::Result;
use crate::tarball::{Kind, Member, Reader};
use crate::tree::xattr;
use dhow_erofs::{Attributes, Content, File, NodeId, Tree};

impl Layer {
    pub(super) fn member(&mut self, member: &Member, reader: &mut Reader<'_>, sink: &mut dyn Sink) -> Result<()> {
        let mut parts = self.components(member, &member.name)?;
        let Some(name) = parts.pop() else {
            return self.root_member(member);
        };
        if let Some(mark) = name.strip_prefix(whiteout::PREFIX) {
            return self.whiteout(member, &parts, mark);
        }
        if member.kind == Kind::Char && member.device == (0, 0) {
            // Overlay would read it as a removal: so it is one, by the same rules.
            return self.whiteout(member, &parts, &name);
        }
        let place = self.make_place(member, &parts)?;
        let existing = self.tree.child(place.id(), &name);
        match member.kind {
            Kind::Directory => self.directory(member, &place, &name, existing),
            Kind::HardLink => self.hard_link(member, &place, &name, existing),
            _ => {
                let content = content(member)?;
                check_attributes(member)?;
                let id = self.add(attributes(member), content)?;
                if member.kind == Kind::Regular {
                    self.tree.node_mut(id).content = Content::File(sink.take(id, member, reader)?);
                }
                self.put(&place, &name, existing, id)
            }
        }
    }

    /// `./`: attributes of the root itself.
    fn root_member(&mut self, member: &Member) -> Result<()> {
        if member.kind != Kind::Directory {
            return Self::refuse(member, "the root filesystem's own name for something else than a directory");
        }
        self.tree.node_mut(Tree::ROOT).attributes = attributes(member);
        self.implied.remove(&Tree::ROOT);
        Ok(())
    }

    fn directory(&mut self, member: &Member, place: &Place, name: &[u8], existing: Option<NodeId>) -> Result<()> {
        check_attributes(member)?;
        if let Some(id) = existing.filter(|id| self.tree.entries(*id).is_some()) {
            self.tree.node_mut(id).attributes = attributes(member);
            self.implied.remove(&id);
            return Ok(());
        }
        let id = self.add(attributes(member), directory())?;
        if existing.is_some_and(|id| self.is_removed(id)) {
            self.opaque.insert(id);
        }
        self.put(place, name, existing, id)
    }

    /// Names a node in place of what has the name. What a directory held goes with it.
    fn put(&mut self, place: &Place, name: &[u8], existing: Option<NodeId>, id: NodeId) -> Result<()> {
        if let Some(old) = existing
            && matches!(self.tree.node(old).content, Content::Directory(_) | Content::Symlink(_))
        {
            // The way to the member before may have led through it.
            self.last = None;
        }
        self.name(place.id(), name, id)
    }

    /// A second name. Its own attributes in the archive say nothing: they are the file's.
    fn hard_link(&mut self, member: &Member, place: &Place, name: &[u8], existing: Option<NodeId>) -> Result<()> {
        let mut parts = self.components(member, &member.link)?;
        let Some(target) = parts.pop() else {
            return Self::refuse(member, "a hard link to the root directory");
        };
        if target.starts_with(whiteout::PREFIX) {
            return Self::refuse(member, "a hard link to a whiteout");
        }
        let id = self.link_target(member, &parts, &target)?;
        if self.tree.entries(id).is_some() {
            return Self::refuse(member, "a hard link to a directory");
        }
        if existing == Some(id) {
            return Ok(());
        }
        self.put(place, name, existing, id)
    }

    /// The node that a hard link means. What is not in this layer is one of the chain below, and becomes this layer's under its own name too,
    /// so that both stay one file.
    fn link_target(&mut self, member: &Member, parts: &[Vec<u8>], target: &[u8]) -> Result<NodeId> {
        let missing = || {
            let text = format!("hard link to {:?}, which does not exist", String::from_utf8_lossy(&member.link));
            Self::refuse(member, text)
        };
        if let Some(place) = self.find_place(member, parts)?
            && let Some(id) = self.tree.child(place.id(), target)
        {
            return if self.is_removed(id) { missing() } else { Ok(id) };
        }
        let place = self.make_place(member, parts)?;
        if !self.sees_below(&place) {
            return missing();
        }
        let id = self.add(Attributes::default(), Content::File(File::default()))?;
        self.name(place.id(), target, id)?;
        let mut path = place.components();
        path.push(target.to_vec());
        self.count(path.iter().map(|part| part.len() + 32).sum())?;
        self.borrowed.push(Borrowed { id, path, entry: member.shown(), link: member.link.clone() });
        Ok(id)
    }
}

/// What a member that is no directory and no further name has beside its attributes; a file's content comes later.
fn content(member: &Member) -> Result<Content> {
    Ok(match member.kind {
        Kind::Symlink if member.link.is_empty() => return Layer::refuse(member, "a link without a target"),
        Kind::Symlink if member.link.len() > TARGET_MAX => return Layer::refuse(member, format!("a link of more than {TARGET_MAX} bytes")),
        Kind::Symlink => Content::Symlink(member.link.clone().into()),
        Kind::Char => Content::Char(member.device.0, member.device.1),
        Kind::Block => Content::Block(member.device.0, member.device.1),
        Kind::Fifo => Content::Fifo,
        Kind::Regular | Kind::HardLink | Kind::Directory => Content::File(File::default()),
    })
}

/// Refuses attributes that no filesystem can hold.
fn check_attributes(member: &Member) -> Result<()> {
    let fits = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() <= NAME_MAX && value.len() <= VALUE_MAX;
    if member.xattrs.iter().filter(|(name, _)| xattr::is_content(name)).all(fits) {
        return Ok(());
    }
    Layer::refuse(member, "extended attributes that no filesystem can hold")
}

/// Extended attributes of links and devices are none that an image may carry to a filesystem: the kernel keeps `user.*` to files and
/// directories.
fn attributes(member: &Member) -> Attributes {
    let holds = matches!(member.kind, Kind::Regular | Kind::Directory);
    let mut xattrs: Vec<_> = if holds { member.xattrs.clone() } else { Vec::new() };
    xattrs.retain(|(name, _)| xattr::is_content(name));
    // The last of two with one name counts.
    xattrs.reverse();
    xattrs.sort_by(|a, b| a.0.cmp(&b.0));
    xattrs.dedup_by(|b, a| a.0 == b.0);
    let mode = if member.kind == Kind::Symlink { 0o777 } else { (member.mode & 0o7777) as u16 };
    Attributes { mode, uid: member.uid, gid: member.gid, mtime: time(member.mtime), xattrs }
}
