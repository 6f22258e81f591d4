//! Which form new layers get.

use super::state::Dirs;
use crate::form::{Form, probe};
use crate::store::{Error, Result};
use crate::tree::remove;
use std::path::Path;

/// Which form new layers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// `tar+erofs` where a probe in the store succeeds, else `dir`.
    #[default]
    Probe,
    /// This one. `tar+erofs` where it does not work is an error.
    Only(Form),
}

impl Choice {
    pub(super) fn form(self, dirs: &Dirs, root: &Path) -> Result<Form> {
        if self == Self::Only(Form::Directory) {
            return Ok(Form::Directory);
        }
        let (name, dir) = dirs.make_tmp()?;
        let works = probe::works(&dir, &root.join("tmp").join(&name));
        drop(dir);
        remove::tree(&dirs.tmp, name.as_bytes())?;
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
