//! The `dir` form: a directory per layer. Works on every filesystem that overlay takes as an upper.
//!
//! On disk:
//!
//! ```text
//! ROOT/                          0700
//! ├─ base/fs/                    lies below every chain (see below)
//! ├─ layers/<hex of chain id>/
//! │  ├─ fs/                      the layer as overlay wants it: whiteouts are devices 0:0, opaque directories carry the mark
//! │  └─ layer.json               chain, parent, diff id, size
//! ├─ snapshots/<key>/
//! │  ├─ upper/                   what the container writes
//! │  ├─ work/                    overlay's own
//! │  └─ snapshot.json            the chain below; written last: without it the snapshot is half made
//! └─ tmp/<random>/               work in progress and what is being removed; emptied by `sweep`
//! ```
//!
//! A layer is built under `tmp/`, synced, and renamed into place, so it is there whole or not at all, also after a power cut. A snapshot is
//! not synced. A removal first renames into `tmp/`.
//!
//! *Base* is Docker's init layer, once for all: the mount points and files that every container has (`/dev`, `/proc`, `/etc/hosts`, …). As
//! the lowest directory it fills in only what an image lacks, costs a container nothing and never shows in a diff or a commit.

mod base;
mod build;
mod index;
mod record;
mod snapshot;
mod state;

use crate::id::{ChainId, DiffId};
use crate::store::{Change, Error, LayerInfo, LayerStore, Limits, Result, SnapshotKey, Usage};
use crate::tree::merged::Merged;
use crate::tree::{Context, emit, open_dir, remove};
use dhow_sys::overlay::Overlay;
use index::Index;
use rustix::fs::{self, Mode, OFlags};
use state::Dirs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A store of the `dir` form.
#[derive(Debug)]
pub struct DirStore {
    root: PathBuf,
    dirs: Dirs,
    index: Index,
    limits: Limits,
}

impl DirStore {
    /// Opens the store under `root`, making what is missing. Takes over every whole layer and snapshot that is there; call
    /// [`LayerStore::sweep`] next, to be rid of the others.
    pub fn open(root: &Path) -> Result<Self> {
        Self::with_limits(root, Limits::default())
    }

    /// As [`Self::open`], with other bounds for archives.
    pub fn with_limits(root: &Path, limits: Limits) -> Result<Self> {
        let dirs = Dirs::open(root)?;
        base::ensure(&dirs)?;
        let index = record::load(&dirs)?;
        Ok(Self { root: root.to_path_buf(), dirs, index, limits })
    }

    fn layer_path(&self, chain: &ChainId) -> PathBuf {
        self.root.join("layers").join(chain.hex()).join("fs")
    }

    fn snapshot_path(&self, key: &SnapshotKey, part: &str) -> PathBuf {
        self.root.join("snapshots").join(&key.0).join(part)
    }

    /// Lower directories of a chain, topmost first, base last.
    fn lower_paths(&self, chain: Option<&ChainId>) -> Result<Vec<PathBuf>> {
        let mut lower: Vec<_> = self.index.stack(chain)?.iter().map(|c| self.layer_path(c)).collect();
        lower.push(self.root.join("base/fs"));
        Ok(lower)
    }

    fn open_layer(&self, chain: &ChainId) -> Result<OwnedFd> {
        let layer = open_dir(&self.dirs.layers, chain.hex().as_bytes()).on("open", chain.as_str().as_bytes())?;
        open_dir(layer, b"fs").on("open", chain.as_str().as_bytes())
    }

    /// The directories of a chain, opened; with base as the last where `base` says so.
    fn open_stack(&self, chain: Option<&ChainId>, base: bool) -> Result<Merged> {
        let mut dirs = Vec::new();
        for chain in self.index.stack(chain)? {
            dirs.push(self.open_layer(&chain)?);
        }
        if base {
            dirs.push(
                fs::openat(&self.dirs.root, "base/fs", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .on("open", b"base")?,
            );
        }
        Ok(Merged::new(dirs))
    }
}

impl LayerStore for DirStore {
    fn form(&self) -> &'static str {
        "dir"
    }

    fn apply(&self, parent: Option<&ChainId>, tar: &mut dyn Read, expected: Option<&DiffId>) -> Result<LayerInfo> {
        self.build_from_tar(parent, tar, expected)
    }

    fn layer(&self, chain: &ChainId) -> Result<LayerInfo> {
        self.index.layer(chain)
    }

    fn layers(&self) -> Result<Vec<LayerInfo>> {
        Ok(self.index.layers())
    }

    fn tar(&self, chain: &ChainId, out: &mut dyn Write) -> Result<()> {
        let info = self.index.layer(chain)?;
        let _pin = self.index.pin(Some(chain))?;
        let root = self.open_layer(chain)?;
        Ok(emit::tar(&root, self.root_differs(info.parent.as_ref(), &root)?, out)?)
    }

    fn remove_layer(&self, chain: &ChainId) -> Result<()> {
        self.index.take_layer(chain)?;
        let moved = self.dirs.move_to_tmp(&self.dirs.layers, chain.hex());
        let moved = match moved {
            Ok(moved) => moved,
            Err(error) => {
                self.index.restore_layer(chain);
                return Err(error);
            }
        };
        self.index.drop_layer(chain);
        Ok(remove::tree(&self.dirs.tmp, moved.as_bytes())?)
    }

    fn prepare(&self, key: &SnapshotKey, parent: Option<&ChainId>) -> Result<()> {
        snapshot::check_key(key)?;
        self.index.add_snapshot(key, parent)?;
        let made = self.make_snapshot(key, parent);
        if made.is_err() {
            self.index.drop_snapshot(key);
        }
        made
    }

    fn mount(&self, key: &SnapshotKey) -> Result<Overlay> {
        let parent = self.index.snapshot(key)?;
        Ok(Overlay {
            lower: self.lower_paths(parent.as_ref())?,
            upper: Some(self.snapshot_path(key, "upper")),
            work: Some(self.snapshot_path(key, "work")),
            volatile: false,
        })
    }

    fn view(&self, chain: &ChainId) -> Result<Overlay> {
        Ok(Overlay { lower: self.lower_paths(Some(chain))?, upper: None, work: None, volatile: false })
    }

    fn commit(&self, key: &SnapshotKey) -> Result<LayerInfo> {
        let parent = self.index.snapshot(key)?;
        self.build_from_upper(parent.as_ref(), &self.open_upper(key)?)
    }

    fn diff(&self, key: &SnapshotKey) -> Result<Vec<Change>> {
        let parent = self.index.snapshot(key)?;
        let upper = self.open_upper(key)?;
        crate::changes::between(&upper, &self.open_stack(parent.as_ref(), true)?)
    }

    fn usage(&self, key: &SnapshotKey) -> Result<Usage> {
        self.index.snapshot(key)?;
        crate::tree::usage::of(self.open_upper(key)?)
    }

    fn remove(&self, key: &SnapshotKey) -> Result<()> {
        self.index.snapshot(key)?;
        let moved = self.dirs.move_to_tmp(&self.dirs.snapshots, &key.0)?;
        self.index.drop_snapshot(key);
        Ok(remove::tree(&self.dirs.tmp, moved.as_bytes())?)
    }

    fn snapshots(&self) -> Result<Vec<SnapshotKey>> {
        Ok(self.index.snapshots())
    }

    fn sweep(&self, keep: &dyn Fn(&SnapshotKey) -> bool) -> Result<()> {
        self.sweep_all(keep)
    }
}

/// A directory's own path for messages.
fn missing(what: &SnapshotKey) -> Error {
    Error::NoSnapshot(what.0.clone())
}
