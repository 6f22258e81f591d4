//! `.wh.` members: what a layer removes from the layers below it.

use super::{Layer, is_whiteout};
use crate::store::Result;
use crate::tarball::Member;
use dhow_erofs::{Attributes, Content};

pub(super) const PREFIX: &[u8] = b".wh.";
/// What follows the prefix in `.wh..wh..opq`.
const OPAQUE: &[u8] = b".wh..opq";

impl Layer {
    /// A removal of `name` in the directory `parts`, or a mark of that directory itself. Whether there is anything to remove is known later.
    pub(super) fn whiteout(&mut self, member: &Member, parts: &[Vec<u8>], name: &[u8]) -> Result<()> {
        if name == OPAQUE {
            let place = self.make_place(member, parts)?;
            self.opaque.insert(place.id());
            return Ok(());
        }
        if name.starts_with(PREFIX) {
            // Left-overs of aufs (.wh..wh.plnk and its like) mean nothing here.
            return Ok(());
        }
        if matches!(name, b"" | b"." | b"..") {
            return Self::refuse(member, "a whiteout of nothing");
        }
        let place = self.make_place(member, parts)?;
        match self.tree.child(place.id(), name) {
            Some(id) if self.tree.entries(id).is_some() => {
                self.opaque.insert(id);
            }
            // The layer itself brings this name, or has removed it already.
            Some(_) => {}
            None if self.sees_below(&place) => {
                let id = self.add(Attributes::default(), Content::Char(0, 0))?;
                self.name(place.id(), name, id)?;
            }
            None => {}
        }
        Ok(())
    }

    /// Whether a name in a directory is a removal.
    pub(super) fn is_removed(&self, id: dhow_erofs::NodeId) -> bool {
        is_whiteout(&self.tree.node(id).content)
    }
}
