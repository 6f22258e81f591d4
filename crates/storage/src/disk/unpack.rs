//! Layers of the form `tar+erofs` where they cannot be mounted (any more): under another kernel, or on another disk. Each becomes a directory
//! when it is needed.

use super::Store;
use super::staged::Staged;
use crate::form::Form;
use crate::form::index::{INDEX, SIDE, TAR};
use crate::id::ChainId;
use crate::store::{Error, Result};
use crate::tree::{Context, open_file, remove, sync};
use rustix::fs;

impl Store {
    /// The form in which a chain's top layer can be used now: its own, or the directory that it becomes.
    pub(super) fn usable(&self, chain: &ChainId, form: Form) -> Result<Form> {
        match form {
            Form::Directory | Form::Plain => Ok(form),
            Form::Index => match self.mounted(chain) {
                Ok(_) => Ok(form),
                Err(error) => self.unpack(chain, &error),
            },
        }
    }

    /// Makes a directory of a layer that cannot be mounted. Who wants the same one meanwhile waits. What is written is synced before the record
    /// says so. The tar stays where nothing else has its bytes: no directory gives them back.
    fn unpack(&self, chain: &ChainId, why: &Error) -> Result<Form> {
        let Some((_turn, number)) = self.index.rework(chain)? else { return self.index.form(chain) };
        let form = self.manner.unpacked;
        tracing::info!(layer = %chain, %why, "it cannot be mounted and is unpacked");
        let info = self.index.layer(chain)?;
        let dir = self.layer_dir(chain)?;
        let tar = open_file(&dir, TAR.as_bytes()).on("open", TAR.as_bytes())?;
        let alone = fs::fstat(&tar).on("stat", TAR.as_bytes())?.st_nlink == 1;
        let Staged { mut layer, data, room, .. } = self.take_in_as(form, &mut std::fs::File::from(tar), Some(&info.diff))?;
        self.finish(&mut layer, data, &room, info.parent.as_ref(), chain)?;
        sync::tree(&room.dir)?;
        // Of one that was cut off.
        remove::tree(&dir, b"fs")?;
        let moved = self.index.occupy(chain, number, || fs::renameat(&room.dir, "fs", &dir, "fs"));
        moved.ok_or_else(|| Error::NoChain(chain.to_string()))?.on("move", b"fs")?;
        fs::fsync(&dir).on("sync", chain.as_str().as_bytes())?;
        self.note(&dir, &info, form, number, None)?;
        self.index.becomes(chain, number, form);
        self.mounts.forget(chain);
        for name in [INDEX, SIDE].into_iter().chain((!alone).then_some(TAR)) {
            remove::tree(&dir, name.as_bytes())?;
        }
        Ok(form)
    }
}
