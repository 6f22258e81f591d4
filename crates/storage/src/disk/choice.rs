//! Which form new layers get, and what the roots of containers are.

use super::state::Dirs;
use crate::form::{Form, probe};
use crate::store::{Error, Result};
use crate::tree::remove;
use dhow_archive::tree::marks::Marks;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Which form new layers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// `tar+erofs` where a probe in the store succeeds, else `dir`.
    #[default]
    Probe,
    /// This one. `tar+erofs` where it does not work is an error.
    Only(Form),
}

/// What a snapshot is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// A directory of its own over the layers.
    #[default]
    Overlay,
    /// A full copy of the layers, as with Docker's driver `vfs`.
    Copy,
}

/// What new snapshots are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Roots {
    /// Overlays where the store's filesystem can carry them, else copies.
    #[default]
    Probe,
    /// These. Overlays where they do not work are an error.
    Only(Root),
}

/// What is so in a store as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// The form of new layers.
    pub(super) form: Form,
    /// The form of layers that are directories.
    pub(super) unpacked: Form,
    /// What new snapshots are made of.
    pub(super) root: Root,
}

impl Manner {
    pub(super) fn of(choice: Choice, roots: Roots, dirs: &Dirs, root: &Path) -> Result<Self> {
        let form = choice.form(dirs, root)?;
        // The probe for that form has had an overlay already.
        let known = form == Form::Index && roots != Roots::Only(Root::Copy);
        let (root, marks) = if known { (Root::Overlay, Marks::Overlay) } else { roots.look(dirs, root)? };
        let unpacked = if marks == Marks::Plain { Form::Plain } else { Form::Directory };
        Ok(Self { form: if form == Form::Index { form } else { unpacked }, unpacked, root })
    }
}

impl Roots {
    fn look(self, dirs: &Dirs, root: &Path) -> Result<(Root, Marks)> {
        if self != Self::Only(Root::Copy) {
            match within(dirs, root, |_, path| Ok(probe::carries_upper(&path)))? {
                Ok(()) => return Ok((Root::Overlay, Marks::Overlay)),
                Err(error) if self == Self::Probe => tracing::info!(%error, "the roots of containers are copies here"),
                Err(error) => return Err(Error::Invalid { what: "roots of containers here", value: format!("overlay: {error}") }),
            }
        }
        Ok((Root::Copy, within(dirs, root, |dir, _| Ok(probe::marks(dir)))?))
    }
}

/// Does something in an empty directory that goes afterwards.
fn within<T>(dirs: &Dirs, root: &Path, work: impl FnOnce(&OwnedFd, PathBuf) -> Result<T>) -> Result<T> {
    let (name, dir) = dirs.make_tmp()?;
    let done = work(&dir, root.join("tmp").join(&name));
    drop(dir);
    remove::tree(&dirs.tmp, name.as_bytes())?;
    done
}

impl Choice {
    fn form(self, dirs: &Dirs, root: &Path) -> Result<Form> {
        if self == Self::Only(Form::Directory) {
            return Ok(Form::Directory);
        }
        let works = within(dirs, root, |dir, path| Ok(probe::works(dir, &path)))?;
        match (self, works) {
            (_, Ok(())) => Ok(Form::Index),
            (Self::Only(form), Err(error)) => {
                Err(Error::Invalid { what: "form of layers here", value: format!("{}: {error}", form.name()) })
            }
            (Self::Probe, Err(error)) => {
                tracing::info!(%error, "layers are unpacked here");
                Ok(Form::Directory)
            }
        }
    }
}
