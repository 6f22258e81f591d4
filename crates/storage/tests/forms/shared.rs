//! A layer is one filesystem, whoever uses it: what is cached of its files is cached once.

use super::indexed;
use dhow_storage::conformance::{Archive, key};
use dhow_storage::{Choice, LayerStore, Store};
use dhow_sys::overlay::{Lower, Overlay};
use std::os::fd::OwnedFd;

/// The numbers of the filesystems that an overlay's held layers are on.
fn filesystems(held: &[OwnedFd]) -> Vec<u64> {
    held.iter().map(|layer| rustix::fs::fstat(layer).unwrap().st_dev).collect()
}

fn start(overlay: &Overlay) -> (OwnedFd, Vec<OwnedFd>) {
    overlay.mount_held().unwrap()
}

#[test]
fn every_container_has_the_same_and_so_has_the_next_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = indexed(dir.path()) else { return };
    let bottom = Archive::new().file("a", "1").apply(&store, None);
    let top = Archive::new().file("b", "2").apply(&store, Some(&bottom));
    for name in ["one", "two", "three"] {
        store.prepare(&key(name), Some(&top.chain)).unwrap();
    }
    let (one, two) = (start(&store.mount(&key("one")).unwrap()), start(&store.mount(&key("two")).unwrap()));
    let known = filesystems(&one.1);
    assert_eq!((known.len(), &filesystems(&two.1)), (2, &known));
    assert_ne!(known[0], known[1]);
    drop(store);

    // The process that runs a container has its layers still; here it is this one.
    let store = Store::open(&dir.path().join("index"), Choice::Probe).unwrap();
    store.adopt(rustix::process::getpid().as_raw_nonzero().get());
    let three = start(&store.mount(&key("three")).unwrap());
    assert_eq!(filesystems(&three.1), known);
    // Without it they are others.
    let store = Store::open(&dir.path().join("index"), Choice::Probe).unwrap();
    assert_ne!(filesystems(&start(&store.mount(&key("three")).unwrap()).1)[0], known[0]);
}

#[test]
fn a_layer_that_somebody_else_has_in_its_place_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = indexed(dir.path()) else { return };
    let info = Archive::new().file("a", "1").apply(&store, None);
    let mut view = store.view(&info.chain).unwrap();
    let Lower::Held(held) = &mut view.lower[0] else { panic!("{view:?}") };
    held.mount += 1;
    assert_eq!(view.mount_detached().unwrap_err().kind(), std::io::ErrorKind::StaleNetworkFileHandle);
}

#[test]
fn a_removed_layer_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let Some(store) = indexed(dir.path()) else { return };
    let info = Archive::new().file("a", "1").apply(&store, None);
    let Lower::Held(held) = store.view(&info.chain).unwrap().lower.remove(0) else { panic!("not held") };
    assert!(held.fetch().is_ok());
    store.remove_layer(&info.chain).unwrap();
    assert!(held.fetch().is_err());
    // It can come again.
    Archive::new().file("a", "1").apply(&store, None);
    assert!(store.view(&info.chain).unwrap().mount_detached().is_ok());
}
