//! Archives of images: `docker save` of every age, and OCI layouts. Hostile input throughout.

mod docker;
mod oci;
mod spool;
mod v1;

use crate::error::{Error, Result};
use crate::incoming::Incoming;
use dhow_reference::Reference;
use spool::Members;
use std::io::Read;

use crate::blobs::{Blobs, Spooled};

/// Largest index or manifest that is read.
const DOCUMENT_MAX: u64 = 4 * 1024 * 1024;

/// One image of an archive, checked, not yet taken in.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its content.
    pub(crate) incoming: Incoming,
    /// Further content to keep: its manifest.
    pub(crate) blobs: Vec<Spooled>,
    /// Its names.
    pub(crate) names: Vec<Reference>,
}

/// Reads an archive to its end and tells what images it holds.
pub(crate) fn read(blobs: &Blobs, stream: &mut dyn Read) -> Result<Vec<Found>> {
    let members = Members::read(blobs, stream)?;
    // `docker save` since 25 writes both; the names are in manifest.json.
    if members.has("manifest.json") {
        docker::images(blobs, &members)
    } else if members.has("index.json") {
        oci::images(blobs, &members)
    } else if v1::is_one(&members) {
        v1::images(&members)
    } else {
        Err(Error::Archive("does not contain a manifest.json".into()))
    }
}

/// Parses a JSON document of an archive.
fn document<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::Archive(format!("{what}: {e}")))
}
