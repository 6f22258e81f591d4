//! The `dir` form: file contents in numbered files while the archive is read, then every name put in its place.

use crate::layer::Sink;
use crate::store::Result;
use crate::tarball::{Member, Reader};
use crate::tree::{Context, copy, join, open_dir, owner, timestamps, xattr};
use dhow_archive::tree::marks::Marks;
use dhow_archive::tree::node;
use dhow_erofs::{Attributes, Content, File, NodeId, Tree};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a settled tree has at a directory that hides what is below it.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// Where file contents wait for their names.
#[derive(Debug)]
pub(crate) struct Files(pub(crate) OwnedFd);

impl Sink for Files {
    fn take(&mut self, id: NodeId, member: &Member, reader: &mut Reader<'_>) -> Result<File> {
        node::make(&self.0, &number(id), member, reader, true, &member.name)?;
        Ok(File { size: member.size, extents: Vec::new() })
    }

    fn copy(&mut self, id: NodeId, dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Result<File> {
        copy::file(dir, name, &self.0, &number(id)).on("copy", name)?;
        Ok(File { size: stat.st_size as u64, extents: Vec::new() })
    }
}

/// The content of files that lie in devices of an index instead: a tar, and what is beside it.
pub(crate) type Devices<'a> = &'a [&'a OwnedFd];

/// What file contents come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Contents<'a> {
    /// Files by the numbers of their nodes, with all their attributes. They are moved away.
    Files(&'a Files),
    /// Pieces of other files.
    Devices(Devices<'a>),
}

/// Makes the tree, which is settled, in the empty directory `root`.
pub(crate) fn write(tree: &Tree, contents: Contents<'_>, root: &OwnedFd, marks: Marks) -> Result<()> {
    let top = root.try_clone().on("open", b"/")?;
    let mut writer = Writer { tree, contents, root: top, marks, named: HashMap::new() };
    writer.directory(root, Tree::ROOT, b"")
}

struct Writer<'a> {
    tree: &'a Tree,
    contents: Contents<'a>,
    root: OwnedFd,
    marks: Marks,
    /// Paths of nodes that have one already.
    named: HashMap<NodeId, Vec<u8>>,
}

impl Writer<'_> {
    /// What is in a directory, then its attributes, since making children changes its time.
    fn directory(&mut self, dir: &OwnedFd, id: NodeId, path: &[u8]) -> Result<()> {
        let tree = self.tree;
        for (name, &child) in tree.entries(id).into_iter().flatten() {
            let at = join(path, name);
            if tree.entries(child).is_some() {
                fs::mkdirat(dir, &name[..], Mode::RWXU).on("make", &at)?;
                self.directory(&open_dir(dir, name).on("open", &at)?, child, &at)?;
            } else if let Some(first) = self.named.get(&child) {
                fs::linkat(&self.root, &first[..], dir, &name[..], AtFlags::empty()).on("link", &at)?;
            } else {
                self.node(dir, name, child, &at)?;
                self.named.insert(child, at);
            }
        }
        let attributes = &tree.node(id).attributes;
        own(dir, attributes, path)?;
        if attributes.xattrs.iter().any(|(name, _)| name == OPAQUE) {
            self.marks.hide(dir).on("set attributes of", path)?;
        }
        fs::futimens(dir, &times(attributes)).on("set times of", path)
    }

    fn node(&mut self, dir: &OwnedFd, name: &[u8], id: NodeId, path: &[u8]) -> Result<()> {
        let node = self.tree.node(id);
        match &node.content {
            Content::File(file) => return self.file(dir, name, id, file, path),
            Content::Symlink(target) => fs::symlinkat(&target[..], dir, name).on("make link", path)?,
            Content::Char(0, 0) => return self.marks.remove(dir, name).on("make whiteout", path),
            Content::Char(major, minor) => device(dir, name, FileType::CharacterDevice, (*major, *minor), path)?,
            Content::Block(major, minor) => device(dir, name, FileType::BlockDevice, (*major, *minor), path)?,
            Content::Fifo => device(dir, name, FileType::Fifo, (0, 0), path)?,
            Content::Directory(_) => return Ok(()),
        }
        let (uid, gid) = owner(node.attributes.uid, node.attributes.gid);
        fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).on("chown", path)?;
        if !matches!(node.content, Content::Symlink(_)) {
            // Nobody else is here: what was made a moment ago is no link.
            fs::chmodat(dir, name, Mode::from_raw_mode(node.attributes.mode.into()), AtFlags::empty()).on("chmod", path)?;
        }
        fs::utimensat(dir, name, &times(&node.attributes), AtFlags::SYMLINK_NOFOLLOW).on("set times of", path)
    }

    fn file(&self, dir: &OwnedFd, name: &[u8], id: NodeId, file: &File, path: &[u8]) -> Result<()> {
        let devices = match self.contents {
            Contents::Files(files) => return fs::renameat(&files.0, number(id), dir, name).on("move", path),
            Contents::Devices(devices) => devices,
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR).on("make", path)?;
        fs::ftruncate(&target, file.size).on("write", path)?;
        for extent in &file.extents {
            let device = devices.get(usize::from(extent.device)).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound));
            copy::range(device.on("read", path)?, extent.position, &target, extent.offset, extent.length).on("copy", path)?;
        }
        let attributes = &self.tree.node(id).attributes;
        own(&target, attributes, path)?;
        fs::futimens(&target, &times(attributes)).on("set times of", path)
    }
}

/// Owner, mode and extended attributes.
fn own(fd: impl AsFd, attributes: &Attributes, path: &[u8]) -> Result<()> {
    node::own(&fd, attributes.uid, attributes.gid, attributes.mode.into(), true, path)?;
    Ok(xattr::write(&fd, &attributes.xattrs, path)?)
}

fn device(dir: &OwnedFd, name: &[u8], kind: FileType, (major, minor): (u32, u32), path: &[u8]) -> Result<()> {
    fs::mknodat(dir, name, kind, Mode::empty(), fs::makedev(major, minor)).on("make device", path)
}

fn times(attributes: &Attributes) -> fs::Timestamps {
    timestamps(crate::tarball::Time { seconds: attributes.mtime.seconds, nanos: attributes.mtime.nanos })
}

fn number(id: NodeId) -> Vec<u8> {
    id.index().to_string().into_bytes()
}
