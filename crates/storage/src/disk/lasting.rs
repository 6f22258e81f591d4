//! What came is made to survive a power cut after it is there, since a sync of a large layer takes longer than all the rest of it.
//!
//! A record names the run of the kernel in which its layer was written, and says so until the layer is synced: content first, then the names
//! in its directory, then the record without that word. While the kernel runs, its cache has what was written, whatever becomes of us. So who
//! opens the store in the same run takes every layer as it is; in another one, a layer whose record still names a run is doubtful: any part
//! of it may be there or not. It counts only if its archive gives the diff id again, and else it is gone, with all that stands on it.
//! A record that came to the disk in part is none.

use super::record::{self, LayerRecord};
use super::staged::{Data, Room, Staged};
use super::{Store, build};
use crate::form::Form;
use crate::form::index::{INDEX, SIDE, TAR};
use crate::id::DiffId;
use crate::layer::Layer;
use crate::store::{LayerInfo, Result};
use crate::tree::{Context, open_dir, open_file, sync};
use rustix::fs::{self, AtFlags};
use rustix::io::Errno;
use std::io::BufReader;
use std::os::fd::OwnedFd;

/// Where the name of this run of the kernel is.
const RUN: &str = "/proc/sys/kernel/random/boot_id";
/// The run of layers of which the kernel could not tell whether they are on the disk.
const UNKNOWN: &str = "unknown";

/// This run of the kernel. Where it has no name each opening counts as another one.
pub(super) fn run() -> Result<String> {
    match std::fs::read_to_string(RUN) {
        Ok(name) => Ok(name.trim().to_owned()),
        Err(_) => super::state::random_name(),
    }
}

impl Store {
    /// Syncs what is not. Goes on after an error, and reports the first.
    pub(super) fn sync_layers(&self) -> Result<()> {
        let unsynced = self.index.unsynced();
        let mut first = Ok(());
        for (info, form, number) in &unsynced {
            match self.sync_layer(info, *form, *number) {
                // It was removed meanwhile.
                Err(_) if !self.index.has(&info.chain, *number) => {}
                Err(error) => {
                    tracing::error!(layer = %info.chain, %error, "a layer may not be on the disk");
                    // A second try would succeed whatever happened to the first. The next start looks at it.
                    self.index.is_synced(&info.chain, *number);
                    let noted = self.layer_dir(&info.chain).and_then(|dir| self.note(&dir, info, *form, *number, Some(UNKNOWN)));
                    first = first.and(noted.and(Err(error)));
                }
                Ok(()) => {}
            }
        }
        if !unsynced.is_empty() {
            fs::fsync(&self.dirs.layers).on("sync", b"layers")?;
        }
        first
    }

    fn sync_layer(&self, info: &LayerInfo, form: Form, number: u64) -> Result<()> {
        let dir = self.layer_dir(&info.chain)?;
        match form {
            Form::Directory | Form::Plain => sync::tree(open_dir(&dir, b"fs").on("open", b"fs")?)?,
            Form::Index => {
                for name in [TAR, INDEX, SIDE] {
                    match open_file(&dir, name.as_bytes()) {
                        Err(Errno::NOENT) if name == SIDE => {}
                        file => dhow_sys::file::sync(file.on("open", name.as_bytes())?).on("sync", name.as_bytes())?,
                    }
                }
            }
        }
        fs::fsync(&dir).on("sync", info.chain.as_str().as_bytes())?;
        self.note(&dir, info, form, number, None)?;
        self.index.is_synced(&info.chain, number);
        Ok(())
    }

    /// Replaces the record of a layer.
    pub(super) fn note(&self, dir: &OwnedFd, info: &LayerInfo, form: Form, number: u64, unsynced: Option<&str>) -> Result<()> {
        let room = Room::new(&self.dirs)?;
        let file = record::write(&room.dir, record::LAYER, &LayerRecord::new(info, form, unsynced))?;
        fs::fsync(&file).on("sync", record::LAYER.as_bytes())?;
        let moved = self.index.occupy(&info.chain, number, || fs::renameat(&room.dir, record::LAYER, dir, record::LAYER));
        match moved {
            Some(moved) => {
                moved.on("move", record::LAYER.as_bytes())?;
                fs::fsync(dir).on("sync", info.chain.as_str().as_bytes())
            }
            None => Ok(()),
        }
    }

    /// Takes up those of the doubtful layers that are what they should be, each after the one below.
    pub(super) fn examine(&self, mut doubtful: Vec<LayerRecord>) {
        loop {
            let known = |record: &LayerRecord| record.info().parent.is_none_or(|parent| self.index.layer(&parent).is_ok());
            let Some(next) = doubtful.iter().position(known) else { break };
            let record = doubtful.swap_remove(next);
            let info = record.info();
            let whole = match record.form {
                form @ (Form::Directory | Form::Plain) => self.is_whole(&info, form),
                Form::Index => self.index_anew(&info),
            };
            match whole {
                Ok(()) => tracing::info!(layer = %info.chain, "it was not synced when the kernel ended, and is whole"),
                Err(error) => tracing::warn!(layer = %info.chain, %error, "it was not synced when the kernel ended, and is gone"),
            }
        }
    }

    /// A directory is taken if it gives the very archive.
    fn is_whole(&self, info: &LayerInfo, form: Form) -> Result<()> {
        let dir = self.layer_dir(&info.chain)?;
        let root = open_dir(&dir, b"fs").on("open", b"fs")?;
        build::same(&info.diff, &self.digest(info.parent.as_ref(), &root, form.marks())?)?;
        let number = self.index.insert(info.clone(), form, true);
        self.note(&dir, info, form, number, Some(&self.run))
    }

    /// A tar gets its index again.
    fn index_anew(&self, info: &LayerInfo) -> Result<()> {
        let old = self.layer_dir(&info.chain)?;
        let room = Room::new(&self.dirs)?;
        fs::linkat(&old, TAR, &room.dir, TAR, AtFlags::empty()).on("link", TAR.as_bytes())?;
        let tar = open_file(&room.dir, TAR.as_bytes()).on("open", TAR.as_bytes())?;
        let stream = std::fs::File::from(tar.try_clone().on("open", TAR.as_bytes())?);
        let mut places = room.places()?;
        let (layer, digest, length) = Layer::read(&mut BufReader::with_capacity(build::BUFFER, stream), self.limits, &mut places)?;
        let diff = DiffId::from_bytes(&digest);
        build::same(&info.diff, &diff)?;
        self.put_over(Staged { diff, layer, data: Data::Tar { tar, length, places }, room }, info.parent.as_ref()).map(drop)
    }
}
