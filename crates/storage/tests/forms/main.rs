//! The same layers in both forms, compared name by name and attribute by attribute, with each other and with what GNU tar makes of them.
#![expect(clippy::unwrap_used, reason = "a panic is a test's result")]

mod compare;
mod lasting;
mod oddities;
mod random;
mod shared;
mod switch;
mod tree;

use dhow_storage::{Choice, Form, LayerInfo, LayerStore, Store};
use std::os::fd::OwnedFd;
use std::path::Path;

/// A store of each form; one where this kernel has no other.
fn stores(dir: &Path) -> Vec<Store> {
    let mut stores = vec![Store::open(&dir.join("dir"), Choice::Only(Form::Directory)).unwrap()];
    stores.extend(indexed(dir));
    stores
}

fn indexed(dir: &Path) -> Option<Store> {
    let store = Store::open(&dir.join("index"), Choice::Probe).unwrap();
    (store.form() == "tar+erofs").then_some(store)
}

/// The layers of a chain without what lies below every chain.
fn mounted(store: &dyn LayerStore, info: &LayerInfo) -> OwnedFd {
    let mut view = store.view(&info.chain).unwrap();
    view.lower.pop();
    view.mount_detached().unwrap()
}
