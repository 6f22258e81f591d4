//! Trees made archives and archives made trees: what a copy keeps, and what hostile ones do not reach.
#![allow(clippy::unwrap_used, reason = "a panic is a test's result")]

use dhow_archive::tarball::{Kind, Member, Writer};
use dhow_archive::{Error, Extract, Owner, Root, emit, path};
use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A root with a neighbour that nothing may touch.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/in")).unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        Self { dir }
    }

    fn root(&self) -> Root {
        Root::new(File::open(self.path("")).unwrap().into()).unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("root").join(name)
    }

    fn extract(&self, tar: &[u8], keep_kinds: bool) -> Result<(), Error> {
        let root = self.root();
        let how = Extract { root: &root, at: b"/in", shown: b"/in", owner: Owner::Caller, keep_kinds, rename: None };
        how.run(&mut &tar[..])
    }

    fn copy(&self, at: &str) -> Result<Vec<u8>, Error> {
        let root = self.root();
        let at = path::absolute(at.as_bytes());
        let stat = root.stat(&at)?;
        let slash: &[u8] = if stat.is_dir() && stat.name != b"/" { b"/" } else { b"" };
        let mut out = Vec::new();
        emit::copy(&root, &at, &[&stat.name[..], slash].concat(), &mut out)?;
        Ok(out)
    }

    /// The neighbour is as it was.
    fn assert_untouched(&self, what: &str) {
        let names: Vec<_> = std::fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{what}: {names:?}");
        let names: Vec<_> = std::fs::read_dir(self.dir.path().join("outside")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"], "{what}");
        let secret = self.dir.path().join("outside/secret");
        assert_eq!(std::fs::read(&secret).unwrap(), b"secret", "{what}");
        assert_eq!(std::fs::metadata(&secret).unwrap().nlink(), 1, "{what}");
    }
}

fn archive(members: &[(Kind, &str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    for (kind, name, extra) in members {
        let mut member = Member::new(*kind, name.as_bytes(), 0o640);
        match kind {
            Kind::Regular => member.size = extra.len() as u64,
            Kind::Char | Kind::Block => member.device = (10, 130),
            _ => member.link = extra.as_bytes().to_vec(),
        }
        if *kind == Kind::Directory {
            member.mode = 0o750;
        }
        member.mtime.seconds = 86_400;
        writer.header(&member).unwrap();
        if *kind == Kind::Regular {
            writer.content(extra.as_bytes()).unwrap();
        }
    }
    writer.finish().unwrap();
    out
}

fn members(tar: &[u8]) -> Vec<(String, u8)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(Result::unwrap);
    entries.map(|e| (String::from_utf8_lossy(&e.path_bytes()).into_owned(), e.header().entry_type().as_byte())).collect()
}

#[test]
fn what_an_archive_brings() {
    let place = Place::new();
    let tar = archive(&[
        (Kind::Directory, "d", ""),
        (Kind::Regular, "d/f", "text"),
        (Kind::HardLink, "d/again", "d/f"),
        (Kind::Symlink, "d/link", "f"),
        (Kind::Regular, "implied/deep/f", "x"),
        (Kind::Fifo, "pipe", ""),
    ]);
    place.extract(&tar, true).unwrap();
    // Once more, over what is there.
    place.extract(&tar, true).unwrap();
    let stat = |name: &str| std::fs::symlink_metadata(place.path(name)).unwrap();
    assert_eq!(std::fs::read_to_string(place.path("in/d/again")).unwrap(), "text");
    assert_eq!((stat("in/d/f").nlink(), stat("in/d/f").mtime(), stat("in/d/f").permissions().mode() & 0o7777), (2, 86_400, 0o640));
    assert_eq!((stat("in/d").mtime(), stat("in/d").permissions().mode() & 0o7777), (86_400, 0o750));
    assert_eq!(stat("in/implied").permissions().mode() & 0o7777, 0o755);
    assert_eq!(std::fs::read_link(place.path("in/d/link")).unwrap(), Path::new("f"));
}

#[test]
fn kinds_give_way_only_where_they_may() {
    let check = |there: Kind, comes: Kind, keep: bool, expect: Result<(), &str>| {
        let place = Place::new();
        match there {
            Kind::Directory => std::fs::create_dir_all(place.path("in/x/below")).unwrap(),
            Kind::Symlink => symlink("/outside", place.path("in/x")).unwrap(),
            _ => std::fs::write(place.path("in/x"), "old").unwrap(),
        }
        let got = place.extract(&archive(&[(comes, "x", if comes == Kind::Symlink { "to" } else { "" })]), keep);
        assert_eq!(got.map_err(|e| e.words()), expect.map_err(str::to_owned), "{there:?} {comes:?} {keep}");
    };
    use Kind::{Directory, Regular, Symlink};
    check(Directory, Regular, true, Err("cannot overwrite directory \"/in/x\" with non-directory \"/in\""));
    check(Directory, Symlink, true, Err("cannot overwrite directory \"/in/x\" with non-directory \"/in\""));
    check(Regular, Directory, true, Err("cannot overwrite non-directory \"/in/x\" with directory \"/in\""));
    check(Symlink, Directory, true, Err("cannot overwrite non-directory \"/in/x\" with directory \"/in\""));
    for (there, comes) in [(Directory, Regular), (Regular, Directory), (Symlink, Directory), (Directory, Symlink)] {
        check(there, comes, false, Ok(()));
    }
    for same in [Directory, Regular, Symlink] {
        check(same, same, true, Ok(()));
    }
    check(Symlink, Regular, true, Ok(()));
}

#[test]
fn class09_hostile_archives_stay_inside() {
    use Kind::{Char, Directory, HardLink, Regular, Symlink};
    let check = |members: &[(Kind, &str, &str)], expect: Result<(), &str>| {
        let place = Place::new();
        let got = place.extract(&archive(members), true).map_err(|e| e.words());
        match expect {
            Ok(()) => assert_eq!(got, Ok(()), "{members:?}"),
            Err(text) => assert!(got.as_ref().is_err_and(|e| e.contains(text)), "{members:?}: {got:?}"),
        }
        place.assert_untouched(&format!("{members:?}"));
    };
    check(&[(Regular, "../x", "x")], Err("\"../x\" is outside of \"/in\""));
    check(&[(Regular, "a/../../x", "x")], Err("is outside of"));
    check(&[(Regular, "/../../outside/x", "x")], Ok(()));
    check(&[(Regular, "/outside/x", "x")], Ok(()));
    check(&[(HardLink, "x", "../../outside/secret")], Err("invalid hardlink"));
    check(&[(HardLink, "x", "/outside/secret")], Err("no such file"));
    check(&[(Symlink, "up", "../../outside"), (Regular, "up/x", "x")], Err("file exists"));
    check(&[(Symlink, "up", "../../outside"), (HardLink, "x", "up/secret")], Err("no such file"));
    check(&[(Symlink, "up", "../../outside/secret"), (Regular, "up", "x")], Ok(()));
    check(&[(Symlink, "up", "../../outside"), (Directory, "up", "")], Err("cannot overwrite"));
    check(&[(Symlink, "proc", "/proc/self/root"), (Regular, "proc/x", "x")], Err("file exists"));
    check(&[(Regular, "", "x")], Err("cannot overwrite directory"));
    check(&[(Char, ".", "")], Err("cannot overwrite directory"));
}

#[test]
fn class09_cve_2018_15664_a_directory_swapped_for_a_link() {
    let place = Place::new();
    let (a, b) = (place.path("in/swap"), place.path("in/other"));
    std::fs::create_dir(&a).unwrap();
    std::fs::write(a.join("secret"), "inside").unwrap();
    symlink(place.dir.path().join("outside"), &b).unwrap();
    let (root, stop) = (File::open(place.path("in")).unwrap(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(&root, "swap", &root, "other", rustix::fs::RenameFlags::EXCHANGE).unwrap();
            }
        });
        let write = archive(&[(Kind::Regular, "swap/new", "x"), (Kind::Regular, "other/new", "x")]);
        for _ in 0..300 {
            // Each may fail or not: neither may see or touch what lies outside.
            let _raced = place.extract(&write, true);
            if let Ok(out) = place.copy("/in/swap/secret") {
                assert!(!out.windows(6).any(|w| w == b"secret" && out.starts_with(b"inside")));
                let mut archive = tar::Archive::new(&out[..]);
                for entry in archive.entries().unwrap() {
                    assert_eq!(std::io::read_to_string(entry.unwrap()).unwrap(), "inside");
                }
            }
            if let Ok(out) = place.copy("/in") {
                let mut archive = tar::Archive::new(&out[..]);
                for entry in archive.entries().unwrap() {
                    assert_ne!(std::io::read_to_string(entry.unwrap()).unwrap(), "secret");
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    place.assert_untouched("a race");
}

#[test]
fn class09_pipes_and_devices_are_only_named() {
    let place = Place::new();
    let root = File::open(place.path("in")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(&root, "pipe", rustix::fs::FileType::Fifo, mode, 0).unwrap();
    rustix::fs::mknodat(&root, "dog", rustix::fs::FileType::CharacterDevice, mode, rustix::fs::makedev(10, 130)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("in/socket")).unwrap();
    assert_eq!(members(&place.copy("/in/pipe").unwrap()), [("pipe".into(), b'6')]);
    assert_eq!(members(&place.copy("/in/dog").unwrap()), [("dog".into(), b'3')]);
    assert_eq!(members(&place.copy("/in").unwrap()), [("in/".into(), b'5'), ("in/dog".into(), b'3'), ("in/pipe".into(), b'6')]);
    // Over a pipe, too: it is replaced, not opened.
    place.extract(&archive(&[(Kind::Regular, "pipe", "x"), (Kind::Regular, "dog", "y")]), true).unwrap();
    assert_eq!(std::fs::read(place.path("in/pipe")).unwrap(), b"x");
}

#[test]
fn names_follow_the_path_that_was_asked_for() {
    let place = Place::new();
    std::fs::create_dir(place.path("in/d")).unwrap();
    std::fs::write(place.path("in/d/f"), "x").unwrap();
    symlink("d", place.path("in/link")).unwrap();
    let check = |at: &str, expect: &[&str]| {
        let got: Vec<String> = members(&place.copy(at).unwrap()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(got, expect, "{at}");
    };
    check("/in/d", &["d/", "d/f"]);
    check("/in/d/", &["d/", "d/f"]);
    check("/in/d/.", &["./", "./f"]);
    check("/in/link", &["link"]);
    check("/in/link/", &["link/", "link/f"]);
    check("in/d/f", &["f"]);
    check("/in/../in/d/f", &["f"]);
    check("/", &["/", "/in/", "/in/d/", "/in/d/f", "/in/link"]);
    assert_eq!(place.copy("/in/d/f/").unwrap_err().words(), "lstat /in/d/f/: not a directory");
    assert_eq!(place.copy("/none").unwrap_err().words(), "lstat /none: no such file or directory");
}

#[test]
fn links_are_evaluated_inside() {
    let place = Place::new();
    for (link, to) in [("a", "in/b"), ("in/b", "../in/c"), ("in/c", "/in"), ("up", "../../../in"), ("gone", "in/none/x"), ("loop", "loop")]
    {
        symlink(to, place.path(link)).unwrap();
    }
    let target = |at: &str| place.root().stat(at.as_bytes()).map(|stat| String::from_utf8(stat.target).unwrap()).map_err(|e| e.words());
    for (at, expect) in [("/a", "/in"), ("/in/c", "/in"), ("/up", "/in"), ("/gone", "/in/none/x"), ("/in", ""), ("/a/c", "/in")] {
        assert_eq!(target(at).as_deref(), Ok(expect), "{at}");
    }
    assert!(target("/loop").is_err_and(|e| e.contains("too many levels")));
}
