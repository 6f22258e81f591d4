//! The members of an archive, received in whatever order they come.

use crate::blobs::{Blobs, Spooled, unreadable};
use crate::compress;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Component, Path};
use std::sync::Arc;

/// Most members of an archive.
const MEMBERS_MAX: usize = 20_000;
/// Longest name or link.
const NAME_MAX: usize = 4096;
/// Most bytes in all: a bound against endless streams, not against large images.
const BYTES_MAX: u64 = 1 << 40;
/// Links followed from one name.
const LINKS_MAX: usize = 8;

/// Regular members with their content, links by their targets.
#[derive(Debug, Default)]
pub(super) struct Members {
    files: HashMap<String, Arc<Spooled>>,
    links: HashMap<String, String>,
}

impl Members {
    /// Receives every member. Names that lead out of the archive are refused.
    pub(super) fn read(blobs: &Blobs, stream: &mut dyn Read) -> Result<Self> {
        let plain = compress::reader(stream).map_err(|e| unreadable(&e))?;
        let mut tar = tar::Archive::new(plain);
        let mut members = Self::default();
        let mut room = BYTES_MAX;
        for (count, entry) in tar.entries().map_err(|e| unreadable(&e))?.enumerate() {
            if count >= MEMBERS_MAX {
                return Err(Error::Archive(format!("more than {MEMBERS_MAX} members")));
            }
            let mut entry = entry.map_err(|e| unreadable(&e))?;
            let name = clean(&entry.path_bytes())?;
            match entry.header().entry_type() {
                tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                    let size = entry.size();
                    if size > room {
                        return Err(Error::Archive(format!("more than {BYTES_MAX} bytes")));
                    }
                    room -= size;
                    let spooled = blobs.spool(&mut entry, size)?;
                    if spooled.size() != size {
                        return Err(Error::Archive("unexpected EOF".into()));
                    }
                    members.files.insert(name, Arc::new(spooled));
                }
                kind @ (tar::EntryType::Symlink | tar::EntryType::Link) => {
                    let target = entry.link_name_bytes().unwrap_or_default();
                    let target = if kind.is_symlink() { beside(&name, &target)? } else { clean(&target)? };
                    members.links.insert(name, target);
                }
                // Directories say nothing; anything else has no place in an image archive and is passed over.
                _ => {}
            }
        }
        Ok(members)
    }

    /// There is such a member.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_ok()
    }

    /// A member's content, through the links of the archive.
    pub(super) fn get(&self, name: &str) -> Result<Arc<Spooled>> {
        let mut at = clean(name.as_bytes())?;
        for _ in 0..=LINKS_MAX {
            if let Some(file) = self.files.get(&at) {
                return Ok(file.clone());
            }
            match self.links.get(&at) {
                Some(target) => at.clone_from(target),
                None => break,
            }
        }
        Err(Error::Archive(format!("{name} is missing")))
    }

    /// Content by digest, in the place where an OCI layout keeps it, checked against it.
    pub(super) fn blob(&self, digest: &str) -> Result<Arc<Spooled>> {
        let name = dhow_storage::DiffId::parse(digest).map_err(|_| Error::Archive(format!("invalid digest {digest:?}")))?;
        let file = self.get(&format!("blobs/sha256/{}", name.hex()))?;
        if file.digest() != digest {
            return Err(Error::Archive(format!("blob {digest} has the content of {}", file.digest())));
        }
        Ok(file)
    }
}

/// A member's name without `./` and leading slashes; `..` is refused.
fn clean(name: &[u8]) -> Result<String> {
    let invalid = || Error::Archive(format!("invalid name {:?}", String::from_utf8_lossy(&name[..name.len().min(200)])));
    let text = std::str::from_utf8(name).ok().filter(|t| t.len() <= NAME_MAX && !t.contains('\0')).ok_or_else(invalid)?;
    let mut parts = Vec::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(invalid)?),
            Component::CurDir | Component::RootDir => {}
            _ => return Err(invalid()),
        }
    }
    Ok(parts.join("/"))
}

/// A symlink's target, relative to the directory of its name; it may climb, but not out.
fn beside(name: &str, target: &[u8]) -> Result<String> {
    let target = std::str::from_utf8(target).ok().filter(|t| t.len() <= NAME_MAX);
    let target = target.ok_or_else(|| Error::Archive(format!("invalid link of {name:?}")))?;
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(Error::Archive(format!("the link {name:?} leads out of the archive")));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for (name, expect) in [("./a/b", Some("a/b")), ("/a", Some("a")), ("a//b/", Some("a/b")), ("../a", None), ("a/../../b", None), ("a\0", None)] {
            assert_eq!(clean(name.as_bytes()).ok().as_deref(), expect, "{name:?}");
        }
        for (name, target, expect) in [
            ("x/layer.tar", "../y/layer.tar", Some("y/layer.tar")),
            ("x/layer.tar", "z", Some("x/z")),
            ("x/layer.tar", "../../etc/passwd", None),
        ] {
            assert_eq!(beside(name, target.as_bytes()).ok().as_deref(), expect, "{name} {target}");
        }
    }
}
