//! The contract of a layer store.
//!
//! - A *layer* is immutable content with a diff id. A *chain* is a stack of layers, named by its chain id; the bottom chain's id is its diff id.
//! - A *snapshot* is a writable directory over a chain (or over nothing), known by a key of the caller's.
//! - Every operation is atomic: after a crash at any instant, a reopened store has the whole object or nothing of it ([`LayerStore::sweep`]).
//! - What was made may be lost in a power cut until [`LayerStore::persist`] has ended; a reopened store has the whole object or nothing then too.
//! - Applying a chain that is there already is a success and changes nothing. Two at once of the same chain: one works, the other waits.
//! - A chain cannot be removed while another chain or a snapshot stands on it.

pub use crate::disk::Staged;
pub use crate::error::{Error, Result};
use crate::id::{ChainId, DiffId};
pub use dhow_archive::Limits;
use dhow_sys::overlay::Overlay;
use std::io::Read;
use std::path::PathBuf;

/// Key of a snapshot: `[a-z0-9-]{1,128}`, chosen by the caller (a container id).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SnapshotKey(pub String);

/// One chain as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInfo {
    /// Its name.
    pub chain: ChainId,
    /// The chain below.
    pub parent: Option<ChainId>,
    /// Its top layer's content.
    pub diff: DiffId,
    /// Bytes of file content in the top layer (hard links once), as Docker's layer size.
    pub size: u64,
}

/// Space and inodes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

/// How a path differs from the chain below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// Docker's 0.
    Modified,
    /// Docker's 1.
    Added,
    /// Docker's 2.
    Deleted,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute within the root filesystem.
    pub path: PathBuf,
    /// How.
    pub kind: ChangeKind,
}

/// A store of layers. All calls block; callers with an async runtime use its blocking threads. Implementations are `Send + Sync`, and an
/// operation on one object never waits for one on another.
pub trait LayerStore: Send + Sync + std::fmt::Debug {
    /// Name of the form that new layers get: `dir` or `tar+erofs`. Docker's `Driver` field is `overlay2` for all of them.
    fn form(&self) -> &'static str;
    /// New snapshots are full copies of their layers, and views too: [`LayerStore::prepare`], [`LayerStore::view`], [`LayerStore::diff`] and
    /// [`LayerStore::usage`] take as long as that needs. Docker's `Driver` field is `vfs` then.
    fn copies(&self) -> bool;
    /// Takes an *uncompressed* layer tar in without knowing what it will stand on, checking it against `expected` while it streams (trailing
    /// bytes count). Any number side by side; nothing of it is a layer before [`LayerStore::place`].
    fn stage(&self, tar: &mut dyn Read, expected: Option<&DiffId>) -> Result<Staged>;
    /// Makes a staged layer the top of `parent`: names and attributes only, so it is fast. Where the chain is there already, what was staged
    /// goes. What is refused only now: a hard link to something that the chain below does not have.
    fn place(&self, staged: Staged, parent: Option<&ChainId>) -> Result<LayerInfo>;
    /// [`LayerStore::stage`] and [`LayerStore::place`] in one; a chain that is known by `expected` is not read.
    fn apply(&self, parent: Option<&ChainId>, tar: &mut dyn Read, expected: Option<&DiffId>) -> Result<LayerInfo>;
    /// One chain.
    fn layer(&self, chain: &ChainId) -> Result<LayerInfo>;
    /// Every chain.
    fn layers(&self) -> Result<Vec<LayerInfo>>;
    /// The top layer's tar as the very file that it came in, where the form keeps it; at its beginning. `None`: [`LayerStore::tar`] makes it.
    fn kept_tar(&self, chain: &ChainId) -> Result<Option<std::fs::File>>;
    /// Writes the top layer's tar: as it came where the form keeps it, else reproducibly: the same content gives the same bytes.
    fn tar(&self, chain: &ChainId, out: &mut dyn std::io::Write) -> Result<()>;
    /// Removes the top layer of a chain.
    fn remove_layer(&self, chain: &ChainId) -> Result<()>;
    /// Makes a writable snapshot. `base` directories lie below the image's layers (mount points and the like, never in `diff`).
    /// Fast: makes directories only, unless the store [`LayerStore::copies`].
    fn prepare(&self, key: &SnapshotKey, parent: Option<&ChainId>) -> Result<()>;
    /// Makes ahead what [`LayerStore::prepare`] will need next, where it is not there. Nothing depends on it but the time that takes.
    fn make_ready(&self) -> Result<()>;
    /// Makes a snapshot survive a power cut: that it is there with what the chain has, not what is written into it. Waits for the disk.
    fn persist_snapshot(&self, key: &SnapshotKey) -> Result<()>;
    /// How a snapshot is mounted, writable: an overlay, or a plain directory. Does not mount.
    fn mount(&self, key: &SnapshotKey) -> Result<Overlay>;
    /// How a chain is mounted read-only. Does not mount, keeps no record.
    fn view(&self, chain: &ChainId) -> Result<Overlay>;
    /// As [`LayerStore::view`], without what lies below every chain.
    fn bare_view(&self, chain: &ChainId) -> Result<Overlay>;
    /// Makes a snapshot's content a layer over its parent. The snapshot stays and stays usable.
    fn commit(&self, key: &SnapshotKey) -> Result<LayerInfo>;
    /// What a snapshot changed, sorted by path, parents of changes included as Docker shows them.
    fn diff(&self, key: &SnapshotKey) -> Result<Vec<Change>>;
    /// Disk used by the snapshot's own content.
    fn usage(&self, key: &SnapshotKey) -> Result<Usage>;
    /// Removes a snapshot. A missing one is an error ([`Error::NoSnapshot`]).
    fn remove(&self, key: &SnapshotKey) -> Result<()>;
    /// Every snapshot's key.
    fn snapshots(&self) -> Result<Vec<SnapshotKey>>;
    /// Name of this run of the kernel: what was written in it and not synced is in its memory until it ends.
    fn run(&self) -> &str;
    /// Makes every layer that is there now survive a power cut. May take as long as the disk needs for all of them; nothing waits for it.
    fn persist(&self) -> Result<()>;
    /// Takes over mounts of layers that another process (the shim of a container that an earlier daemon started) holds, so that what the kernel
    /// has cached of their files goes on being shared. Before the first call that needs a mount.
    fn adopt(&self, process: i32);
    /// Finishes or removes what a crash left half-made, and snapshots for which `keep` says no. Called once, before any other call.
    fn sweep(&self, keep: &dyn Fn(&SnapshotKey) -> bool) -> Result<()>;
}
