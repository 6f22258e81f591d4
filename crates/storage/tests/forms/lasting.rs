//! Layers that were not synced when the kernel ended: whole, or not there.

use super::indexed;
use dhow_storage::conformance::{Archive, Mounted, key};
use dhow_storage::{ChainId, Choice, Form, LayerInfo, LayerStore, Limits, Store};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Opens a store in a run of the kernel.
fn open(run: &str, root: &Path, form: Form) -> Store {
    let store = Store::open_in(run, root, Choice::Only(form), Limits::default()).unwrap();
    store.sweep(&|_| true).unwrap();
    store
}

fn place(root: &Path, chain: &ChainId, name: &str) -> PathBuf {
    root.join("layers").join(chain.hex()).join(name)
}

/// As after a power cut: the name is there, the bytes are not.
fn cut(root: &Path, info: &LayerInfo, name: &str) {
    File::options().write(true).open(place(root, &info.chain, name)).unwrap().set_len(0).unwrap();
}

/// What is left of two layers on each other, and of a committed one, when `damage` was done to the first before the next run of the kernel.
fn check(form: Form, synced: bool, damage: &dyn Fn(&Path, &LayerInfo), expect: usize) {
    let dir = tempfile::tempdir().unwrap();
    if form == Form::Index && indexed(dir.path()).is_none() {
        return;
    }
    let root = dir.path().join("store");
    let store = open("one", &root, form);
    let bottom = Archive::new().file("a", "1").dir("d/", 0o750).symlink("l", "a").hard_link("b", "a").apply(&store, None);
    let top = Archive::new().file("c", "2").file(".wh.a", "").apply(&store, Some(&bottom));
    if synced {
        store.persist().unwrap();
    }
    drop(store);
    // The process alone has ended: all is there.
    let store = open("one", &root, form);
    assert_eq!(store.layers().unwrap().len(), 2);
    drop(store);
    damage(&root, &bottom);
    let store = open("two", &root, form);
    assert_eq!(store.layers().unwrap().len(), expect, "{form:?} {synced}");
    assert_eq!(fs::read_dir(root.join("layers")).unwrap().count(), expect);
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    if expect == 2 && !synced {
        let view = Mounted::view(&store, &top);
        assert_eq!([view.read("a"), view.read("b"), view.read("c")], [None, Some("1".into()), Some("2".into())]);
        // Once more, from what was made of it.
        drop((view, store));
        assert_eq!(open("three", &root, form).layers().unwrap().len(), 2);
    }
}

#[test]
fn what_was_not_synced_is_whole_or_gone() {
    for synced in [false, true] {
        check(Form::Index, synced, &|_, _| {}, 2);
    }
    check(Form::Index, false, &|root, info| cut(root, info, "index.erofs"), 2);
    check(Form::Index, false, &|root, info| cut(root, info, "layer.tar"), 0);
    check(Form::Index, false, &|root, info| fs::remove_file(place(root, &info.chain, "layer.tar")).unwrap(), 0);
    for synced in [false, true] {
        check(Form::Index, synced, &|root, info| cut(root, info, "layer.json"), 0);
    }
    // What is synced is not looked at.
    check(Form::Index, true, &|root, info| cut(root, info, "layer.tar"), 2);
}

#[test]
fn directories_are_whole_or_gone() {
    let dir = tempfile::tempdir().unwrap();
    for (damage, expect) in [("", 2), ("fs/f", 1), ("fs/bin/g", 1), ("layer.json", 1)] {
        let root = dir.path().join(format!("store{}", damage.len()));
        let store = open("one", &root, Form::Directory);
        let bottom = Archive::new().dir("bin/", 0o755).file("x", "1").apply(&store, None);
        store.persist().unwrap();
        store.prepare(&key("c"), Some(&bottom.chain)).unwrap();
        {
            let snapshot = Mounted::snapshot(&store, "c");
            fs::write(snapshot.path("f"), "committed").unwrap();
            fs::write(snapshot.path("bin/g"), "committed").unwrap();
            fs::remove_file(snapshot.path("x")).unwrap();
        }
        let made = store.commit(&key("c")).unwrap();
        store.prepare(&key("d"), Some(&made.chain)).unwrap();
        drop(store);
        if !damage.is_empty() {
            cut(&root, &made, damage);
        }
        let store = open("two", &root, Form::Directory);
        let keys = store.snapshots().unwrap().len();
        assert_eq!((store.layers().unwrap().len(), keys), (expect, expect), "{damage}");
        // The container stays as it was in any case: its own layer is not the image's.
        assert_eq!(Mounted::snapshot(&store, "c").read("f"), Some("committed".into()));
    }
}

#[test]
fn what_goes_while_it_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Choice::Probe).unwrap();
    let large = "x".repeat(1 << 20);
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            for round in 0..50 {
                let info = Archive::new().file(&format!("f{round}"), &large).apply(&store, None);
                store.remove_layer(&info.chain).unwrap();
                // The same once more: it is another one.
                Archive::new().file(&format!("f{round}"), &large).apply(&store, None);
                store.remove_layer(&info.chain).unwrap();
            }
        });
        while !working.is_finished() {
            store.persist().unwrap();
        }
    });
    for empty in ["layers", "tmp"] {
        assert_eq!(fs::read_dir(dir.path().join(empty)).unwrap().count(), 0, "{empty}");
    }
}

#[test]
fn a_layer_that_cannot_be_mounted_is_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = indexed(dir.path()) else { return };
    let root = dir.path().join("index");
    let bottom = Archive::new().file("a", "1").dir("d/", 0o711).hard_link("b", "a").apply(&store, None);
    let top = Archive::new().file("c", "2").hard_link("e", "d/../a").file(".wh.b", "").apply(&store, Some(&bottom));
    store.prepare(&key("s"), Some(&top.chain)).unwrap();
    // Somebody else has the bytes of one of them.
    fs::hard_link(place(&root, &top.chain, "layer.tar"), dir.path().join("kept")).unwrap();
    let tar = fs::read(place(&root, &bottom.chain, "layer.tar")).unwrap();
    store.persist().unwrap();
    drop(store);
    // As under a kernel without this filesystem.
    for info in [&bottom, &top] {
        fs::write(place(&root, &info.chain, "index.erofs"), vec![0; 8192]).unwrap();
    }
    let store = open("two", &root, Form::Directory);
    let wanted = [("a", Some("1")), ("b", None), ("c", Some("2")), ("e", Some("1"))];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let view = Mounted::view(&store, &top);
                assert_eq!(wanted.map(|(name, _)| view.read(name)), wanted.map(|(_, text)| text.map(str::to_owned)));
            });
        }
    });
    fs::write(Mounted::snapshot(&store, "s").path("a"), "own").unwrap();
    let names = |info: &LayerInfo| {
        let mut names: Vec<_> = fs::read_dir(place(&root, &info.chain, "")).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(
        (names(&top), names(&bottom)),
        (vec!["fs".into(), "layer.json".into()], vec!["fs".into(), "layer.json".into(), "layer.tar".into()])
    );
    // Its archive is the very one that came.
    let mut out = Vec::new();
    store.tar(&bottom.chain, &mut out).unwrap();
    assert!(out == tar);
    drop(store);
    // It stays so, also where it could be mounted again.
    let store = open("three", &root, Form::Index);
    assert_eq!(Mounted::snapshot(&store, "s").read("a"), Some("own".into()));
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
}
