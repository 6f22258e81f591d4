//! This machine's end of a copy.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use dhow_archive::{Extract, Owner, Root, emit, path};

use super::plan::{Found, Plan, Target};
use crate::options::os_error;

/// Links that a destination may lead through.
const LINKS: usize = 10;

/// What is to be copied from here.
#[derive(Debug)]
pub(crate) struct Source {
    root: Root,
    at: Vec<u8>,
    /// It is a directory.
    pub(crate) is_dir: bool,
    /// How it is called, `.` for what is in a directory.
    pub(crate) name: Vec<u8>,
}

/// What the kernel said of a path.
fn io_words(op: &str, path: &[u8], error: &io::Error) -> String {
    format!("{op} {}: {}", String::from_utf8_lossy(path), os_error(error))
}

fn os(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The path from `/` on, clean, with its ending.
pub(crate) fn absolute(text: &str) -> Result<Vec<u8>, String> {
    let here = std::env::current_dir().map_err(|e| io_words("getwd", b"", &e))?;
    let whole = if text.starts_with('/') { text.as_bytes().to_vec() } else { path::join(here.as_os_str().as_bytes(), text.as_bytes()) };
    Ok(path::keep_ending(path::clean(&whole), text.as_bytes()))
}

fn host() -> Result<Root, String> {
    root(b"/")
}

fn root(dir: &[u8]) -> Result<Root, String> {
    let opened = File::open(os(dir)).map_err(|e| io_words("open", dir, &e))?;
    Root::new(opened.into()).map_err(|e| e.words())
}

/// Looks at what is to be copied; `follow`: at what a link leads to.
pub(crate) fn source(at: Vec<u8>, follow: bool) -> Result<Source, String> {
    let name = path::base(&at).to_vec();
    let root = host()?;
    let refused = |e: io::Error| match e.kind() {
        io::ErrorKind::NotADirectory => "not a directory".to_owned(),
        _ => {
            // What is missing may be where a link leads.
            let target = root.stat(&at).map(|stat| stat.target).unwrap_or_default();
            io_words("lstat", first_missing(if follow && !target.is_empty() { &target } else { &at }), &e)
        }
    };
    let found = match follow {
        true => {
            let real = std::fs::canonicalize(os(&at)).map_err(refused)?;
            path::keep_ending(real.as_os_str().as_bytes().to_vec(), &at)
        }
        false => at.clone(),
    };
    std::fs::symlink_metadata(os(&found)).map_err(refused)?;
    let is_dir = root.stat(&found).map_err(|e| e.words())?.is_dir();
    Ok(Source { root, at: found, is_dir, name })
}

/// The part of a path from which on there is nothing.
fn first_missing(at: &[u8]) -> &[u8] {
    let slashes = at.iter().enumerate().skip(1).filter(|(_, b)| **b == b'/').map(|(i, _)| i);
    slashes.map(|end| &at[..end]).find(|part| std::fs::symlink_metadata(os(part)).is_err()).unwrap_or(at)
}

impl Source {
    /// Writes an archive of it, in which it has this name.
    pub(crate) fn write(&self, name: &[u8], out: &mut dyn Write) -> Result<(), String> {
        let mut name = name.to_vec();
        if self.is_dir && !name.ends_with(b"/") {
            name.push(b'/');
        }
        emit::copy(&self.root, &self.at, &name, out).map_err(|e| e.words())
    }
}

/// Docker's check of a place to write to: its directory is there, and it is a file or a directory itself.
pub(crate) fn check_target(at: &[u8]) -> Result<(), String> {
    let cleaned = path::clean(at);
    let (dir, _) = path::split(&cleaned);
    if !os(&dir).exists() {
        return Err(format!("invalid output path: directory {:?} does not exist", String::from_utf8_lossy(&dir)));
    }
    let Ok(found) = std::fs::metadata(os(at)) else { return Ok(()) };
    let kind = found.file_type();
    if kind.is_char_device() || kind.is_block_device() {
        return Err(format!("invalid output path: {:?} must be a directory or a regular file: got a device", String::from_utf8_lossy(at)));
    }
    Ok(())
}

/// Where a copy goes here. Links at the end are followed, also one that leads to nothing yet.
pub(crate) fn target(at: &[u8]) -> Result<Target, String> {
    let mut here = at.to_vec();
    for _ in 0..=LINKS {
        let found = match std::fs::symlink_metadata(os(&here)) {
            Ok(meta) if meta.is_symlink() => {
                let link = std::fs::read_link(os(&here)).map_err(|e| io_words("readlink", &here, &e))?;
                let (parent, _) = path::split(&here);
                here = path::clean(parent_join(&parent, link.as_os_str().as_bytes()).as_slice());
                continue;
            }
            Ok(meta) if meta.is_dir() => Found::Directory,
            Ok(_) => Found::Other,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let (parent, _) = path::split(&here);
                match std::fs::metadata(os(&parent)) {
                    Ok(meta) if meta.is_dir() => Found::Nothing,
                    Ok(_) => return Err("not a directory".into()),
                    Err(e) => return Err(io_words("stat", &parent, &e)),
                }
            }
            Err(e) => return Err(io_words("lstat", &here, &e)),
        };
        return Ok(Target { path: here, found });
    }
    Err(format!("too many symlinks in {}", String::from_utf8_lossy(at)))
}

fn parent_join(parent: &[u8], link: &[u8]) -> Vec<u8> {
    if link.starts_with(b"/") { link.to_vec() } else { path::join(parent, link) }
}

/// Unpacks an archive here. `owners`: with the owners that it names.
pub(crate) fn unpack(plan: &Plan, rename: Option<&(Vec<u8>, Vec<u8>)>, owners: bool, tar: &mut dyn Read) -> Result<(), String> {
    let root = root(&plan.dir)?;
    let extract = Extract {
        root: &root,
        at: b"/",
        shown: &path::clean(&plan.dir),
        owner: if owners { Owner::Archive } else { Owner::Caller },
        keep_kinds: true,
        rename: rename.map(|(old, new)| (&old[..], &new[..])),
    };
    extract.run(tar).map_err(|e| e.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let at = |name: &str| path::join(base.as_os_str().as_bytes(), name.as_bytes());
        std::fs::create_dir(base.join("d")).unwrap();
        std::fs::write(base.join("f"), "").unwrap();
        for (link, to) in [("to-d", "d"), ("to-f", "f"), ("to-none", "none"), ("loop", "loop"), ("far", "nowhere/x")] {
            std::os::unix::fs::symlink(to, base.join(link)).unwrap();
        }
        let check = |name: &str, expect: Result<(&str, Found), &str>| {
            let got = target(&at(name));
            match expect {
                Ok((path, found)) => assert_eq!(got, Ok(Target { path: at(path), found }), "{name}"),
                Err(text) => assert!(got.as_ref().is_err_and(|e| e.contains(text)), "{name}: {got:?}"),
            }
        };
        check("d", Ok(("d", Found::Directory)));
        check("d/", Ok(("d/", Found::Directory)));
        check("f", Ok(("f", Found::Other)));
        check("f/", Err("not a directory"));
        check("to-d", Ok(("d", Found::Directory)));
        check("to-f", Ok(("f", Found::Other)));
        check("to-none", Ok(("none", Found::Nothing)));
        check("new", Ok(("new", Found::Nothing)));
        check("no/new", Err("no such file or directory"));
        check("far", Err("no such file or directory"));
        check("loop", Err("too many symlinks"));
    }

    #[test]
    fn a_source_is_named_as_it_was_typed() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let at = |name: &str| path::join(base.as_os_str().as_bytes(), name.as_bytes());
        std::fs::create_dir(base.join("d")).unwrap();
        std::fs::write(base.join("d/f"), "").unwrap();
        std::os::unix::fs::symlink("d", base.join("link")).unwrap();
        for (name, follow, is_dir, known_as) in [
            ("d", false, true, "d"),
            ("d/.", false, true, "."),
            ("d/f", false, false, "f"),
            ("link", false, false, "link"),
            ("link", true, true, "link"),
            ("link/", false, true, "link"),
            ("link/.", false, true, "."),
        ] {
            let got = source(at(name), follow).unwrap();
            assert_eq!((got.is_dir, String::from_utf8_lossy(&got.name).as_ref()), (is_dir, known_as), "{name} {follow}");
        }
        let error = source(at("no/such/file"), false).unwrap_err();
        assert!(error.ends_with("/no: no such file or directory"), "{error}");
        assert!(source(at("d/f/"), false).unwrap_err().ends_with("not a directory"));
    }
}
