//! Snapshots that are full copies of their layers.

use super::compare::{listing, same};
use super::seen::seen;
use super::tree::make;
use super::{overlaid, stores};
use dhow_storage::conformance::{Archive, Mounted, key};
use dhow_storage::{Change, ChangeKind, Choice, Form, LayerStore, Limits, Root, Roots, Store};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

fn copying(root: &Path) -> Store {
    Store::open_rooted(root, Choice::Probe, Roots::Only(Root::Copy)).unwrap()
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn a_copy_is_what_an_overlay_shows() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make(&source);
    let tar = dir.path().join("tar");
    let flags = ["--format=pax", "--sparse", "--sparse-version=1.0", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-cf"];
    assert!(Command::new("tar").args(flags).arg(&tar).arg("-C").arg(&source).arg(".").status().unwrap().success());
    let above = Archive::new().file("usr/.wh..wh..opq", "").file(".wh.odd", "").file("new/a", "1");
    let mut expected = None;
    for store in stores(dir.path()).into_iter().chain([copying(&dir.path().join("copying"))]) {
        let bottom = store.apply(None, &mut fs::File::open(&tar).unwrap(), None).unwrap();
        let top = above.apply(&store, Some(&bottom));
        store.prepare(&key("c"), Some(&top.chain)).unwrap();
        let mut found = listing(&store.mount(&key("c")).unwrap().mount_detached().unwrap(), true);
        // What lies below every chain is as old as the store.
        let base = |line: &String| ["/ ", "/.dockerenv", "/dev", "/etc", "/proc", "/sys"].iter().any(|name| line.starts_with(name));
        let below: Vec<_> = found.iter().filter(|line| base(line)).map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(below.len(), 13, "{below:?}");
        found.retain(|line| !base(line));
        assert!(found.len() > 60, "{}", found.len());
        assert_eq!(store.diff(&key("c")).unwrap(), []);
        assert_eq!(store.usage(&key("c")).unwrap().bytes, 0);
        // The first one lays an overlay over directories.
        let first = expected.get_or_insert_with(|| found.clone());
        same(&format!("copy of {}", store.form()), &if store.copies() { seen(first) } else { first.clone() }, &found);
    }
}

#[test]
fn holes_stay_holes_and_links_links() {
    let dir = tempfile::tempdir().unwrap();
    let store = copying(dir.path());
    let info = Archive::new().file("a", "x").hard_link("b", "a").apply(&store, None);
    store.prepare(&key("one"), Some(&info.chain)).unwrap();
    let root = Mounted::snapshot(&store, "one");
    fs::File::create(root.path("holes")).unwrap().set_len(64 << 20).unwrap();
    let layer = store.commit(&key("one")).unwrap();
    store.prepare(&key("two"), Some(&layer.chain)).unwrap();
    let two = Mounted::snapshot(&store, "two");
    let meta = fs::metadata(two.path("holes")).unwrap();
    assert!(meta.len() == 64 << 20 && meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    assert_eq!(fs::metadata(two.path("a")).unwrap().ino(), fs::metadata(two.path("b")).unwrap().ino());
}

/// What changes in a copy, and the layer that it gives, which must mean the same on a store that lays overlays.
#[test]
fn what_changed_is_found_by_comparing() {
    let dir = tempfile::tempdir().unwrap();
    let normal = Store::open(&dir.path().join("normal"), Choice::Only(Form::Directory)).unwrap();
    for store in [copying(&dir.path().join("copying")), Store::open(&overlaid(dir.path()), Choice::Probe).unwrap()] {
        let below =
            Archive::new().dir("d/", 0o750).file("d/a", "1").file("d/deep/b", "1").file("same", "1").file("was/dir/x", "1").file("f", "1");
        let bottom = below.apply(&store, None);
        let hiding = Archive::new().file("d/.wh..wh..opq", "").file("d/a", "2").file("d/c", "3").file(".wh.same", "").file("same2", "1");
        let top = hiding.apply(&store, Some(&bottom));
        store.prepare(&key("c"), Some(&top.chain)).unwrap();
        let root = Mounted::snapshot(&store, "c");
        assert_eq!(root.names("d"), ["a", "c"]);
        fs::write(root.path("d/a"), "22").unwrap();
        fs::remove_file(root.path("d/c")).unwrap();
        fs::create_dir(root.path("d/deep")).unwrap();
        fs::write(root.path("d/deep/new"), "1234").unwrap();
        fs::hard_link(root.path("d/deep/new"), root.path("d/deep/other")).unwrap();
        fs::remove_dir_all(root.path("was")).unwrap();
        symlink("f", root.path("was")).unwrap();
        fs::remove_file(root.path("f")).unwrap();
        fs::create_dir(root.path("f")).unwrap();
        // As it was, in all that counts.
        let time = fs::metadata(root.path("same2")).unwrap().modified().unwrap();
        fs::write(root.path("same2"), "1").unwrap();
        fs::File::options().write(true).open(root.path("same2")).unwrap().set_modified(time).unwrap();
        let expect = [
            (ChangeKind::Modified, "/d"),
            (ChangeKind::Modified, "/d/a"),
            (ChangeKind::Deleted, "/d/c"),
            (ChangeKind::Added, "/d/deep"),
            (ChangeKind::Added, "/d/deep/new"),
            (ChangeKind::Added, "/d/deep/other"),
            (ChangeKind::Modified, "/f"),
            (ChangeKind::Modified, "/was"),
        ];
        let expect: Vec<_> = expect.into_iter().map(|(kind, path)| Change { path: path.into(), kind }).collect();
        assert_eq!(store.diff(&key("c")).unwrap(), expect);
        assert_eq!(store.usage(&key("c")).unwrap().bytes, 2 + 4 + 1);
        let made = store.commit(&key("c")).unwrap();
        assert_eq!(made.size, 2 + 4 + 1);
        let mut tar = Vec::new();
        store.tar(&made.chain, &mut tar).unwrap();
        let (normal_bottom, mut tars) = (below.apply(&normal, None), Vec::new());
        for archive in [hiding.tar(), tar] {
            let parent = tars.last().unwrap_or(&normal_bottom.chain).clone();
            tars.push(normal.apply(Some(&parent), &mut &archive[..], None).unwrap().chain);
        }
        assert_eq!(tars.last(), Some(&made.chain), "the archive is the layer that was named");
        // The time of the root directory itself is in no archive.
        let seen = |store: &Store| listing(&store.bare_view(&made.chain).unwrap().mount_detached().unwrap(), true).split_off(1);
        same("committed", &seen(&normal), &seen(&store));
    }
}

#[test]
fn what_a_crash_leaves_of_a_copy_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = copying(dir.path());
    let info = Archive::new().file("a", "1").apply(&store, None);
    store.prepare(&key("whole"), Some(&info.chain)).unwrap();
    store.prepare(&key("half"), Some(&info.chain)).unwrap();
    store.persist_snapshot(&key("whole")).unwrap();
    drop(store);
    // The record is what is written last.
    fs::remove_file(dir.path().join("snapshots/half/snapshot.json")).unwrap();
    let store = copying(dir.path());
    store.sweep(&|_| true).unwrap();
    assert_eq!(store.snapshots().unwrap(), [key("whole")]);
    assert!(!dir.path().join("snapshots/half").exists());
    store.prepare(&key("half"), Some(&info.chain)).unwrap();
    assert_eq!(Mounted::snapshot(&store, "half").read("a"), Some("1".into()));
}

#[test]
fn snapshots_stay_what_they_are_when_the_choice_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Choice::Probe).unwrap();
    assert!(!store.copies());
    let info = Archive::new().file("a", "1").apply(&store, None);
    store.prepare(&key("over"), Some(&info.chain)).unwrap();
    drop(store);
    let store = copying(dir.path());
    store.prepare(&key("copy"), Some(&info.chain)).unwrap();
    drop(store);
    for store in [copying(dir.path()), Store::open(dir.path(), Choice::Probe).unwrap()] {
        let plain = |name: &str| store.mount(&key(name)).unwrap().as_plain().is_some();
        assert_eq!([plain("over"), plain("copy")], [false, true]);
        for name in ["over", "copy"] {
            fs::write(Mounted::snapshot(&store, name).path("a"), "22").unwrap();
            assert_eq!(store.diff(&key(name)).unwrap(), [Change { path: "/a".into(), kind: ChangeKind::Modified }], "{name}");
            assert_eq!(store.usage(&key(name)).unwrap().bytes, 2, "{name}");
        }
    }
}

/// A data root that comes from a filesystem without overlay's marks: what stands on such layers is never laid over them.
#[test]
fn layers_with_other_marks_are_copied_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let from = overlaid(dir.path());
    let (one, two) = {
        let store = Store::open(&from, Choice::Probe).unwrap();
        let one = Archive::new().file("d/a", "1").file("b", "1").apply(&store, None);
        let two = Archive::new().file(".wh.b", "").file("d/.wh..wh..opq", "").file("d/c", "2").apply(&store, Some(&one));
        store.persist().unwrap();
        (one, two)
    };
    let to = dir.path().join("moved");
    assert!(Command::new("cp").arg("-a").arg(&from).arg(&to).status().unwrap().success());
    let store = Store::open(&to, Choice::Probe).unwrap();
    store.sweep(&|_| true).unwrap();
    assert!(!store.copies());
    let three = Archive::new().file("e", "3").hard_link("f", "d/c").apply(&store, Some(&two));
    for (name, chain, expect) in [("two", &two, &["c"][..]), ("three", &three, &["c"])] {
        store.prepare(&key(name), Some(&chain.chain)).unwrap();
        for mounted in [Mounted::snapshot(&store, name), Mounted::view(&store, chain)] {
            assert_eq!(mounted.names("d"), expect);
            assert!(!mounted.path("b").exists());
        }
        store.remove(&key(name)).unwrap();
    }
    for info in [three, two, one] {
        store.remove_layer(&info.chain).unwrap();
    }
}

#[test]
fn views_go_with_their_chain_and_with_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let root = overlaid(dir.path());
    let open = |run: &str| Store::open_in(run, &root, Choice::Probe, Limits::default()).unwrap();
    let store = open("one");
    let info = Archive::new().file("etc/a", "1").apply(&store, None);
    assert_eq!(Mounted::view(&store, &info).read("etc/hostname"), Some(String::new()));
    let bare = |store: &Store| fs::read_dir(store.bare_view(&info.chain).unwrap().lower[0].place().join("etc")).unwrap().count();
    assert_eq!((bare(&store), count(&root.join("views/one"))), (1, 2));
    store.persist().unwrap();
    drop(store);
    let store = open("one");
    store.sweep(&|_| true).unwrap();
    assert_eq!(count(&root.join("views/one")), 2);
    drop(store);
    let store = open("two");
    store.sweep(&|_| true).unwrap();
    assert_eq!((count(&root.join("views/one")), count(&root.join("views/two"))), (0, 0));
    assert_eq!((bare(&store), count(&root.join("views/two"))), (1, 1));
    store.remove_layer(&info.chain).unwrap();
    assert_eq!(count(&root.join("views/two")), 0);
}

#[test]
fn who_insists_on_overlays_is_told_why_there_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let root = overlaid(dir.path());
    let error = Store::open_rooted(&root, Choice::Probe, Roots::Only(Root::Overlay)).unwrap_err().to_string();
    assert!(error.contains("overlay"), "{error}");
    assert_eq!(count(&root.join("tmp")), 0);
}
