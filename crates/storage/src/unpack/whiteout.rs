//! `.wh.` members: what a layer removes from the layers below it.

use super::Unpack;
use crate::store::Result;
use crate::tarball::Member;
use crate::tree::{Context, is_dir, is_whiteout, join, make_whiteout, names, open_dir, stat_opt, xattr};
use rustix::fs::{self, AtFlags};
use std::os::fd::{AsFd, OwnedFd};

pub(super) const PREFIX: &[u8] = b".wh.";
/// What follows the prefix in `.wh..wh..opq`.
const OPAQUE: &[u8] = b".wh..opq";

impl Unpack {
    /// A removal of `name` in the directory `parts`, or a mark of that directory itself.
    pub(super) fn whiteout(&mut self, member: &Member, parts: &[Vec<u8>], name: &[u8]) -> Result<()> {
        if name == OPAQUE {
            let place = self.make_place(member, parts)?;
            let dir = place.dir.try_clone().on("open", &place.path)?;
            return mark_opaque(self, &dir, place.path);
        }
        if name.starts_with(PREFIX) {
            // Left-overs of aufs (.wh..wh.plnk and its like) mean nothing here.
            return Ok(());
        }
        if matches!(name, b"" | b"." | b"..") {
            return Self::refuse(member, "a whiteout of nothing");
        }
        let place = self.make_place(member, parts)?;
        let path = join(&place.path, name);
        match stat_opt(&*place.dir, name).on("stat", &path)? {
            Some(stat) if is_dir(&stat) => {
                let dir = open_dir(&*place.dir, name).on("open", &path)?;
                mark_opaque(self, &dir, path)
            }
            // The layer itself brings this name, or has removed it already.
            Some(_) => Ok(()),
            None => {
                let below = self.lower_dir(&place.path)?;
                let hides = below.as_ref().map(|b| b.child(name)).transpose().on("look up", &path)?.flatten().is_some();
                if hides {
                    make_whiteout(&*place.dir, name).on("make whiteout", &path)?;
                }
                Ok(())
            }
        }
    }

    /// Marks of a directory that is removed, and of those in it.
    pub(super) fn forget_opaque(&mut self, path: &[u8]) {
        let inside = |p: &Vec<u8>| p.starts_with(path) && matches!(p.get(path.len()), None | Some(b'/'));
        let gone: Vec<_> = self.opaque.range(path.to_vec()..).take_while(|p| p.starts_with(path)).filter(|p| inside(p)).cloned().collect();
        for path in gone {
            self.opaque.remove(&path);
        }
    }

    /// Overlay does not ask the root directory for its mark, so each name below is hidden by itself.
    pub(super) fn hide_lower_root(&mut self) -> Result<()> {
        for name in self.lower.names().on("read", b"/")? {
            if stat_opt(&self.root, &name).on("stat", &name)?.is_none() {
                make_whiteout(&self.root, &name).on("make whiteout", &name)?;
            }
        }
        for name in names(&self.root).on("read", b"/")? {
            let stat = stat_opt(&self.root, &name).on("stat", &name)?;
            if stat.is_some_and(|s| is_dir(&s)) {
                let dir = open_dir(&self.root, &name).on("open", &name)?;
                xattr::set_opaque(dir).on("set attributes of", &name)?;
            }
        }
        Ok(())
    }
}

/// Marks a directory of this layer, whose removals then have nothing left to hide: overlay would show them as files.
pub(super) fn mark_opaque(unpack: &mut Unpack, dir: &OwnedFd, path: Vec<u8>) -> Result<()> {
    if unpack.opaque.contains(&path) {
        return Ok(());
    }
    // Below a directory that hides everything no removals were made.
    if unpack.lower_dir_visible(&path) {
        strip(dir, &path)?;
    }
    if !path.is_empty() {
        xattr::set_opaque(dir).on("set attributes of", &path)?;
    }
    unpack.opaque.insert(path);
    Ok(())
}

fn strip(dir: impl AsFd, path: &[u8]) -> Result<()> {
    for name in names(&dir).on("read", path)? {
        let at = join(path, &name);
        match stat_opt(&dir, &name).on("stat", &at)? {
            Some(stat) if is_whiteout(&stat) => fs::unlinkat(&dir, &name[..], AtFlags::empty()).on("remove", &at)?,
            Some(stat) if is_dir(&stat) => strip(open_dir(&dir, &name).on("open", &at)?, &at)?,
            _ => {}
        }
    }
    Ok(())
}
