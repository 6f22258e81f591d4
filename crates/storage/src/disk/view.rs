//! Merged copies of chains, for who only looks, where no overlay can show the layers: made when one is first wanted, there until the chain goes
//! or the kernel ends. They are not synced, so a later run of the kernel makes them anew.

use super::choice::Root;
use super::staged::Room;
use super::{Store, build};
use crate::id::ChainId;
use crate::store::Result;
use crate::tree::{Context, names, open_dir, remove, whole};
use dhow_sys::overlay::{Lower, Overlay};
use rustix::fs::{self, Mode};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

const VIEWS: &str = "views";

/// The directory of a view, with what lies below every chain or without.
fn name(chain: &ChainId, base: bool) -> String {
    format!("{}{}", chain.hex(), if base { "" } else { "-bare" })
}

impl Store {
    /// A chain can only be shown as a copy.
    pub(super) fn is_copied(&self, chain: &ChainId) -> Result<bool> {
        Ok(self.index.has_plain(chain)? || self.manner.root == Root::Copy)
    }

    pub(super) fn copied_view(&self, chain: &ChainId, base: bool) -> Result<Overlay> {
        let _pin = self.index.pin(Some(chain))?;
        let name = name(chain, base);
        let views = self.views()?;
        if open_dir(&views, name.as_bytes()).is_err() {
            let room = Room::new(&self.dirs)?;
            let root = build::new_dir(&room.dir, "fs")?;
            whole::copy(&self.open_stack(Some(chain), base)?, &root)?;
            match fs::renameat_with(&room.dir, "fs", &views, &name[..], fs::RenameFlags::NOREPLACE) {
                // Somebody else was quicker.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error).on("move", name.as_bytes()),
            }
        }
        let place = self.root.join(VIEWS).join(&self.run).join(name);
        Ok(Overlay { lower: vec![Lower::Dir(place)], upper: None, work: None, volatile: false })
    }

    /// The directory of this run's views.
    fn views(&self) -> Result<OwnedFd> {
        let dir = |parent: &OwnedFd, name: &str| -> Result<OwnedFd> {
            match fs::mkdirat(parent, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => open_dir(parent, name.as_bytes()).on("open", name.as_bytes()),
                Err(error) => Err(error).on("make", name.as_bytes()),
            }
        };
        dir(&dir(&self.dirs.root, VIEWS)?, &self.run)
    }

    /// Removes the views of a chain that goes.
    pub(super) fn remove_views(&self, chain: &ChainId) -> Result<()> {
        let views = self.views()?;
        let [with, without] = [true, false].map(|base| remove::tree(&views, name(chain, base).as_bytes()));
        Ok(with.and(without)?)
    }

    /// Removes the views of earlier runs, and those of chains that are gone.
    pub(super) fn sweep_views(&self) -> Result<()> {
        let all = match open_dir(&self.dirs.root, VIEWS.as_bytes()) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.on("open", VIEWS.as_bytes())?,
        };
        for run in names(&all).on("read", VIEWS.as_bytes())? {
            if run != self.run.as_bytes() {
                remove::tree(&all, &run)?;
            }
        }
        let views = self.views()?;
        for name in names(&views).on("read", VIEWS.as_bytes())? {
            let hex = name.strip_suffix(b"-bare").unwrap_or(&name);
            let chain = std::str::from_utf8(hex).ok().and_then(|hex| ChainId::parse(&format!("sha256:{hex}")).ok());
            if chain.is_none_or(|chain| self.index.layer(&chain).is_err()) {
                remove::tree(&views, &name)?;
            }
        }
        Ok(())
    }
}
