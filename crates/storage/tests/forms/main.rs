//! The same layers in both forms, compared name by name and attribute by attribute, with each other and with what GNU tar makes of them.
#![expect(clippy::unwrap_used, reason = "a panic is a test's result")]

mod compare;
mod copies;
mod lasting;
mod oddities;
mod random;
mod ready;
mod seen;
mod shared;
mod switch;
mod tree;

use dhow_storage::{Choice, Form, LayerInfo, LayerStore, Store};
use dhow_sys::overlay::Overlay;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A store of each form; without an index where this kernel has none.
fn stores(dir: &Path) -> Vec<Store> {
    let mut stores = vec![Store::open(&dir.join("dir"), Choice::Only(Form::Directory)).unwrap()];
    stores.extend(indexed(dir));
    stores.push(Store::open(&overlaid(dir), Choice::Only(Form::Directory)).unwrap());
    stores
}

/// A place on an overlayfs of its own, which is mounted where nobody sees it until the test ends.
fn overlaid(dir: &Path) -> PathBuf {
    let place = |name: &str| {
        fs::create_dir_all(dir.join("over").join(name)).unwrap();
        dir.join("over").join(name)
    };
    let overlay = Overlay { lower: vec![place("lower").into()], upper: Some(place("upper")), work: Some(place("work")), volatile: true };
    let mount = overlay.mount_detached().unwrap();
    let root = PathBuf::from(format!("/proc/{}/fd/{}/store", std::process::id(), mount.as_raw_fd()));
    std::mem::forget(mount);
    root
}

fn indexed(dir: &Path) -> Option<Store> {
    let store = Store::open(&dir.join("index"), Choice::Probe).unwrap();
    (store.form() == "tar+erofs").then_some(store)
}

/// The layers of a chain without what lies below every chain.
fn mounted(store: &dyn LayerStore, info: &LayerInfo) -> OwnedFd {
    store.bare_view(&info.chain).unwrap().mount_detached().unwrap()
}
