//! A store that is opened anew before each layer, each time for the other form.

use dhow_storage::{ChainId, Change, Choice, DiffId, Form, LayerInfo, LayerStore, SnapshotKey, Staged, Store, Usage, store::Result};
use dhow_sys::overlay::Overlay;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{RwLock, RwLockReadGuard};

#[derive(Debug)]
pub(crate) struct Turns {
    root: PathBuf,
    now: RwLock<(Store, Form)>,
}

impl Turns {
    pub(crate) fn open(root: &Path) -> Self {
        let store = Store::open(root, Choice::Only(Form::Index)).unwrap();
        Self { root: root.to_owned(), now: RwLock::new((store, Form::Index)) }
    }

    fn now(&self) -> RwLockReadGuard<'_, (Store, Form)> {
        self.now.read().unwrap()
    }

    /// What is being used goes on with the store that it began with.
    fn turn(&self) {
        if let Ok(mut now) = self.now.try_write() {
            let form = if now.1 == Form::Index { Form::Directory } else { Form::Index };
            *now = (Store::open(&self.root, Choice::Only(form)).unwrap(), form);
        }
    }
}

impl LayerStore for Turns {
    fn form(&self) -> &'static str {
        self.now().0.form()
    }
    fn copies(&self) -> bool {
        self.now().0.copies()
    }
    fn stage(&self, tar: &mut dyn Read, expected: Option<&DiffId>) -> Result<Staged> {
        self.turn();
        self.now().0.stage(tar, expected)
    }
    fn place(&self, staged: Staged, parent: Option<&ChainId>) -> Result<LayerInfo> {
        self.now().0.place(staged, parent)
    }
    fn apply(&self, parent: Option<&ChainId>, tar: &mut dyn Read, expected: Option<&DiffId>) -> Result<LayerInfo> {
        self.turn();
        self.now().0.apply(parent, tar, expected)
    }
    fn layer(&self, chain: &ChainId) -> Result<LayerInfo> {
        self.now().0.layer(chain)
    }
    fn layers(&self) -> Result<Vec<LayerInfo>> {
        self.now().0.layers()
    }
    fn kept_tar(&self, chain: &ChainId) -> Result<Option<std::fs::File>> {
        self.now().0.kept_tar(chain)
    }
    fn tar(&self, chain: &ChainId, out: &mut dyn Write) -> Result<()> {
        self.now().0.tar(chain, out)
    }
    fn remove_layer(&self, chain: &ChainId) -> Result<()> {
        self.now().0.remove_layer(chain)
    }
    fn prepare(&self, key: &SnapshotKey, parent: Option<&ChainId>) -> Result<()> {
        self.now().0.prepare(key, parent)
    }

    fn make_ready(&self) -> Result<()> {
        self.now().0.make_ready()
    }

    fn persist_snapshot(&self, key: &SnapshotKey) -> Result<()> {
        self.now().0.persist_snapshot(key)
    }
    fn mount(&self, key: &SnapshotKey) -> Result<Overlay> {
        self.now().0.mount(key)
    }
    fn view(&self, chain: &ChainId) -> Result<Overlay> {
        self.now().0.view(chain)
    }
    fn bare_view(&self, chain: &ChainId) -> Result<Overlay> {
        self.now().0.bare_view(chain)
    }
    fn commit(&self, key: &SnapshotKey) -> Result<LayerInfo> {
        self.now().0.commit(key)
    }
    fn diff(&self, key: &SnapshotKey) -> Result<Vec<Change>> {
        self.now().0.diff(key)
    }
    fn usage(&self, key: &SnapshotKey) -> Result<Usage> {
        self.now().0.usage(key)
    }
    fn remove(&self, key: &SnapshotKey) -> Result<()> {
        self.now().0.remove(key)
    }
    fn snapshots(&self) -> Result<Vec<SnapshotKey>> {
        self.now().0.snapshots()
    }
    fn adopt(&self, process: i32) {
        self.now().0.adopt(process);
    }
    fn run(&self) -> &str {
        "one"
    }
    fn persist(&self) -> Result<()> {
        self.now().0.persist()
    }
    fn sweep(&self, keep: &dyn Fn(&SnapshotKey) -> bool) -> Result<()> {
        self.now().0.sweep(keep)
    }
}
