//! New layers: built under `tmp/` and renamed into place. They are synced later (see `lasting`).

use super::index::{Begin, Turn};
use super::staged::{Data, Room, Staged};
use super::{Store, record};
use crate::form::directory::{self, Contents, Files};
use crate::form::index::{self, TAR};
use crate::form::{Form, mounts};
use crate::id::{ChainId, DiffId};
use crate::layer::{Layer, Sink};
use crate::store::{Error, LayerInfo, Result};
use crate::tree::{Context, copy, emit, open_dir, remove, usage};
use dhow_archive::tree::marks::Marks;
use rustix::fs::{self, Mode};
use sha2::{Digest, Sha256};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

/// Numbered files that wait for their names.
const DATA: &str = "data";
/// Bytes read at a time.
pub(super) const BUFFER: usize = 128 * 1024;

impl Store {
    pub(super) fn build_from_tar(&self, parent: Option<&ChainId>, tar: &mut dyn Read, expected: Option<&DiffId>) -> Result<LayerInfo> {
        let _pin = self.index.pin(parent)?;
        let turn = match expected.map(|diff| self.index.begin(&ChainId::of(parent, diff))) {
            Some(Begin::Done(info)) => return Ok(info),
            Some(Begin::Make(turn)) => Some(turn),
            None => None,
        };
        let staged = self.take_in(tar, expected)?;
        match turn {
            Some(turn) => self.build(staged, parent, &turn),
            None => self.put_over(staged, parent),
        }
    }

    /// Reads an archive to its end and keeps what it holds.
    pub(super) fn take_in(&self, tar: &mut dyn Read, expected: Option<&DiffId>) -> Result<Staged> {
        self.take_in_as(self.manner.form, tar, expected)
    }

    /// As [`Store::take_in`], in a form.
    pub(super) fn take_in_as(&self, form: Form, tar: &mut dyn Read, expected: Option<&DiffId>) -> Result<Staged> {
        let room = Room::new(&self.dirs)?;
        let (layer, digest, data) = match form {
            Form::Directory | Form::Plain => {
                let mut files = Files(new_dir(&room.dir, DATA)?);
                let (layer, digest, _) = Layer::read(&mut BufReader::with_capacity(BUFFER, tar), self.limits, &mut files)?;
                (layer, digest, Data::Files(files))
            }
            Form::Index => {
                let file = index::make(&room.dir, TAR)?;
                let mut places = room.places()?;
                let (layer, digest, length) = index::read(tar, &file, self.limits, &mut places)?;
                (layer, digest, Data::Tar { tar: file, length, places })
            }
        };
        let diff = DiffId::from_bytes(&digest);
        if let Some(expected) = expected {
            same(expected, &diff)?;
        }
        Ok(Staged { diff, layer, data, room })
    }

    /// Makes a staged layer the top of a chain.
    pub(super) fn put_over(&self, staged: Staged, parent: Option<&ChainId>) -> Result<LayerInfo> {
        let _pin = self.index.pin(parent)?;
        match self.index.begin(&ChainId::of(parent, &staged.diff)) {
            Begin::Done(info) => Ok(info),
            Begin::Make(turn) => self.build(staged, parent, &turn),
        }
    }

    /// The caller holds the parent, and the turn for the chain.
    fn build(&self, staged: Staged, parent: Option<&ChainId>, turn: &Turn<'_>) -> Result<LayerInfo> {
        let Staged { diff, mut layer, data, room } = staged;
        let chain = ChainId::of(parent, &diff);
        let form = self.finish(&mut layer, data, &room, parent, &chain)?;
        let info = LayerInfo { chain, parent: parent.cloned(), diff, size: layer.size() };
        self.publish(info, form, &room, turn)
    }

    /// Settles what was read over the chain below, and writes it.
    pub(super) fn finish(&self, layer: &mut Layer, mut data: Data, room: &Room, parent: Option<&ChainId>, chain: &ChainId) -> Result<Form> {
        let lower = self.open_stack(parent, false)?;
        let sink: &mut dyn Sink = match &mut data {
            Data::Files(files) => files,
            Data::Tar { places, .. } => places,
        };
        layer.settle(&lower, sink)?;
        write(layer, data, &room.dir, chain, self.manner.unpacked)
    }

    pub(super) fn build_from_upper(&self, parent: Option<&ChainId>, upper: &OwnedFd) -> Result<LayerInfo> {
        let _pin = self.index.pin(parent)?;
        let room = Room::new(&self.dirs)?;
        let root = new_dir(&room.dir, "fs")?;
        copy::tree(upper, &root)?;
        let size = usage::of(&root)?.bytes;
        self.publish_directory(parent, &root, &room, Form::Directory, size)
    }

    /// Makes a layer of a directory in `room` that is one in this form already.
    pub(super) fn publish_directory(
        &self,
        parent: Option<&ChainId>,
        root: &OwnedFd,
        room: &Room,
        form: Form,
        size: u64,
    ) -> Result<LayerInfo> {
        let diff = self.digest(parent, root, form.marks())?;
        let info = LayerInfo { chain: ChainId::of(parent, &diff), parent: parent.cloned(), diff, size };
        match self.index.begin(&info.chain) {
            Begin::Done(info) => Ok(info),
            Begin::Make(turn) => self.publish(info, form, room, &turn),
        }
    }

    /// Makes a finished directory a layer of the store, whose record says in which run of the kernel it was written.
    fn publish(&self, info: LayerInfo, form: Form, room: &Room, _turn: &Turn<'_>) -> Result<LayerInfo> {
        record::write(&room.dir, record::LAYER, &record::LayerRecord::new(&info, form, Some(&self.run)))?;
        let target = info.chain.hex();
        // A directory that is not in the index is a left-over that could not be read: it makes room.
        let stale = self.dirs.move_to_tmp(&self.dirs.layers, target)?;
        self.dirs.move_from_tmp(&room.name, &self.dirs.layers, target)?;
        self.index.insert(info.clone(), form, true);
        remove::tree(&self.dirs.tmp, stale.as_bytes())?;
        Ok(info)
    }

    /// The digest of the archive that a directory over a chain gives.
    pub(super) fn digest(&self, parent: Option<&ChainId>, root: &OwnedFd, marks: Marks) -> Result<DiffId> {
        let mut hash = Hashing(Sha256::new());
        let mut buffered = BufWriter::with_capacity(64 * 1024, &mut hash);
        emit::tar(root, marks, self.root_differs(parent, root)?, &mut buffered)?;
        buffered.flush().on("hash", b"layer")?;
        drop(buffered);
        Ok(DiffId::from_bytes(&hash.0.finalize().into()))
    }

    /// Whether a layer's root directory has other attributes than below, and so belongs into its archive.
    pub(super) fn root_differs(&self, parent: Option<&ChainId>, root: &OwnedFd) -> Result<bool> {
        let own = fs::fstat(root).on("stat", b"/")?;
        let below = match parent {
            Some(parent) => {
                let stat = self.stat_root(parent)?;
                (stat.st_mode, stat.st_uid, stat.st_gid)
            }
            None => (0o040_755, 0, 0),
        };
        Ok((own.st_mode, own.st_uid, own.st_gid) != below)
    }
}

/// Writes a settled layer in the form that its data is there for; as a directory (in the form of these) where an index cannot hold it.
fn write(layer: &Layer, data: Data, dir: &OwnedFd, chain: &ChainId, unpacked: Form) -> Result<Form> {
    match data {
        Data::Files(files) => {
            let root = new_dir(dir, "fs")?;
            directory::write(&layer.tree, Contents::Files(&files), &root, unpacked.marks())?;
            drop(files);
            remove::tree(dir, DATA.as_bytes())?;
            Ok(unpacked)
        }
        Data::Tar { tar, length, places } => {
            let side = places.side();
            if index::write(layer, length, side.map(|(_, length)| length), &mounts::id(chain), dir)? {
                return Ok(Form::Index);
            }
            let root = new_dir(dir, "fs")?;
            let devices: Vec<&OwnedFd> = std::iter::once(&tar).chain(side.map(|(side, _)| side)).collect();
            directory::write(&layer.tree, Contents::Devices(&devices), &root, unpacked.marks())?;
            remove::tree(dir, TAR.as_bytes())?;
            remove::tree(dir, index::SIDE.as_bytes())?;
            Ok(unpacked)
        }
    }
}

/// An error where a layer is not what it should be.
pub(super) fn same(expected: &DiffId, actual: &DiffId) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::Digest { expected: expected.to_string(), actual: actual.to_string() })
}

pub(super) fn new_dir(parent: impl AsFd, name: &str) -> Result<OwnedFd> {
    fs::mkdirat(&parent, name, Mode::RWXU).and_then(|()| open_dir(&parent, name.as_bytes())).on("make", name.as_bytes())
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
