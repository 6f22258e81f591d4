//! The store on disk, of layers in both forms.
//!
//! ```text
//! ROOT/                          0700
//! ├─ base/fs/                    lies below every chain (see below)
//! ├─ layers/<hex of chain id>/
//! │  ├─ fs/                      form `dir`: the layer as overlay wants it: whiteouts are devices 0:0, opaque directories carry the mark
//! │  ├─ layer.tar                form `tar+erofs`: the tar as it came,
//! │  ├─ index.erofs              the index of it,
//! │  ├─ side.data                and what no block of the tar can be (data of sparse files)
//! │  └─ layer.json               chain, parent, diff id, size, form
//! ├─ snapshots/<key>/
//! │  ├─ upper/                   what the container writes
//! │  ├─ work/                    overlay's own
//! │  ├─ root/                    instead of both: a full copy of the layers, and what the container makes of it
//! │  └─ snapshot.json            the chain below; written last: without it the snapshot is half made
//! ├─ spare/<random>/             snapshots without a key, made ahead; emptied by `sweep`
//! ├─ views/<run>/<chain>/        where nothing is mounted: merged copies of chains, for who only looks; not kept over a run of the kernel
//! └─ tmp/<random>/               work in progress and what is being removed; emptied by `sweep`
//! ```
//!
//! Which form new layers get is chosen when the store is opened; layers of both may stand on each other. A layer is built under `tmp/` and
//! renamed into place, so it is there whole or not at all; `lasting` says how that holds over a power cut too. A snapshot is not synced. A
//! removal first renames into `tmp/`.
//!
//! Where overlayfs takes no upper directory (the store lies on an overlayfs itself, on NFS), a snapshot is a full copy of its layers, and what
//! it changed is found by comparing (`copies`).
//!
//! *Base* is Docker's init layer, once for all: the mount points and files that every container has (`/dev`, `/proc`, `/etc/hosts`, …). As
//! the lowest directory it fills in only what an image lacks, costs a container nothing and never shows in a diff or a commit.

mod base;
mod build;
mod choice;
mod copies;
mod index;
mod lasting;
mod record;
mod snapshot;
mod spare;
mod staged;
mod state;
mod unpack;
mod view;

pub use choice::{Choice, Root, Roots};
pub use staged::Staged;

use crate::form::Form;
use crate::form::index::TAR;
use crate::form::mounts::{self, Mounts};
use crate::id::{ChainId, DiffId};
use crate::store::{Change, Error, LayerInfo, LayerStore, Limits, Result, SnapshotKey, Usage};
use crate::tree::merged::Merged;
use crate::tree::{Context, emit, open_dir, open_file, remove};
use choice::Manner;
use dhow_archive::tree::marks::Marks;
use dhow_sys::overlay::{Held, Lower, Overlay};
use index::{Index, Snapshot};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;
use state::Dirs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A store of layers on disk.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    dirs: Arc<Dirs>,
    index: Index,
    mounts: Mounts,
    manner: Manner,
    spares: spare::Spares,
    limits: Limits,
    /// This run of the kernel.
    run: String,
}

impl Store {
    /// Opens the store under `root`, making what is missing. Takes over every whole layer and snapshot that is there; call
    /// [`LayerStore::sweep`] next, to be rid of the others.
    pub fn open(root: &Path, choice: Choice) -> Result<Self> {
        Self::with_limits(root, choice, Limits::default())
    }

    /// As [`Self::open`], with other bounds for archives.
    pub fn with_limits(root: &Path, choice: Choice, limits: Limits) -> Result<Self> {
        Self::open_in(&lasting::run()?, root, choice, limits)
    }

    /// As [`Self::open`], with a choice of what snapshots are made of.
    pub fn open_rooted(root: &Path, choice: Choice, roots: Roots) -> Result<Self> {
        Self::make(&lasting::run()?, root, choice, roots, Limits::default())
    }

    /// As [`Self::with_limits`], in a run of the kernel of this name.
    pub fn open_in(run: &str, root: &Path, choice: Choice, limits: Limits) -> Result<Self> {
        Self::make(run, root, choice, Roots::Probe, limits)
    }

    fn make(run: &str, root: &Path, choice: Choice, roots: Roots, limits: Limits) -> Result<Self> {
        let dirs = Arc::new(Dirs::open(root)?);
        base::ensure(&dirs)?;
        let manner = Manner::of(choice, roots, &dirs, root)?;
        let (mounts, index) = (Mounts::default(), Index::default());
        let this =
            Self { root: root.to_path_buf(), dirs, index, mounts, manner, spares: spare::Spares::default(), limits, run: run.to_owned() };
        let doubtful = record::layers(&this.dirs, &this.index, run)?;
        this.examine(doubtful);
        this.index.drop_orphans();
        record::snapshots(&this.dirs, &this.index)?;
        Ok(this)
    }

    fn layer_path(&self, chain: &ChainId) -> PathBuf {
        self.root.join("layers").join(chain.hex())
    }

    fn snapshot_path(&self, key: &SnapshotKey, part: &str) -> PathBuf {
        self.root.join("snapshots").join(&key.0).join(part)
    }

    /// Lower layers of a chain, topmost first, base last.
    fn lower(&self, chain: Option<&ChainId>) -> Result<Vec<Lower>> {
        let mut lower = Vec::new();
        for (chain, form) in self.index.stack(chain)? {
            lower.push(match self.usable(&chain, form)? {
                Form::Directory | Form::Plain => Lower::Dir(self.layer_path(&chain).join("fs")),
                Form::Index => {
                    let mount = self.mounted(&chain)?;
                    Lower::Held(Held::new(&mount, self.layer_path(&chain)).on("look at", chain.as_str().as_bytes())?)
                }
            });
        }
        lower.push(Lower::Dir(self.root.join("base/fs")));
        Ok(lower)
    }

    fn layer_dir(&self, chain: &ChainId) -> Result<OwnedFd> {
        open_dir(&self.dirs.layers, chain.hex().as_bytes()).on("open", chain.as_str().as_bytes())
    }

    fn mounted(&self, chain: &ChainId) -> Result<Arc<OwnedFd>> {
        self.mounts.get(chain, || self.layer_dir(chain))
    }

    /// The root directory of a chain's top layer, and the marks in it.
    fn open_layer(&self, chain: &ChainId) -> Result<(OwnedFd, Marks)> {
        self.open_form(chain, self.index.form(chain)?)
    }

    fn open_form(&self, chain: &ChainId, form: Form) -> Result<(OwnedFd, Marks)> {
        let form = self.usable(chain, form)?;
        let opened = match form {
            Form::Directory | Form::Plain => open_dir(self.layer_dir(chain)?, b"fs"),
            Form::Index => mounts::root(&*self.mounted(chain)?),
        };
        Ok((opened.on("open", chain.as_str().as_bytes())?, form.marks()))
    }

    /// What the root directory of a chain's top layer is like.
    fn stat_root(&self, chain: &ChainId) -> Result<Stat> {
        let stat = match self.usable(chain, self.index.form(chain)?)? {
            Form::Directory | Form::Plain => fs::statat(&self.dirs.layers, format!("{}/fs", chain.hex()), AtFlags::SYMLINK_NOFOLLOW),
            Form::Index => fs::fstat(&*self.mounted(chain)?),
        };
        stat.on("stat", chain.as_str().as_bytes())
    }

    /// The directories of a chain, opened; with base as the last where `base` says so.
    fn open_stack(&self, chain: Option<&ChainId>, base: bool) -> Result<Merged> {
        let mut dirs = Vec::new();
        for (chain, form) in self.index.stack(chain)? {
            dirs.push(self.open_form(&chain, form)?);
        }
        if base {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let base = fs::openat(&self.dirs.root, "base/fs", flags, Mode::empty()).on("open", b"base")?;
            dirs.push((base, Marks::Overlay));
        }
        Ok(Merged::new(dirs))
    }
}

impl LayerStore for Store {
    fn form(&self) -> &'static str {
        self.manner.form.name()
    }

    fn copies(&self) -> bool {
        self.manner.root == Root::Copy
    }

    fn stage(&self, tar: &mut dyn Read, expected: Option<&DiffId>) -> Result<Staged> {
        self.take_in(tar, expected)
    }

    fn place(&self, staged: Staged, parent: Option<&ChainId>) -> Result<LayerInfo> {
        self.put_over(staged, parent)
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

    fn kept_tar(&self, chain: &ChainId) -> Result<Option<std::fs::File>> {
        self.index.layer(chain)?;
        match open_file(self.layer_dir(chain)?, TAR.as_bytes()) {
            Err(Errno::NOENT) => Ok(None),
            file => Ok(Some(file.on("open", TAR.as_bytes())?.into())),
        }
    }

    fn tar(&self, chain: &ChainId, out: &mut dyn Write) -> Result<()> {
        let info = self.index.layer(chain)?;
        let _pin = self.index.pin(Some(chain))?;
        if let Some(mut tar) = self.kept_tar(chain)? {
            return std::io::copy(&mut tar, out).map(drop).on("write", b"archive");
        }
        let (root, marks) = self.open_layer(chain)?;
        Ok(emit::tar(&root, marks, self.root_differs(info.parent.as_ref(), &root)?, out)?)
    }

    fn remove_layer(&self, chain: &ChainId) -> Result<()> {
        let copied = self.is_copied(chain)?;
        self.index.take_layer(chain)?;
        let moved = self.dirs.move_to_tmp(&self.dirs.layers, chain.hex());
        let moved = match moved {
            Ok(moved) => moved,
            Err(error) => {
                self.index.restore_layer(chain);
                return Err(error);
            }
        };
        // Before the chain can come again.
        self.mounts.forget(chain);
        self.index.drop_layer(chain);
        let seen = if copied { self.remove_views(chain) } else { Ok(()) };
        seen.and(Ok(remove::tree(&self.dirs.tmp, moved.as_bytes())?))
    }

    fn prepare(&self, key: &SnapshotKey, parent: Option<&ChainId>) -> Result<()> {
        snapshot::check_key(key)?;
        let root = self.index.add_snapshot(key, parent, self.manner.root)?;
        let made = self.make_snapshot(key, parent, root);
        if made.is_err() {
            self.index.drop_snapshot(key);
        }
        made
    }

    fn make_ready(&self) -> Result<()> {
        match self.manner.root {
            Root::Overlay => self.make_spares(),
            Root::Copy => Ok(()),
        }
    }

    fn persist_snapshot(&self, key: &SnapshotKey) -> Result<()> {
        let Snapshot { root, .. } = self.index.snapshot(key)?;
        self.sync_snapshot(key, root)
    }

    fn mount(&self, key: &SnapshotKey) -> Result<Overlay> {
        let Snapshot { parent, root } = self.index.snapshot(key)?;
        if root == Root::Copy {
            return Ok(Overlay::plain(self.snapshot_path(key, copies::ROOT)));
        }
        Ok(Overlay {
            lower: self.lower(parent.as_ref())?,
            upper: Some(self.snapshot_path(key, "upper")),
            work: Some(self.snapshot_path(key, "work")),
            volatile: false,
        })
    }

    fn view(&self, chain: &ChainId) -> Result<Overlay> {
        if self.is_copied(chain)? {
            return self.copied_view(chain, true);
        }
        Ok(Overlay { lower: self.lower(Some(chain))?, upper: None, work: None, volatile: false })
    }

    fn bare_view(&self, chain: &ChainId) -> Result<Overlay> {
        if self.is_copied(chain)? {
            return self.copied_view(chain, false);
        }
        let mut lower = self.lower(Some(chain))?;
        lower.pop();
        Ok(Overlay { lower, upper: None, work: None, volatile: false })
    }

    fn commit(&self, key: &SnapshotKey) -> Result<LayerInfo> {
        let Snapshot { parent, root } = self.index.snapshot(key)?;
        match root {
            Root::Overlay => self.build_from_upper(parent.as_ref(), &self.open_upper(key)?),
            Root::Copy => self.build_from_copy(key, parent.as_ref()),
        }
    }

    fn diff(&self, key: &SnapshotKey) -> Result<Vec<Change>> {
        let Snapshot { parent, root } = self.index.snapshot(key)?;
        if root == Root::Copy {
            return Ok(self.changed(key, parent.as_ref())?.into_iter().map(|changed| changed.change).collect());
        }
        let upper = self.open_upper(key)?;
        crate::changes::between(&upper, &self.open_stack(parent.as_ref(), true)?)
    }

    fn usage(&self, key: &SnapshotKey) -> Result<Usage> {
        let Snapshot { parent, root } = self.index.snapshot(key)?;
        if root == Root::Copy {
            return Ok(crate::copied::usage(&self.changed(key, parent.as_ref())?));
        }
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

    fn adopt(&self, process: i32) {
        self.mounts.adopt(process);
        self.mounts.settled(self.index.layers().into_iter().map(|info| info.chain));
    }

    fn run(&self) -> &str {
        &self.run
    }

    fn persist(&self) -> Result<()> {
        self.sync_layers()
    }

    fn sweep(&self, keep: &dyn Fn(&SnapshotKey) -> bool) -> Result<()> {
        self.sweep_all(keep)
    }
}

/// A directory's own path for messages.
fn missing(what: &SnapshotKey) -> Error {
    Error::NoSnapshot(what.0.clone())
}
