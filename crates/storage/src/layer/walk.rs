//! From a member's name to the directory that holds it.

use super::{Layer, NAME_MAX, directory, is_whiteout};
use crate::store::{Error, Result};
use crate::tarball::{Member, clean};
use crate::tree::join;
use dhow_erofs::{Attributes, Content, NodeId, Tree};
use std::collections::VecDeque;

/// Links followed on the way to one member, as in the kernel.
const LINKS_MAX: usize = 40;

/// A directory of the tree.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The root, and every directory down to this one.
    pub(super) trail: Vec<NodeId>,
    /// Where it truly is: components joined by `/`, links resolved.
    pub(super) path: Vec<u8>,
}

impl Place {
    fn root() -> Self {
        Self { trail: vec![Tree::ROOT], path: Vec::new() }
    }

    pub(super) fn id(&self) -> NodeId {
        self.trail.last().copied().unwrap_or(Tree::ROOT)
    }

    fn down(&mut self, id: NodeId, name: &[u8]) {
        self.trail.push(id);
        self.path = join(&self.path, name);
    }

    /// `..` at the root stays there.
    fn up(&mut self) {
        if self.trail.len() > 1 {
            self.trail.pop();
            let end = self.path.iter().rposition(|&b| b == b'/').unwrap_or(0);
            self.path.truncate(end);
        }
    }

    /// The components of its true path.
    pub(super) fn components(&self) -> Vec<Vec<u8>> {
        self.path.split(|&b| b == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
    }
}

impl Layer {
    /// Components of a member's name or of its link target, within the limits.
    pub(super) fn components(&self, member: &Member, name: &[u8]) -> Result<Vec<Vec<u8>>> {
        let Some(parts) = clean(name) else {
            let name = String::from_utf8_lossy(name);
            return Self::refuse(member, format!("{name:?} is outside of the root filesystem"));
        };
        if parts.len() > self.limits.depth {
            return Err(Error::Limit { what: "components of a path", limit: self.limits.depth as u64 });
        }
        if parts.iter().any(|part| part.len() > NAME_MAX) {
            return Self::refuse(member, format!("a name of more than {NAME_MAX} bytes"));
        }
        Ok(parts)
    }

    /// The directory at `parts`, made where it is missing.
    pub(super) fn make_place(&mut self, member: &Member, parts: &[Vec<u8>]) -> Result<Place> {
        if let Some((known, place)) = &self.last
            && known == parts
        {
            return Ok(place.clone());
        }
        let place = match self.walk(member, parts, true)? {
            Some(place) => place,
            None => return Self::refuse(member, "no such directory"),
        };
        self.last = Some((parts.to_vec(), place.clone()));
        Ok(place)
    }

    /// The directory at `parts`, if it is in this layer.
    pub(super) fn find_place(&mut self, member: &Member, parts: &[Vec<u8>]) -> Result<Option<Place>> {
        self.walk(member, parts, false)
    }

    fn walk(&mut self, member: &Member, parts: &[Vec<u8>], make: bool) -> Result<Option<Place>> {
        let mut pending: VecDeque<Vec<u8>> = parts.iter().cloned().collect();
        let mut at = Place::root();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                at.up();
                continue;
            }
            match self.tree.child(at.id(), &name) {
                None if !make => return Ok(None),
                None => self.imply(member, &mut at, &name, false)?,
                Some(id) => match &self.tree.node(id).content {
                    Content::Directory(_) => at.down(id, &name),
                    Content::Symlink(target) => {
                        links += 1;
                        if links > LINKS_MAX || pending.len() > self.limits.name {
                            return Self::refuse(member, "too many levels of symbolic links");
                        }
                        if target.starts_with(b"/") {
                            at = Place::root();
                        }
                        for part in target.split(|&b| b == b'/').rev().filter(|part| !matches!(*part, b"" | b".")) {
                            pending.push_front(part.to_vec());
                        }
                    }
                    content if is_whiteout(content) && make => self.imply(member, &mut at, &name, true)?,
                    content if is_whiteout(content) => return Ok(None),
                    _ => {
                        let path = join(&at.path, &name);
                        return Self::refuse(member, format!("{:?} is not a directory", String::from_utf8_lossy(&path)));
                    }
                },
            }
            if at.path.len() > self.limits.name {
                return Err(Error::Limit { what: "bytes of a name", limit: self.limits.name as u64 });
            }
            if at.trail.len() > self.limits.depth + 1 {
                return Err(Error::Limit { what: "components of a path", limit: self.limits.depth as u64 });
            }
        }
        Ok(Some(at))
    }

    /// Makes a directory that the archive leaves out: as it is in the chain below, else 0755 of root, of 1970. In the place of a whiteout
    /// it hides what is below.
    fn imply(&mut self, member: &Member, parent: &mut Place, name: &[u8], hide: bool) -> Result<()> {
        if name.len() > NAME_MAX {
            return Self::refuse(member, format!("a name of more than {NAME_MAX} bytes"));
        }
        let id = self.add(Attributes { mode: 0o755, ..Attributes::default() }, directory())?;
        self.name(parent.id(), name, id)?;
        if hide {
            self.opaque.insert(id);
        } else if self.sees_below(parent) {
            self.implied.insert(id);
        }
        parent.down(id, name);
        Ok(())
    }

    /// Neither the directory nor one above it hides the chain below.
    pub(super) fn sees_below(&self, place: &Place) -> bool {
        self.opaque.is_empty() || !place.trail.iter().any(|id| self.opaque.contains(id))
    }
}
