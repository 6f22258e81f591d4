//! What was changed in a full copy of the layers: as a layer, and in bytes.

use crate::changes::Changed;
use crate::store::{ChangeKind, Result, Usage};
use crate::tree::copy::{Links, attributes};
use crate::tree::{Context, is_dir, kind, open_dir, stat_opt};
use dhow_archive::tree::marks::Marks;
use rustix::fs::{self, FileType, Mode};
use rustix::io::Errno;
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// Makes a layer of what was changed in a copy, in the empty directory `to`. Changes are sorted, with the directories above each. What has
/// vanished since it was compared is left out.
pub(crate) fn layer(copy: &OwnedFd, changes: &[Changed], to: &OwnedFd, marks: Marks) -> Result<()> {
    let mut links = Links::new(to.try_clone().on("copy", b"/")?);
    let mut at = Pairs { copy, to, open: Vec::new() };
    for Changed { change, .. } in changes {
        let path = change.path.as_os_str().as_bytes();
        let mut parents: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|part| !part.is_empty()).collect();
        let Some(name) = parents.pop() else { continue };
        if !at.enter(&parents)? {
            continue;
        }
        if change.kind == ChangeKind::Deleted {
            marks.remove(at.target(), name).on("mark", path)?;
            continue;
        }
        let Some(stat) = stat_opt(at.source(), name).on("stat", path)? else { continue };
        if is_dir(&stat) {
            fs::mkdirat(at.target(), name, Mode::RWXU).on("make", path)?;
        } else {
            links.node(at.source(), at.target(), name, &stat, path.strip_prefix(b"/").unwrap_or(path))?;
        }
    }
    at.enter(&[])?;
    attributes(copy, to, b"")
}

/// The same directory in two trees, on a walk in the order of paths. The one in the target gets its attributes when it is left.
struct Pairs<'a> {
    copy: &'a OwnedFd,
    to: &'a OwnedFd,
    open: Vec<Pair>,
}

struct Pair {
    name: Vec<u8>,
    source: OwnedFd,
    target: OwnedFd,
}

impl Pairs<'_> {
    fn source(&self) -> &OwnedFd {
        self.open.last().map_or(self.copy, |pair| &pair.source)
    }

    fn target(&self) -> &OwnedFd {
        self.open.last().map_or(self.to, |pair| &pair.target)
    }

    /// False where it is no directory any more.
    fn enter(&mut self, path: &[&[u8]]) -> Result<bool> {
        let shared = self.open.iter().zip(path).take_while(|(pair, part)| pair.name == **part).count();
        while self.open.len() > shared
            && let Some(pair) = self.open.pop()
        {
            attributes(&pair.source, &pair.target, &pair.name)?;
        }
        for part in &path[shared..] {
            let open = |dir| match open_dir(dir, part) {
                Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
                other => other.map(Some).on("open", part),
            };
            let (Some(source), Some(target)) = (open(self.source())?, open(self.target())?) else { return Ok(false) };
            self.open.push(Pair { name: part.to_vec(), source, target });
        }
        Ok(true)
    }
}

/// What changed files and links take, each inode once, and how many inodes they and the root are.
pub(crate) fn usage(changes: &[Changed]) -> Usage {
    let mut usage = Usage { bytes: 0, inodes: 1 };
    let mut seen = HashSet::new();
    for stat in changes.iter().filter_map(|changed| changed.stat.as_ref()) {
        if stat.st_nlink > 1 && !is_dir(stat) && !seen.insert(stat.st_ino) {
            continue;
        }
        usage.inodes += 1;
        if matches!(kind(stat), FileType::RegularFile | FileType::Symlink) {
            usage.bytes += stat.st_size as u64;
        }
    }
    usage
}
