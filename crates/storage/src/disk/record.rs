//! `layer.json` and `snapshot.json`.

use super::index::Index;
use super::state::Dirs;
use crate::form::Form;
use crate::id::{ChainId, DiffId};
use crate::store::{LayerInfo, Result, SnapshotKey};
use crate::tree::{Context, names, open_dir, open_file};
use rustix::fs::{self, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

pub(super) const LAYER: &str = "layer.json";
pub(super) const SNAPSHOT: &str = "snapshot.json";
const SIZE_MAX: usize = 64 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    chain: ChainId,
    parent: Option<ChainId>,
    diff: DiffId,
    size: u64,
    /// Layers of the first versions do not say it.
    #[serde(default)]
    form: Form,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotRecord {
    pub(super) parent: Option<ChainId>,
}

impl LayerRecord {
    pub(super) fn new(info: &LayerInfo, form: Form) -> Self {
        Self { chain: info.chain.clone(), parent: info.parent.clone(), diff: info.diff.clone(), size: info.size, form }
    }
}

/// Writes a record as a new file of `dir`.
pub(super) fn write(dir: &OwnedFd, name: &str, record: &impl Serialize) -> Result<OwnedFd> {
    let text = serde_json::to_vec(record).map_err(std::io::Error::from).on("encode", name.as_bytes())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = fs::openat(dir, name, flags, Mode::from_raw_mode(0o600)).on("make", name.as_bytes())?;
    let mut text = &text[..];
    while !text.is_empty() {
        let written = rustix::io::write(&file, text).on("write", name.as_bytes())?;
        text = &text[written..];
    }
    Ok(file)
}

fn read<T: serde::de::DeserializeOwned>(dir: &OwnedFd, name: &str) -> Option<T> {
    let file = open_file(dir, name.as_bytes()).ok()?;
    let mut text = vec![0; SIZE_MAX];
    let length = rustix::io::read(&file, &mut text[..]).ok()?;
    serde_json::from_slice(&text[..length]).ok()
}

/// Takes up every whole layer whose chain is whole, and every whole snapshot over one.
pub(super) fn load(dirs: &Dirs) -> Result<Index> {
    let index = Index::default();
    for name in names(&dirs.layers).on("read", b"layers")? {
        let record: Option<LayerRecord> = open_dir(&dirs.layers, &name).ok().and_then(|d| read(&d, LAYER));
        match record {
            Some(r) if r.chain.hex().as_bytes() == name && ChainId::of(r.parent.as_ref(), &r.diff) == r.chain => {
                index.insert(LayerInfo { chain: r.chain, parent: r.parent, diff: r.diff, size: r.size }, r.form);
            }
            _ => tracing::warn!(layer = %String::from_utf8_lossy(&name), "not a whole layer, ignored"),
        }
    }
    index.drop_orphans();
    for name in names(&dirs.snapshots).on("read", b"snapshots")? {
        let record: Option<SnapshotRecord> = open_dir(&dirs.snapshots, &name).ok().and_then(|d| read(&d, SNAPSHOT));
        let key = SnapshotKey(String::from_utf8_lossy(&name).into_owned());
        let taken = record.is_some_and(|r| index.add_snapshot(&key, r.parent.as_ref()).is_ok());
        if !taken {
            tracing::warn!(snapshot = %key.0, "not a whole snapshot, ignored");
        }
    }
    Ok(index)
}
