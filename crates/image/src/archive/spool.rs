//! The members of an archive, received in whatever order they come.

use crate::blobs::{Spooled, unreadable};
use crate::early::{Early, Received};
use crate::error::{Error, Result};
use dhow_archive::compress;
use dhow_archive::tarball::{Kind, Reader};
use dhow_storage::Limits;
use std::collections::HashMap;
use std::io::{self, BufRead, Read};
use std::path::{Component, Path};
use std::sync::Arc;

/// Bounds against endless streams, not against large images.
const LIMITS: Limits = Limits { bytes: 1 << 40, entries: 20_000, depth: 64, name: NAME_MAX, extensions: 1 << 20 };
/// Bytes of a member that tell what it is.
const HEAD: usize = 512;
/// Longest name or link.
const NAME_MAX: usize = 4096;
/// Links followed from one name.
const LINKS_MAX: usize = 8;

/// Regular members with their content, links by their targets.
#[derive(Debug, Default)]
pub(super) struct Members {
    files: HashMap<String, Arc<Spooled>>,
    links: HashMap<String, String>,
    /// Members that looked like layers and are none, and why.
    broken: HashMap<String, String>,
}

impl Members {
    /// Receives every member. Names that lead out of the archive are refused, and so are sparse members: their holes would be
    /// written out, and no program that writes image archives makes them.
    pub(super) fn read(early: &mut Early<'_>, stream: &mut dyn BufRead) -> Result<Self> {
        let mut plain = compress::buffered(stream).map_err(|e| unreadable(&e))?;
        // The digests that count are those of the members.
        let mut tar = Reader::over(&mut plain, LIMITS).plain();
        let mut members = Self::default();
        let mut late = HashMap::new();
        while let Some(member) = tar.next()? {
            let name = clean(&member.name)?;
            match member.kind {
                Kind::Regular if member.sparse.is_some() => {
                    return Err(Error::Archive(format!("{}: sparse members are not accepted", member.shown())));
                }
                Kind::Regular => {
                    let head = tar.peek()?;
                    let head = head[..head.len().min(HEAD)].to_vec();
                    // Of two with one name the later one counts.
                    late.remove(&name);
                    match early.receive(&mut Content(&mut tar), member.size, &head)? {
                        Received::Now(spooled) => drop(members.files.insert(name, Arc::new(spooled))),
                        Received::Layer(plain) => drop(late.insert(name, plain)),
                    }
                }
                Kind::Symlink => drop(members.links.insert(name.clone(), beside(&name, &member.link)?)),
                Kind::HardLink => drop(members.links.insert(name, clean(&member.link)?)),
                // Directories say nothing; anything else has no place in an image archive and is passed over.
                Kind::Directory | Kind::Char | Kind::Block | Kind::Fifo => {}
            }
        }
        // To the end of the stream: a compressed one has its check sum there.
        tar.finish()?;
        for (name, plain) in late {
            match early.settle(*plain) {
                Ok(spooled) => drop(members.files.insert(name, Arc::new(spooled))),
                // Nothing may ask for it.
                Err(Error::Archive(reason)) => {
                    members.files.remove(&name);
                    members.broken.insert(name, reason);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(members)
    }

    /// Names of the regular members and of the links.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().chain(self.links.keys()).map(String::as_str)
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
            if let Some(reason) = self.broken.get(&at) {
                return Err(Error::Archive(reason.clone()));
            }
            match self.links.get(&at) {
                Some(target) => at.clone_from(target),
                None => break,
            }
        }
        Err(Error::Archive(format!("{name} is missing")))
    }

    /// There is content under this digest.
    pub(super) fn has_blob(&self, digest: &str) -> bool {
        digest.strip_prefix("sha256:").is_some_and(|hex| self.has(&format!("blobs/sha256/{hex}")))
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

/// The content of a reader's current member.
struct Content<'a, 'b>(&'a mut Reader<'b>);

impl Read for Content<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let chunk = self.0.peek().map_err(|error| match error {
            dhow_archive::Error::Io { source, .. } => source,
            other => io::Error::other(other),
        })?;
        let count = chunk.len().min(out.len());
        out[..count].copy_from_slice(&chunk[..count]);
        self.0.consume(count);
        Ok(count)
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
        for (name, expect) in
            [("./a/b", Some("a/b")), ("/a", Some("a")), ("a//b/", Some("a/b")), ("../a", None), ("a/../../b", None), ("a\0", None)]
        {
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
