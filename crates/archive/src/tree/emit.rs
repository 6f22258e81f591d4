//! A layer's tree written as a tar, reproducibly: the order is that of the names' bytes, and nothing of the host shows.
//!
//! A tree that somebody writes to meanwhile can be written too: what vanishes is left out, and a file has the length that it had when its turn
//! came, filled up with zeros where it has become shorter.

use super::{check_depth, is_dir, is_whiteout, join, kind, mtime, names, open_dir, open_file, permissions, stat_opt, xattr};
use crate::tarball::{Kind, Member, Writer};
use crate::{Context, Error, Result};
use rustix::fs::{self, FileType, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

const BUFFER: usize = 128 * 1024;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Writes the tree under `root`. With `own_root` the first member is the root directory itself (`./`).
pub fn tar(root: impl AsFd, own_root: bool, out: &mut dyn Write) -> Result<()> {
    let mut emit = Emit::new(out, false);
    if own_root {
        let stat = fs::fstat(&root).on("stat", b"/")?;
        let mut member = member(&stat, b"./".to_vec(), Kind::Directory);
        member.xattrs = xattr::read(&root).on("read attributes of", b"/")?;
        emit.header(&member)?;
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

struct Emit<'a> {
    writer: Writer<'a>,
    /// The tree may change meanwhile; it is a mounted one, in which overlay's marks do not show.
    live: bool,
    /// First name of inodes that have several.
    links: HashMap<u64, Vec<u8>>,
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
        Self { writer: Writer::new(out), live, links: HashMap::new(), buffer: vec![0; BUFFER] }
    }

    /// `None` where a name of a live tree no longer is what it was.
    fn still<T>(&self, result: rustix::io::Result<T>) -> rustix::io::Result<Option<T>> {
        match result {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL | Errno::NXIO | Errno::STALE) if self.live => Ok(None),
            other => other.map(Some),
        }
    }

    fn header(&mut self, member: &Member) -> Result<()> {
        self.writer.header(member).on("write", &member.name)
    }

    fn directory(&mut self, dir: impl AsFd, path: &[u8], depth: usize) -> Result<()> {
        check_depth(depth)?;
        if depth > 0 && !self.live && xattr::is_opaque(&dir).on("read attributes of", path)? {
            self.header(&Member::new(Kind::Regular, &join(path, OPAQUE), 0o600))?;
        }
        for name in names(&dir).on("read", path)? {
            let at = join(path, &name);
            // A name with our own prefix cannot be said in this format; nothing that reads layers could tell it from a whiteout.
            if name.starts_with(WHITEOUT) && !self.live {
                tracing::warn!(path = %String::from_utf8_lossy(&at), "left out of the archive: its name means removal there");
                continue;
            }
            let Some(stat) = stat_opt(&dir, &name).on("stat", &at)? else {
                continue;
            };
            if is_whiteout(&stat) {
                // When it was removed is nobody's business: a mark has no time, so a layer applied elsewhere gives the same bytes.
                self.header(&Member::new(Kind::Regular, &join(path, &[WHITEOUT, &name[..]].concat()), 0o600))?;
            } else if is_dir(&stat) {
                let Some(fd) = self.still(open_dir(&dir, &name)).on("open", &at)? else { continue };
                let mut entry = member(&stat, join(&at, b""), Kind::Directory);
                entry.xattrs = xattr::read(&fd).on("read attributes of", &at)?;
                self.header(&entry)?;
                self.directory(&fd, &at, depth + 1)?;
            } else {
                self.node(&dir, &name, at, &stat)?;
            }
        }
        Ok(())
    }

    fn node(&mut self, dir: impl AsFd, name: &[u8], at: Vec<u8>, stat: &Stat) -> Result<()> {
        if stat.st_nlink > 1 && kind(stat) != FileType::Socket {
            if let Some(first) = self.links.get(&stat.st_ino) {
                let mut entry = member(stat, at, Kind::HardLink);
                entry.link = first.clone();
                return self.header(&entry);
            }
            self.links.insert(stat.st_ino, at.clone());
        }
        let kind = match kind(stat) {
            FileType::RegularFile => return self.file(dir, name, at),
            FileType::Symlink => {
                let mut entry = member(stat, at, Kind::Symlink);
                let Some(target) = self.still(fs::readlinkat(&dir, name, Vec::new())).on("read link", &entry.name)? else { return Ok(()) };
                entry.link = target.into_bytes();
                return self.header(&entry);
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
        self.header(&entry)
    }

    fn file(&mut self, dir: impl AsFd, name: &[u8], at: Vec<u8>) -> Result<()> {
        let Some(fd): Option<OwnedFd> = self.still(open_file(&dir, name)).on("open", &at)? else { return Ok(()) };
        let stat = fs::fstat(&fd).on("stat", &at)?;
        let mut entry = member(&stat, at, Kind::Regular);
        entry.size = stat.st_size as u64;
        entry.xattrs = xattr::read(&fd).on("read attributes of", &entry.name)?;
        self.header(&entry)?;
        let mut left = entry.size;
        while left > 0 {
            let wanted = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = match rustix::io::read(&fd, &mut self.buffer[..wanted]) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other.on("read", &entry.name)?,
            };
            if read == 0 && self.live {
                self.buffer[..wanted].fill(0);
                self.writer.content(&self.buffer[..wanted]).on("write", &entry.name)?;
                left -= wanted as u64;
                continue;
            }
            if read == 0 {
                return Err(Error::Io { op: "read", object: entry.shown(), source: std::io::ErrorKind::UnexpectedEof.into() });
            }
            self.writer.content(&self.buffer[..read]).on("write", &entry.name)?;
            left -= read as u64;
        }
        Ok(())
    }
}
