//! Snapshots that are made of what was made ahead.

use dhow_storage::conformance::{Archive, key};
use dhow_storage::{Choice, Form, LayerStore, Root, Roots, Store};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn open(root: &Path) -> Store {
    let store = Store::open_rooted(root, Choice::Only(Form::Directory), Roots::Only(Root::Overlay)).unwrap();
    store.sweep(&|_| true).unwrap();
    store
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

/// Mode and owner of what is in a snapshot, by name.
fn seen(snapshot: &Path) -> Vec<(String, u32, u32, u32)> {
    let mut all: Vec<_> = fs::read_dir(snapshot)
        .unwrap()
        .map(|entry| {
            let (entry, stat) = entry.map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap())).unwrap();
            (entry, stat.mode(), stat.uid(), stat.gid())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn the_same_as_without() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let store = open(&root);
    let layer = Archive::new().dir("./", 0o751).file("a", "1").apply(&store, None);
    let at = |name: &str| root.join("snapshots").join(name);
    store.prepare(&key("plain"), Some(&layer.chain)).unwrap();
    store.make_ready().unwrap();
    store.make_ready().unwrap();
    let waiting = count(&root.join("spare"));
    assert!(waiting > 0);
    store.prepare(&key("ahead"), Some(&layer.chain)).unwrap();
    assert_eq!(count(&root.join("spare")), waiting - 1);
    assert_eq!(seen(&at("ahead")), seen(&at("plain")));
    assert_eq!(fs::read(at("ahead").join("snapshot.json")).unwrap(), fs::read(at("plain").join("snapshot.json")).unwrap());
    store.persist_snapshot(&key("ahead")).unwrap();

    // A key that is taken stays what it is, and what was made for it is not lost.
    assert!(store.prepare(&key("ahead"), Some(&layer.chain)).is_err());
    assert_eq!(count(&root.join("spare")), waiting - 1);

    // Without any that waits, and where one has gone, it is made as ever.
    for n in 0..=waiting {
        store.prepare(&key(&format!("more-{n}")), None).unwrap();
    }
    assert_eq!(count(&root.join("spare")), 0);
    store.make_ready().unwrap();
    fs::remove_dir_all(root.join("spare")).unwrap();
    fs::create_dir(root.join("spare")).unwrap();
    store.prepare(&key("gone"), None).unwrap();
    assert_eq!(count(&at("gone")), 3);

    // What half a snapshot left is in nobody's way.
    drop(store);
    let store = open(&root);
    store.make_ready().unwrap();
    fs::create_dir(at("half")).unwrap();
    store.prepare(&key("half"), Some(&layer.chain)).unwrap();
    assert_eq!(seen(&at("half")), seen(&at("plain")));

    // The next store knows all of them, and nothing of what waited.
    drop(store);
    let store = open(&root);
    assert_eq!(count(&root.join("spare")), 0);
    assert_eq!(store.snapshots().unwrap().len(), waiting + 5);
}
