//! Archives of images: `docker save` of every age, and OCI layouts. Hostile input throughout.

mod docker;
mod oci;
mod spool;
mod v1;

use crate::error::{Error, Result};
use crate::incoming::Incoming;
use dhow_reference::Reference;
use spool::Members;
use std::io::BufRead;

use crate::early::Early;

/// What an archive has under one or several names: one image, or those of an index, the one that the names mean first.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The names.
    pub(crate) names: Vec<Reference>,
    /// The index's digest.
    pub(crate) top: Option<String>,
    /// The images.
    pub(crate) images: Vec<Incoming>,
}

/// Reads an archive to its end and tells what images it holds.
pub(crate) fn read(early: &mut Early<'_>, stream: &mut dyn BufRead) -> Result<Vec<Group>> {
    let members = Members::read(early, stream)?;
    // `docker save` since 25 writes both; the names are in manifest.json.
    if members.has("manifest.json") {
        docker::images(&members)
    } else if members.has("index.json") {
        oci::images(&members)
    } else if v1::is_one(&members) {
        v1::images(&members)
    } else {
        Err(Error::Archive("does not contain a manifest.json".into()))
    }
}
