//! A tree written as a tar, in the order of the names' bytes: a layer's reproducibly, with nothing of the host in it; a container's as it is.
//!
//! A tree that somebody writes to meanwhile can be written too: what vanishes is left out, and a file has the length that it had when its turn
//! came, filled up with zeros where it has become shorter.

use crate::tarball::{Kind, Member, Writer};
use crate::tree::marks::Marks;
use crate::tree::{check_depth, is_dir, join, kind, more_names, mtime, open_dir, open_file, permissions, stat_opt, xattr};
use crate::{Context, Error, Result, Root, path};
use dhow_sys::mount::mount_id;
use rustix::fs::{self, FileType, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

const BUFFER: usize = 128 * 1024;
/// Names of a live tree that are held at once.
const NAMES: usize = 65_536;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Writes the tree under `root`, a layer with these marks. With `own_root` the first member is the root directory itself (`./`).
pub fn tar(root: impl AsFd, marks: Marks, own_root: bool, out: &mut dyn Write) -> Result<()> {
    let mut emit = Emit::new(out, false);
    emit.marks = marks;
    if own_root {
        let stat = fs::fstat(&root).on("stat", b"/")?;
        let mut member = member(&stat, b"./".to_vec(), Kind::Directory);
        member.xattrs = xattr::read(&root).on("read attributes of", b"/")?;
        emit.header(member)?;
    }
    emit.directory(&root, b"", 0)?;
    emit.writer.finish().on("write", b"archive")
}

/// Writes a root filesystem as a container sees it, which may be in use: only directories that are mounted there without their content.
pub fn live(root: impl AsFd, out: &mut dyn Write) -> Result<()> {
    // A mount's own descriptor cannot be read.
    let root = open_dir(root, b".").on("open", b"/")?;
    let mut emit = Emit::new(out, true);
    emit.directory(&root, b"", 0)?;
    emit.writer.finish().on("write", b"archive")
}

/// Writes what lies at a path ([`crate::path::absolute`]) of a tree that may be in use, with what is mounted in it; the archive calls it
/// `name`. A directory brings its content with it: `name` is then `NAME/`, `./` or `/`, and begins every member's name. Filesystems of the
/// kernel's and the devices are written as empty directories. Times are in whole seconds, as people know it from Docker.
pub fn copy(root: &Root, at: &[u8], name: &[u8], out: &mut dyn Write) -> Result<()> {
    let mut emit = Emit::new(out, true);
    emit.copy = Some(root);
    let place = root.look(at)?;
    let stat = fs::fstat(&place).on("lstat", at)?;
    if is_dir(&stat) {
        emit.prefix = name.to_vec();
        // What was looked at is what is opened.
        let dir = open_dir(&place, b".").on("open", at)?;
        let id = mount_id(&dir).on("stat", at)?;
        emit.tree(dir, &stat, Vec::new(), None, id, 0)?;
    } else {
        let (parent, base) = path::split(at);
        let parent = root.open(&parent, OFlags::PATH | OFlags::DIRECTORY).on("open", &parent)?;
        emit.node(&parent, &base, name.to_vec(), &stat)?;
    }
    emit.writer.finish().on("write", b"archive")
}

struct Emit<'a> {
    writer: Writer<'a>,
    /// The tree may change meanwhile; it is a mounted one, in which overlay's marks do not show.
    live: bool,
    marks: Marks,
    /// Mounts in the tree are entered, as far as this root has them open.
    copy: Option<&'a Root>,
    /// Before each member's name.
    prefix: Vec<u8>,
    /// First name of inodes that have several.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

fn member(stat: &Stat, name: Vec<u8>, kind: Kind) -> Member {
    let mut member = Member::new(kind, &name, permissions(stat).as_raw_mode());
    member.uid = stat.st_uid;
    member.gid = stat.st_gid;
    member.mtime = mtime(stat);
    member
}

impl<'a> Emit<'a> {
    fn new(out: &'a mut dyn Write, live: bool) -> Self {
        Self {
            writer: Writer::new(out),
            live,
            marks: Marks::Overlay,
            copy: None,
            prefix: Vec::new(),
            links: HashMap::new(),
            buffer: vec![0; BUFFER],
        }
    }

    /// `None` where a name of a live tree no longer is what it was.
    fn still<T>(&self, result: rustix::io::Result<T>) -> rustix::io::Result<Option<T>> {
        match result {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL | Errno::NXIO | Errno::STALE) if self.live => Ok(None),
            other => other.map(Some),
        }
    }

    fn header(&mut self, mut member: Member) -> Result<()> {
        if self.copy.is_some() {
            member.mtime.nanos = 0;
        }
        if !self.prefix.is_empty() {
            member.name = [&self.prefix[..], &member.name].concat();
            if member.kind == Kind::HardLink {
                member.link = [&self.prefix[..], &member.link].concat();
            }
        }
        self.writer.header(&member).on("write", &member.name)
    }

    /// A directory with its content. `outer` is the mount that its parent is on, `mount` its own.
    fn tree(&mut self, dir: OwnedFd, stat: &Stat, at: Vec<u8>, outer: Option<u64>, mount: u64, depth: usize) -> Result<()> {
        let closed = match self.copy {
            Some(root) if outer != Some(mount) => root.is_closed(dir.as_fd(), mount).on("look at", &at)?,
            _ => false,
        };
        let mut entry = member(stat, join(&at, b""), Kind::Directory);
        if !closed {
            entry.xattrs = xattr::read(&dir).on("read attributes of", &at)?;
        }
        self.header(entry)?;
        if closed { Ok(()) } else { self.content(&dir, &at, mount, depth) }
    }

    fn directory(&mut self, dir: impl AsFd, path: &[u8], depth: usize) -> Result<()> {
        self.content(dir, path, 0, depth)
    }

    /// What is in a directory. Only a layer's is read at once, since its order matters.
    fn content(&mut self, dir: impl AsFd, path: &[u8], mount: u64, depth: usize) -> Result<()> {
        check_depth(depth)?;
        if depth > 0 && !self.live && self.marks.hides(&dir).on("read attributes of", path)? {
            self.header(Member::new(Kind::Regular, &join(path, OPAQUE), 0o600))?;
        }
        let count = if self.live { NAMES } else { usize::MAX };
        fs::seek(&dir, fs::SeekFrom::Start(0)).on("read", path)?;
        loop {
            let names = more_names(&dir, count).on("read", path)?;
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                self.entry(&dir, &name, join(path, &name), mount, depth)?;
            }
            if count == usize::MAX {
                return Ok(());
            }
        }
    }

    fn entry(&mut self, dir: impl AsFd, name: &[u8], at: Vec<u8>, mount: u64, depth: usize) -> Result<()> {
        if !self.live && self.marks.is_own(name) {
            return Ok(());
        }
        // A name with our own prefix cannot be said in this format; nothing that reads layers could tell it from a whiteout.
        if name.starts_with(WHITEOUT) && !self.live {
            tracing::warn!(path = %String::from_utf8_lossy(&at), "left out of the archive: its name means removal there");
            return Ok(());
        }
        let Some(stat) = stat_opt(&dir, name).on("stat", &at)? else {
            return Ok(());
        };
        if self.marks.is_removal(&stat) && self.copy.is_none() {
            // When it was removed is nobody's business: a mark has no time, so a layer applied elsewhere gives the same bytes.
            let parent = &at[..at.len() - name.len()];
            return self.header(Member::new(Kind::Regular, &[parent, WHITEOUT, name].concat(), 0o600));
        }
        if !is_dir(&stat) {
            return self.node(&dir, name, at, &stat);
        }
        let Some(fd) = self.still(open_dir(&dir, name)).on("open", &at)? else { return Ok(()) };
        let inner = match self.copy {
            Some(_) => mount_id(&fd).on("stat", &at)?,
            None => mount,
        };
        self.tree(fd, &stat, at, Some(mount), inner, depth + 1)
    }

    /// A node that is no directory. Sockets are left out: no archive can hold them.
    fn node(&mut self, dir: impl AsFd, name: &[u8], at: Vec<u8>, stat: &Stat) -> Result<()> {
        let inode = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1 && kind(stat) != FileType::Socket {
            if let Some(first) = self.links.get(&inode) {
                let mut entry = member(stat, at, Kind::HardLink);
                entry.link = first.clone();
                return self.header(entry);
            }
            // A live tree has no bound; beyond this one further names are files of their own.
            if !self.live || self.links.len() < NAMES {
                self.links.insert(inode, at.clone());
            }
        }
        let kind = match kind(stat) {
            FileType::RegularFile => {
                if !self.file(dir, name, at)? {
                    self.links.remove(&inode);
                }
                return Ok(());
            }
            FileType::Symlink => {
                let mut entry = member(stat, at, Kind::Symlink);
                let Some(target) = self.still(fs::readlinkat(&dir, name, Vec::new())).on("read link", &entry.name)? else { return Ok(()) };
                entry.link = target.into_bytes();
                return self.header(entry);
            }
            FileType::CharacterDevice => Kind::Char,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            _ => return Ok(()),
        };
        let mut entry = member(stat, at, kind);
        if kind != Kind::Fifo {
            entry.device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
        }
        self.header(entry)
    }

    /// False where it is gone.
    fn file(&mut self, dir: impl AsFd, name: &[u8], at: Vec<u8>) -> Result<bool> {
        let Some(fd): Option<OwnedFd> = self.still(open_file(&dir, name)).on("open", &at)? else { return Ok(false) };
        let stat = fs::fstat(&fd).on("stat", &at)?;
        let mut entry = member(&stat, at, Kind::Regular);
        entry.size = stat.st_size as u64;
        entry.xattrs = xattr::read(&fd).on("read attributes of", &entry.name)?;
        let (at, size) = (entry.name.clone(), entry.size);
        self.header(entry)?;
        let mut left = size;
        while left > 0 {
            let wanted = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = match rustix::io::read(&fd, &mut self.buffer[..wanted]) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other.on("read", &at)?,
            };
            if read == 0 && self.live {
                self.buffer[..wanted].fill(0);
                self.writer.content(&self.buffer[..wanted]).on("write", &at)?;
                left -= wanted as u64;
                continue;
            }
            if read == 0 {
                return Err(Error::Io {
                    op: "read",
                    object: String::from_utf8_lossy(&at).into_owned(),
                    source: std::io::ErrorKind::UnexpectedEof.into(),
                });
            }
            self.writer.content(&self.buffer[..read]).on("write", &at)?;
            left -= read as u64;
        }
        Ok(true)
    }
}
