//! A data root that changes its form keeps what it has.

use super::indexed;
use dhow_storage::conformance::{Archive, Mounted, key};
use dhow_storage::{Choice, Form, LayerStore, Store};
use dhow_sys::mount::Filesystem;
use dhow_sys::overlay::Overlay;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

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

/// A store on a filesystem that is mounted where nobody sees it.
fn on(mount: &OwnedFd) -> Store {
    let root = format!("/proc/self/fd/{}/store", mount.as_raw_fd());
    Store::open(Path::new(&root), Choice::Probe).unwrap()
}

#[test]
fn directories_where_nothing_else_works() {
    let memory = Filesystem::open("tmpfs").unwrap().mount(0).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| {
        fs::create_dir(dir.path().join(name)).unwrap();
        dir.path().join(name)
    };
    let overlay = Overlay { lower: vec![place("lower").into()], upper: Some(place("upper")), work: Some(place("work")), volatile: false };
    let overlay = overlay.mount_detached().unwrap();
    for mount in [&memory, &overlay] {
        let store = on(mount);
        assert_eq!(store.form(), "dir");
        let info = Archive::new().file("d/a", "1").apply(&store, None);
        assert_eq!(store.layers().unwrap(), [info]);
        // Whoever insists is told why.
        let root = format!("/proc/self/fd/{}/other", mount.as_raw_fd());
        let error = Store::open(Path::new(&root), Choice::Only(Form::Index)).unwrap_err().to_string();
        assert!(error.contains("tar+erofs"), "{error}");
        assert_eq!(fs::read_dir(Path::new(&root).join("tmp")).unwrap().count(), 0);
    }
}
