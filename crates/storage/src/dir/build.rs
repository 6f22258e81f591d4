//! New layers: built under `tmp/`, synced, renamed into place.

use super::index::Begin;
use super::{DirStore, record};
use crate::id::{ChainId, DiffId};
use crate::store::{Error, LayerInfo, Result};
use crate::tree::{Context, copy, emit, open_dir, remove, sync, usage};
use crate::unpack;
use rustix::fs::{self, Mode};
use sha2::{Digest, Sha256};
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;

impl DirStore {
    pub(super) fn build_from_tar(&self, parent: Option<&ChainId>, tar: &mut dyn Read, expected: Option<&DiffId>) -> Result<LayerInfo> {
        let _pin = self.index.pin(parent)?;
        let turn = match expected.map(|diff| self.index.begin(&ChainId::of(parent, diff))) {
            Some(Begin::Done(info)) => return Ok(info),
            Some(Begin::Make(turn)) => Some(turn),
            None => None,
        };
        let lower = self.open_stack(parent, false)?;
        let result = self.in_tmp(|name, tmp, root| {
            let unpacked = unpack::unpack(tar, root, lower, self.limits)?;
            let diff = DiffId::from_bytes(&unpacked.digest);
            if let Some(expected) = expected.filter(|e| **e != diff) {
                return Err(Error::Digest { expected: expected.to_string(), actual: diff.to_string() });
            }
            let info = LayerInfo { chain: ChainId::of(parent, &diff), parent: parent.cloned(), diff, size: unpacked.size };
            self.publish(info, name, tmp, turn.is_some())
        });
        drop(turn);
        result
    }

    pub(super) fn build_from_upper(&self, parent: Option<&ChainId>, upper: &OwnedFd) -> Result<LayerInfo> {
        let _pin = self.index.pin(parent)?;
        self.in_tmp(|name, tmp, root| {
            copy::tree(upper, &root)?;
            let size = usage::of(&root)?.bytes;
            let mut hash = Hashing(Sha256::new());
            let mut buffered = BufWriter::with_capacity(64 * 1024, &mut hash);
            emit::tar(&root, self.root_differs(parent, &root)?, &mut buffered)?;
            buffered.flush().on("hash", b"layer")?;
            drop(buffered);
            let diff = DiffId::from_bytes(&hash.0.finalize().into());
            let info = LayerInfo { chain: ChainId::of(parent, &diff), parent: parent.cloned(), diff, size };
            self.publish(info, name, tmp, false)
        })
    }

    /// Runs `work` on a new directory with an empty `fs/` in it; on failure nothing of it stays.
    fn in_tmp(&self, work: impl FnOnce(&str, &OwnedFd, OwnedFd) -> Result<LayerInfo>) -> Result<LayerInfo> {
        let (name, tmp) = self.dirs.make_tmp()?;
        let result = fs::mkdirat(&tmp, "fs", Mode::RWXU)
            .and_then(|()| open_dir(&tmp, b"fs"))
            .on("make", b"fs")
            .and_then(|root| work(&name, &tmp, root));
        // After a success the name is free: it was moved, or the same layer was there already.
        match (result, remove::tree(&self.dirs.tmp, name.as_bytes())) {
            (Ok(info), Ok(())) => Ok(info),
            (Ok(info), Err(error)) => {
                tracing::warn!(%error, "left-over of a layer stays until the next start");
                Ok(info)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Makes a finished tree a layer of the store. `mine` says that the caller holds the turn for this chain.
    fn publish(&self, info: LayerInfo, name: &str, tmp: &OwnedFd, mine: bool) -> Result<LayerInfo> {
        record::write(tmp, record::LAYER, &record::LayerRecord::from(&info))?;
        sync::tree(tmp)?;
        let _turn = match (!mine).then(|| self.index.begin(&info.chain)) {
            Some(Begin::Done(info)) => return Ok(info),
            Some(Begin::Make(turn)) => Some(turn),
            None => None,
        };
        let target = info.chain.hex();
        // A directory that is not in the index is a left-over that could not be read: it makes room.
        let stale = self.dirs.move_to_tmp(&self.dirs.layers, target)?;
        self.dirs.move_from_tmp(name, &self.dirs.layers, target)?;
        fs::fsync(&self.dirs.layers).on("sync", b"layers")?;
        self.index.insert(info.clone());
        remove::tree(&self.dirs.tmp, stale.as_bytes())?;
        Ok(info)
    }

    /// Whether a layer's root directory has other attributes than below, and so belongs into its archive.
    pub(super) fn root_differs(&self, parent: Option<&ChainId>, root: &OwnedFd) -> Result<bool> {
        let own = fs::fstat(root).on("stat", b"/")?;
        let below = match parent {
            Some(parent) => {
                let stat = fs::fstat(self.open_layer(parent)?).on("stat", b"/")?;
                (stat.st_mode, stat.st_uid, stat.st_gid)
            }
            None => (0o040_755, 0, 0),
        };
        Ok((own.st_mode, own.st_uid, own.st_gid) != below)
    }
}

struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.update(data);
        Ok(data.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
