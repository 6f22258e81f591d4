//! A data root that changes its form keeps what it has.

use super::indexed;
use dhow_storage::conformance::{Archive, Mounted, key};
use dhow_storage::{Choice, Form, LayerStore, Store};
use std::fs;

#[test]
fn layers_and_snapshots_stay_when_the_form_changes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = indexed(dir.path()) else { return };
    let root = dir.path().join("index");
    let bottom = Archive::new().file("a", "index").apply(&store, None);
    store.prepare(&key("c"), Some(&bottom.chain)).unwrap();
    drop(store);
    let store = Store::open(&root, Choice::Only(Form::Directory)).unwrap();
    store.sweep(&|_| true).unwrap();
    let top = Archive::new().file("b", "dir").apply(&store, Some(&bottom));
    fs::write(Mounted::snapshot(&store, "c").path("a"), "own").unwrap();
    drop(store);
    let store = Store::open(&root, Choice::Probe).unwrap();
    store.sweep(&|_| true).unwrap();
    let last = Archive::new().file("c", "index").hard_link("b2", "b").apply(&store, Some(&top));
    let view = Mounted::view(&store, &last);
    assert_eq!(
        [view.read("a"), view.read("b"), view.read("b2"), view.read("c")],
        ["index", "dir", "dir", "index"].map(|text| Some(text.to_owned()))
    );
    assert_eq!(Mounted::snapshot(&store, "c").read("a"), Some("own".into()));
    let forms = [&bottom, &top, &last].map(|info| root.join("layers").join(info.chain.hex()).join("layer.tar").exists());
    assert_eq!(forms, [true, false, true]);
}

#[test]
fn what_a_crash_leaves_of_a_layer_goes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = indexed(dir.path()) else { return };
    let info = Archive::new().file("a", "1").apply(&store, None);
    let staged = store.stage(&mut &Archive::new().file("b", "1").tar()[..], None).unwrap();
    // As a crash does: nothing is put away.
    std::mem::forget(staged);
    drop(store);
    let root = dir.path().join("index");
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 1);
    let store = Store::open(&root, Choice::Probe).unwrap();
    store.sweep(&|_| true).unwrap();
    assert_eq!((fs::read_dir(root.join("tmp")).unwrap().count(), store.layers().unwrap()), (0, vec![info]));
}
