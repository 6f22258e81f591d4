//! One member made into a node.

use super::place::Place;
use super::{Unpack, node, whiteout};
use crate::store::Result;
use crate::tarball::{Kind, Member, Reader};
use crate::tree::merged::Found;
use crate::tree::{Context, copy, is_dir, is_whiteout, join, kind, open_dir, remove, stat_opt};
use rustix::fs::{self, AtFlags, FileType, Mode, Stat};

impl Unpack {
    pub(super) fn member(&mut self, member: &Member, reader: &mut Reader<'_>) -> Result<()> {
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
        let path = join(&place.path, &name);
        let existing = stat_opt(&*place.dir, &name).on("stat", &path)?;
        match member.kind {
            Kind::Directory => self.directory(member, &place, &name, path, existing.as_ref()),
            Kind::HardLink => self.hard_link(member, &place, &name, &path, existing.as_ref()),
            _ => {
                self.clear(&place, &name, &path, existing.as_ref())?;
                self.create(member, reader, &place, &name, &path)
            }
        }
    }

    /// `./`: attributes of the root itself.
    fn root_member(&mut self, member: &Member) -> Result<()> {
        if member.kind != Kind::Directory {
            return Self::refuse(member, "the root filesystem's own name for something else than a directory");
        }
        node::dress(&self.root, member, b"/")?;
        self.remember(Vec::new(), member.mtime)
    }

    fn directory(&mut self, member: &Member, place: &Place, name: &[u8], path: Vec<u8>, existing: Option<&Stat>) -> Result<()> {
        let removed = existing.is_some_and(is_whiteout);
        if !existing.is_some_and(is_dir) {
            self.clear(place, name, &path, existing)?;
            fs::mkdirat(&*place.dir, name, Mode::RWXU).on("make", &path)?;
        }
        let dir = open_dir(&*place.dir, name).on("open", &path)?;
        node::dress(&dir, member, &path)?;
        if removed {
            whiteout::mark_opaque(self, &dir, path.clone())?;
        }
        self.remember(path, member.mtime)
    }

    /// Makes room for a new node. What a directory held goes with it.
    pub(super) fn clear(&mut self, place: &Place, name: &[u8], path: &[u8], existing: Option<&Stat>) -> Result<()> {
        let Some(stat) = existing else {
            return Ok(());
        };
        if is_dir(stat) {
            self.last = None;
            self.recount = true;
            self.forget_opaque(path);
            return Ok(remove::tree(&*place.dir, name)?);
        }
        if kind(stat) == FileType::Symlink {
            self.last = None;
        }
        fs::unlinkat(&*place.dir, name, AtFlags::empty()).on("remove", path)?;
        if stat.st_nlink == 1 && matches!(kind(stat), FileType::RegularFile | FileType::Symlink) {
            self.size = self.size.saturating_sub(stat.st_size as u64);
        }
        Ok(())
    }

    fn create(&mut self, member: &Member, reader: &mut Reader<'_>, place: &Place, name: &[u8], path: &[u8]) -> Result<()> {
        match member.kind {
            Kind::Regular => self.size += member.size,
            Kind::Symlink => self.size += member.link.len() as u64,
            _ => {}
        }
        Ok(node::make(&*place.dir, name, member, reader, true, path)?)
    }

    /// A second name. Its own attributes in the archive say nothing: they are the file's.
    fn hard_link(&mut self, member: &Member, place: &Place, name: &[u8], path: &[u8], existing: Option<&Stat>) -> Result<()> {
        let mut parts = self.components(member, &member.link)?;
        let Some(target) = parts.pop() else {
            return Self::refuse(member, "a hard link to the root directory");
        };
        if target.starts_with(whiteout::PREFIX) {
            return Self::refuse(member, "a hard link to a whiteout");
        }
        let (holder, stat) = match self.link_target(member, &parts, &target)? {
            Some(found) => found,
            None => return Self::refuse(member, format!("hard link to {:?}, which does not exist", String::from_utf8_lossy(&member.link))),
        };
        if is_dir(&stat) {
            return Self::refuse(member, "a hard link to a directory");
        }
        if existing.is_some_and(|e| e.st_ino == stat.st_ino && e.st_dev == stat.st_dev) {
            return Ok(());
        }
        self.clear(place, name, path, existing)?;
        // Clearing a directory may have taken the target with it: then this fails, as it must.
        fs::linkat(&*holder.dir, &target[..], &*place.dir, name, AtFlags::empty()).on("link", path)
    }

    /// The directory in this layer that holds the target, which is copied up from the chain below where it is only there.
    fn link_target(&mut self, member: &Member, parts: &[Vec<u8>], target: &[u8]) -> Result<Option<(Place, Stat)>> {
        if let Some(place) = self.find_place(member, parts)?
            && let Some(stat) = stat_opt(&*place.dir, target).on("stat", target)?
        {
            return Ok((!is_whiteout(&stat)).then_some((place, stat)));
        }
        let Some(below) = self.lower_dir(&parts.join(&b'/'))? else {
            return Ok(None);
        };
        let Some(Found::Other(dir, stat)) = below.child(target).on("look up", target)? else {
            return Ok(None);
        };
        let place = self.make_place(member, parts)?;
        copy::node(dir, &*place.dir, target, &stat).on("copy", &join(&place.path, target))?;
        if matches!(kind(&stat), FileType::RegularFile | FileType::Symlink) {
            self.size += stat.st_size as u64;
        }
        let stat = crate::tree::stat(&*place.dir, target).on("stat", target)?;
        Ok(Some((place, stat)))
    }
}
