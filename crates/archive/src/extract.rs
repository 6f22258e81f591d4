//! An archive written into a tree that is in use: over what is there, among processes that change it meanwhile.
//!
//! Every parent directory is found from the root anew ([`Root::open`]), the last step is always a call on the parent's descriptor that
//! follows no link, and what is made is made exclusively. So whatever somebody swaps in between, nothing outside the root is touched; the
//! worst is an error. Symbolic links are made as the archive has them: they mean nothing to what follows.

use crate::tarball::{self, Kind, Member, Reader, Time};
use crate::tree::{node, remove, timestamps};
use crate::{Context, Error, Limits, Result, Root, path, root};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Most bytes of directory names remembered until the end, where directories get their times.
const REMEMBERED: usize = 64 << 20;
/// Mode of directories that the archive does not have.
const IMPLIED: u32 = 0o755;

/// Who owns what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// As the archive says.
    Archive,
    /// Whoever calls.
    Caller,
    /// One user and group.
    Fixed(u32, u32),
}

/// How to write an archive into a tree.
#[derive(Debug)]
pub struct Extract<'a> {
    /// The tree.
    pub root: &'a Root,
    /// The directory in it, as [`path::absolute`] has it.
    pub at: &'a [u8],
    /// How messages call that directory.
    pub shown: &'a [u8],
    /// Who owns what is written.
    pub owner: Owner,
    /// A directory never replaces something else, nor the other way round.
    pub keep_kinds: bool,
    /// What the members' names begin with, and what they are to begin with instead.
    pub rename: Option<(&'a [u8], &'a [u8])>,
}

impl Extract<'_> {
    /// Writes all of an uncompressed tar. What was written before an error stays.
    pub fn run(&self, tar: &mut dyn Read) -> Result<()> {
        // The disk is the bound, and whoever sent the archive may fill it anyway.
        let limits = Limits { bytes: u64::MAX, entries: u64::MAX, ..Limits::default() };
        let mut reader = Reader::new(tar, limits).plain();
        let mut work = Work { how: self, times: Vec::new(), remembered: 0, last: None };
        while let Some(mut member) = reader.next()? {
            self.prepare(&mut member);
            work.member(&member, &mut reader)?;
        }
        reader.finish()?;
        work.set_times()
    }

    fn prepare(&self, member: &mut Member) {
        if let Some((old, new)) = self.rename {
            let renamed = |name: &[u8]| name.strip_prefix(old).map(|rest| [new, rest].concat());
            member.name = renamed(&member.name).unwrap_or_else(|| member.name.clone());
            if member.kind == Kind::HardLink {
                member.link = renamed(&member.link).unwrap_or_else(|| member.link.clone());
            }
        }
        if let Owner::Fixed(uid, gid) = self.owner {
            (member.uid, member.gid) = (uid, gid);
        }
    }

    fn chown(&self) -> bool {
        self.owner != Owner::Caller
    }
}

struct Work<'a> {
    how: &'a Extract<'a>,
    /// Directories with the time that they get at the end, since making their children changes it.
    times: Vec<(Vec<Vec<u8>>, Time)>,
    remembered: usize,
    /// The parent of the member before: members of one directory mostly follow each other.
    last: Option<(Vec<Vec<u8>>, Rc<OwnedFd>)>,
}

impl Work<'_> {
    fn member(&mut self, member: &Member, reader: &mut Reader<'_>) -> Result<()> {
        let outside = || Error::Refused(format!("{:?} is outside of {:?}", member.shown(), lossy(self.how.shown)));
        let mut parts = tarball::clean(&member.name).ok_or_else(outside)?;
        let Some(name) = parts.pop() else {
            // The directory itself, which is there and stays as it is.
            return if member.kind == Kind::Directory { Ok(()) } else { Err(self.other_kind(self.how.shown, true)) };
        };
        let parent = self.parent(&parts)?;
        let at = path::join(self.how.shown, &path::join(&parts.join(&b'/'), &name));
        let existing = look(&parent, &name).on("lstat", &at)?;
        let directory = member.kind == Kind::Directory;
        if let Some(found) = &existing {
            let was = is_dir(found);
            if was != directory && self.how.keep_kinds {
                return Err(self.other_kind(&at, was));
            }
            if !(was && directory) {
                self.clear(&parent, &name, found, &at)?;
            }
        }
        match member.kind {
            Kind::Directory => self.directory(&parent, &parts, name, member, existing.as_ref().is_some_and(is_dir), &at),
            Kind::HardLink => self.hard_link(&parent, &name, member, &at),
            _ => node::make(&*parent, &name, member, reader, self.how.chown(), &at),
        }
    }

    /// Docker's words where directory and other things do not give way to each other.
    fn other_kind(&self, at: &[u8], was_directory: bool) -> Error {
        let (a, b) = if was_directory { ("directory", "non-directory") } else { ("non-directory", "directory") };
        Error::Refused(format!("cannot overwrite {a} {:?} with {b} {:?}", lossy(at), lossy(self.how.shown)))
    }

    /// The directory of a member, made where the archive leaves it out.
    fn parent(&mut self, parts: &[Vec<u8>]) -> Result<Rc<OwnedFd>> {
        if let Some((known, dir)) = &self.last
            && known == parts
        {
            return Ok(dir.clone());
        }
        let mut dir = self.open(&[])?;
        match self.open(parts) {
            Ok(found) => dir = found,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                for end in 1..=parts.len() {
                    dir = self.open_or_make(&dir, &parts[..end])?;
                }
            }
            Err(error) => return Err(error),
        }
        if root::is_kernel(dir.as_fd()).on("look at", &self.shown(parts))? {
            return Err(Errno::PERM).on("write to", &self.shown(parts));
        }
        let dir = Rc::new(dir);
        self.last = Some((parts.to_vec(), dir.clone()));
        Ok(dir)
    }

    fn shown(&self, parts: &[Vec<u8>]) -> Vec<u8> {
        path::join(self.how.shown, &parts.join(&b'/'))
    }

    /// Follows links as any path does, inside the root.
    fn open(&self, parts: &[Vec<u8>]) -> Result<OwnedFd> {
        let at = path::join(self.how.at, &parts.join(&b'/'));
        self.how.root.open(&at, OFlags::RDONLY | OFlags::DIRECTORY).on("open", &self.shown(parts))
    }

    fn open_or_make(&self, above: &OwnedFd, parts: &[Vec<u8>]) -> Result<OwnedFd> {
        match (self.open(parts), parts.last()) {
            (Err(Error::Io { source, .. }), Some(name)) if source.kind() == std::io::ErrorKind::NotFound => {
                fs::mkdirat(above, &name[..], Mode::from_raw_mode(IMPLIED)).on("mkdir", &self.shown(parts))?;
                let made = self.open(parts)?;
                let (uid, gid) = match self.how.owner {
                    Owner::Fixed(uid, gid) => (uid, gid),
                    _ => (0, 0),
                };
                node::own(&made, uid, gid, IMPLIED, self.how.chown(), &self.shown(parts))?;
                Ok(made)
            }
            (other, _) => other,
        }
    }

    /// Makes room. What is mounted in a container is never taken away: from here the kernel would allow it.
    fn clear(&mut self, parent: &OwnedFd, name: &[u8], found: &Statx, at: &[u8]) -> Result<()> {
        if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            return Err(Errno::BUSY).on("unlinkat", at);
        }
        self.last = None;
        if is_dir(found) { remove::tree(parent, name) } else { fs::unlinkat(parent, name, AtFlags::empty()).on("unlinkat", at) }
    }

    fn directory(&mut self, parent: &OwnedFd, parts: &[Vec<u8>], name: Vec<u8>, member: &Member, there: bool, at: &[u8]) -> Result<()> {
        if !there {
            fs::mkdirat(parent, &name[..], Mode::RWXU).on("mkdir", at)?;
        }
        let dir = crate::tree::open_dir(parent, &name).on("open", at)?;
        node::dress(&dir, member, self.how.chown(), at)?;
        self.remembered += at.len() + 64;
        if self.remembered > REMEMBERED {
            return Err(Error::Limit { what: "bytes of directory names", limit: REMEMBERED as u64 });
        }
        let whole = parts.iter().cloned().chain([name]).collect();
        self.times.push((whole, member.mtime));
        Ok(())
    }

    fn hard_link(&mut self, parent: &OwnedFd, name: &[u8], member: &Member, at: &[u8]) -> Result<()> {
        let outside = || Error::Refused(format!("invalid hardlink {:?} -> {:?}", lossy(at), lossy(&member.link)));
        let mut parts = tarball::clean(&member.link).ok_or_else(outside)?;
        let target = parts.pop().ok_or_else(outside)?;
        let holder = self.open(&parts)?;
        fs::linkat(&holder, &target[..], parent, name, AtFlags::empty()).on("link", at)
    }

    fn set_times(&mut self) -> Result<()> {
        for (parts, time) in std::mem::take(&mut self.times) {
            // It may be something else by now, which then keeps its own time.
            let Some((name, above)) = parts.split_last() else { continue };
            let Ok(dir) = self.open(above) else { continue };
            match fs::utimensat(&dir, &name[..], &timestamps(time), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                other => other.on("set times of", &self.shown(&parts))?,
            }
        }
        Ok(())
    }
}

fn look(parent: &OwnedFd, name: &[u8]) -> rustix::io::Result<Option<Statx>> {
    match fs::statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

fn is_dir(stat: &Statx) -> bool {
    FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::Directory
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
