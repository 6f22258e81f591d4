//! From a member's name to the directory that holds it.

use super::{Unpack, node, whiteout};
use crate::store::{Error, Result};
use crate::tarball::{Member, Time, clean};
use crate::tree::merged::Found;
use crate::tree::{Context, is_whiteout, join, kind, mtime, open_dir, stat_opt};
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Links followed on the way to one member, as in the kernel.
const LINKS_MAX: usize = 40;

/// A directory of the tree under construction.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) dir: Rc<OwnedFd>,
    /// Where it truly is: components joined by `/`, links resolved.
    pub(super) path: Vec<u8>,
}

impl Unpack {
    /// Components of a member's name or of its link target, within the limits.
    pub(super) fn components(&self, member: &Member, name: &[u8]) -> Result<Vec<Vec<u8>>> {
        let Some(parts) = clean(name) else {
            let name = String::from_utf8_lossy(name);
            return Self::refuse(member, format!("{name:?} is outside of the root filesystem"));
        };
        if parts.len() > self.limits.depth {
            return Err(Error::Limit { what: "components of a path", limit: self.limits.depth as u64 });
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
        let mut at = self.place(&[])?;
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                let up = at.path.iter().rposition(|&b| b == b'/').unwrap_or(0);
                at = self.place(&at.path[..up])?;
                continue;
            }
            let path = join(&at.path, &name);
            match open_dir(&*at.dir, &name) {
                Ok(dir) => at = Place { dir: Rc::new(dir), path },
                Err(Errno::NOENT) if !make => return Ok(None),
                Err(Errno::NOENT) => at = self.make_parent(&at, &name, path, false)?,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let stat = stat_opt(&*at.dir, &name).on("stat", &path)?;
                    match stat.as_ref().map(|s| (kind(s), is_whiteout(s))) {
                        Some((FileType::Symlink, _)) => {
                            links += 1;
                            let target = fs::readlinkat(&*at.dir, &name[..], Vec::new()).on("read link", &path)?;
                            if links > LINKS_MAX || pending.len() > self.limits.name {
                                return Self::refuse(member, "too many levels of symbolic links");
                            }
                            at = self.follow(at, target.as_bytes(), &mut pending)?;
                        }
                        Some((_, true)) if make => at = self.make_parent(&at, &name, path, true)?,
                        Some((_, true)) | None => return Ok(None),
                        Some(_) => return Self::refuse(member, format!("{:?} is not a directory", String::from_utf8_lossy(&path))),
                    }
                }
                Err(e) => return Err(e).on("open", &path),
            }
            if at.path.len() > self.limits.name {
                return Err(Error::Limit { what: "bytes of a name", limit: self.limits.name as u64 });
            }
        }
        Ok(Some(at))
    }

    /// Puts a link's target in front of what is to be walked. `..` at the root stays there.
    fn follow(&self, at: Place, target: &[u8], pending: &mut VecDeque<Vec<u8>>) -> Result<Place> {
        for part in target.split(|&b| b == b'/').rev() {
            if !part.is_empty() && part != b"." {
                pending.push_front(part.to_vec());
            }
        }
        if target.starts_with(b"/") { self.place(&[]) } else { Ok(at) }
    }

    /// A directory known by its true path.
    fn place(&self, path: &[u8]) -> Result<Place> {
        match self.reopen(path)? {
            Some(dir) => Ok(Place { dir: Rc::new(dir), path: path.to_vec() }),
            None => Err(Errno::NOENT).on("open", path),
        }
    }

    /// Opens a directory of this layer by its true path, in which no link is left to follow.
    pub(super) fn reopen(&self, path: &[u8]) -> Result<Option<OwnedFd>> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        match fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(e) => Err(e).on("open", path),
        }
    }

    /// Makes a directory that the archive leaves out: as it is in the chain below, else 0755 of root, of 1970. In the place of a whiteout
    /// it hides what is below.
    fn make_parent(&mut self, parent: &Place, name: &[u8], path: Vec<u8>, hide: bool) -> Result<Place> {
        if hide {
            fs::unlinkat(&*parent.dir, name, fs::AtFlags::empty()).on("remove", &path)?;
        }
        fs::mkdirat(&*parent.dir, name, Mode::RWXU).on("make", &path)?;
        let dir = open_dir(&*parent.dir, name).on("open", &path)?;
        let mut time = Time::default();
        let below = if hide { None } else { self.lower_dir(&parent.path)? };
        match below.as_ref().map(|b| b.child(name)).transpose().on("look up", &path)?.flatten() {
            Some(Found::Dir(below, stat)) => {
                time = mtime(&stat);
                if let Some(top) = below.top() {
                    node::inherit(top, &dir, &path)?;
                }
            }
            _ => node::own(&dir, 0, 0, 0o755, &path)?,
        }
        if hide {
            whiteout::mark_opaque(self, &dir, path.clone())?;
        }
        self.remember(path.clone(), time)?;
        Ok(Place { dir: Rc::new(dir), path })
    }

    /// Neither the directory nor one above it hides the chain below.
    pub(super) fn lower_dir_visible(&self, path: &[u8]) -> bool {
        let hidden = |end: usize| self.opaque.contains(&path[..end]);
        self.opaque.is_empty() || !(hidden(0) || hidden(path.len()) || path.iter().enumerate().any(|(i, &b)| b == b'/' && hidden(i)))
    }

    /// The chain below at a true path; `None` where this layer hides it, or it has no such directory.
    pub(super) fn lower_dir(&self, path: &[u8]) -> Result<Option<crate::tree::merged::Merged>> {
        if !self.lower_dir_visible(path) {
            return Ok(None);
        }
        let parts: Vec<Vec<u8>> = path.split(|&b| b == b'/').filter(|p| !p.is_empty()).map(<[u8]>::to_vec).collect();
        self.lower.dir(&parts).on("look up", path)
    }
}
