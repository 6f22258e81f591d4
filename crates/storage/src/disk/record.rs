//! `layer.json` and `snapshot.json`.

use super::choice::Root;
use super::index::{Index, Snapshot};
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
    pub(super) form: Form,
    /// The run of the kernel in which it was written, until it is synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsynced: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotRecord {
    pub(super) parent: Option<ChainId>,
    /// Those of the first versions do not say it.
    #[serde(default)]
    pub(super) root: Root,
}

impl LayerRecord {
    pub(super) fn new(info: &LayerInfo, form: Form, unsynced: Option<&str>) -> Self {
        Self {
            chain: info.chain.clone(),
            parent: info.parent.clone(),
            diff: info.diff.clone(),
            size: info.size,
            form,
            unsynced: unsynced.map(str::to_owned),
        }
    }

    pub(super) fn info(&self) -> LayerInfo {
        LayerInfo { chain: self.chain.clone(), parent: self.parent.clone(), diff: self.diff.clone(), size: self.size }
    }
}

/// Writes a record as a new file of `dir`.
pub(super) fn write(dir: &OwnedFd, name: &str, record: &impl Serialize) -> Result<OwnedFd> {
    write_to(make(dir, name)?, name, record)
}

/// A record's file without a record, which is as good as none.
pub(super) fn empty(dir: &OwnedFd, name: &str) -> Result<()> {
    make(dir, name).map(drop)
}

/// Writes a record to an [empty] file.
pub(super) fn write_over(dir: &OwnedFd, name: &str, record: &impl Serialize) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(dir, name, flags, Mode::empty()).on("open", name.as_bytes())?;
    write_to(file, name, record).map(drop)
}

fn make(dir: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::from_raw_mode(0o600)).on("make", name.as_bytes())
}

fn write_to(file: OwnedFd, name: &str, record: &impl Serialize) -> Result<OwnedFd> {
    let text = serde_json::to_vec(record).map_err(std::io::Error::from).on("encode", name.as_bytes())?;
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

/// Takes up every whole layer whose chain is whole. Answers those that were not synced when the kernel ended, of which anything may be there.
pub(super) fn layers(dirs: &Dirs, index: &Index, boot: &str) -> Result<Vec<LayerRecord>> {
    let mut doubtful = Vec::new();
    for name in names(&dirs.layers).on("read", b"layers")? {
        let record: Option<LayerRecord> = open_dir(&dirs.layers, &name).ok().and_then(|d| read(&d, LAYER));
        match record {
            Some(r) if r.chain.hex().as_bytes() == name && ChainId::of(r.parent.as_ref(), &r.diff) == r.chain => {
                if r.unsynced.as_deref().is_some_and(|written| written != boot) {
                    doubtful.push(r);
                } else {
                    index.insert(r.info(), r.form, r.unsynced.is_some());
                }
            }
            _ => tracing::warn!(layer = %String::from_utf8_lossy(&name), "not a whole layer, ignored"),
        }
    }
    Ok(doubtful)
}

/// Takes up every whole snapshot over a layer that is there.
pub(super) fn snapshots(dirs: &Dirs, index: &Index) -> Result<()> {
    for name in names(&dirs.snapshots).on("read", b"snapshots")? {
        let record: Option<SnapshotRecord> = open_dir(&dirs.snapshots, &name).ok().and_then(|d| read(&d, SNAPSHOT));
        let key = SnapshotKey(String::from_utf8_lossy(&name).into_owned());
        let taken = record.is_some_and(|r| index.load_snapshot(&key, Snapshot { parent: r.parent, root: r.root }).is_ok());
        if !taken {
            tracing::warn!(snapshot = %key.0, "not a whole snapshot, ignored");
        }
    }
    Ok(())
}
