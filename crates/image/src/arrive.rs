//! An image that comes piece by piece, as from a registry: layers are taken in while others are still on their way.

use crate::blobs::Blobs;
use crate::db;
use crate::error::{Error, Result, io};
use crate::incoming::{CONFIG_MAX, Checked, chains, check};
use crate::index::key;
use crate::ingest::{Arrived, Ingest};
use crate::model::Image;
use crate::record::Whole;
use crate::store::Images;
use dhow_archive::compress;
use dhow_reference::Reference;
use dhow_storage::{ChainId, DiffId, LayerInfo};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

/// Bytes of a layer between two words about it.
const STEP: u64 = 512 * 1024;

/// What an image consists of.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The configuration's bytes.
    pub config: Vec<u8>,
    /// Digests of the layers, from the bottom.
    pub layers: Vec<String>,
    /// The manifest and the index that named it, as they came: a push gives them back.
    pub documents: Vec<Vec<u8>>,
    /// Names that it gets, with a tag or with a digest.
    pub names: Vec<Reference>,
    /// The document that these names stand for: the index, where one named the manifest.
    pub top: Option<String>,
}

/// Who brings the layers. Its calls may block.
pub trait Bring {
    /// Which of the layers must be brought; the others are here. Said once.
    fn want(&mut self, needed: &[bool]);
    /// Waits for a layer that must be brought. An error ends the whole.
    fn bring(&mut self, number: usize) -> Result<Arc<Arrived>>;
    /// So many bytes of a layer are unpacked; `total` of them say that the layer is done.
    fn unpacked(&mut self, number: usize, done: u64, total: u64);
}

/// Where a layer is.
enum Layer {
    /// Unpacked, and its bytes are in the store.
    Whole,
    /// Unpacked; its bytes are not here.
    Unpacked,
    /// Its bytes are in the store.
    Stored(Arc<Arrived>),
    /// It must be brought.
    Missing,
}

/// A layer's bytes, counted.
struct Counted<'a> {
    inner: std::fs::File,
    number: usize,
    done: u64,
    told: u64,
    total: u64,
    bring: &'a mut dyn Bring,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(out)?;
        self.done += count as u64;
        // The last word is said when the layer is in its place.
        if self.done >= self.told + STEP && self.done < self.total {
            self.told = self.done;
            self.bring.unpacked(self.number, self.done, self.total);
        }
        Ok(count)
    }
}

impl Images {
    /// Begins to receive content, or goes on where an earlier transfer of it broke off. Blocks while another one is at it.
    pub fn ingest(&self, digest: &str, size: u64) -> Result<Ingest> {
        let (path, target) = self.blobs.ingest_paths(digest)?;
        Ingest::open(path, target, digest, size)
    }

    /// Takes an image in: layers in order as they come, then its bytes, then the row and the names. On an error nothing of it is visible;
    /// what came whole is kept for another try, unless it was wrong.
    pub fn arrive(&self, arrival: &Arrival, bring: &mut dyn Bring) -> Result<Arc<Image>> {
        let checked = check(&arrival.config, Some(arrival.layers.len()))?;
        let chains = chains(&checked.diffs);
        let documents = std::iter::once(&arrival.config).chain(&arrival.documents);
        let documents = documents.map(|bytes| DiffId::from_bytes(&Sha256::digest(bytes).into()).to_string());
        let blobs: Vec<String> = arrival.layers.iter().cloned().chain(documents).collect();
        let pins = self.pin(blobs.iter().cloned().chain(chains.iter().map(ToString::to_string)));
        let outcome = self.arrive_pinned(arrival, checked, &chains, bring);
        drop(pins);
        if outcome.is_err() {
            self.collect(blobs, chains);
        }
        outcome
    }

    fn arrive_pinned(&self, arrival: &Arrival, checked: Checked, chains: &[ChainId], bring: &mut dyn Bring) -> Result<Arc<Image>> {
        let found = self.find(arrival, &checked.diffs, chains)?;
        bring.want(&found.iter().map(|layer| matches!(layer, Layer::Missing)).collect::<Vec<_>>());
        let mut needs: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut arrived = Vec::new();
        let mut size = 0;
        for (number, layer) in found.into_iter().enumerate() {
            let (digest, diff) = (&arrival.layers[number], &checked.diffs[number]);
            let info = match layer {
                Layer::Whole | Layer::Unpacked => {
                    if matches!(layer, Layer::Whole) {
                        needs.insert(digest.clone(), Some(diff.to_string()));
                    }
                    self.layers.layer(&chains[number])?
                }
                Layer::Stored(_) | Layer::Missing => {
                    let bytes = if let Layer::Stored(bytes) = layer { bytes } else { bring.bring(number)? };
                    let info = self.unpack(number, number.checked_sub(1).map(|below| &chains[below]), diff, &bytes, bring)?;
                    needs.insert(digest.clone(), Some(diff.to_string()));
                    arrived.push(bytes);
                    info
                }
            };
            size += info.size;
        }
        for bytes in &arrived {
            bytes.keep()?;
        }
        let id = self.keep_documents(arrival, &mut needs)?;
        let chain = chains.last().cloned();
        let names: Vec<Reference> = arrival.names.iter().map(key).collect();
        let whole = Whole { id: &id, raw: &arrival.config, checked, chain, size, parent: None, needs };
        Ok(self.record_image(whole, &names, arrival.top.as_deref())?.0)
    }

    /// What of an image is here.
    fn find(&self, arrival: &Arrival, diffs: &[DiffId], chains: &[ChainId]) -> Result<Vec<Layer>> {
        let mut found = Vec::with_capacity(diffs.len());
        for ((digest, diff), chain) in arrival.layers.iter().zip(diffs).zip(chains) {
            let unpacked = self.layers.layer(chain).is_ok();
            let bytes = self.blobs.stored(digest)?;
            found.push(match (unpacked, bytes) {
                (true, Some(_)) if db::blob_is_layer(&self.state().connection, digest, diff.as_str())? => Layer::Whole,
                (true, _) => Layer::Unpacked,
                (false, Some(bytes)) => Layer::Stored(Arc::new(bytes)),
                (false, None) => Layer::Missing,
            });
        }
        Ok(found)
    }

    fn unpack(&self, number: usize, parent: Option<&ChainId>, diff: &DiffId, bytes: &Arrived, bring: &mut dyn Bring) -> Result<LayerInfo> {
        let counted = Counted { inner: bytes.open()?, number, done: 0, told: 0, total: bytes.size(), bring };
        let unpacked = compress::reader(counted).map_err(io("read", bytes.digest())).and_then(|mut tar| {
            self.layers.apply(parent, &mut tar, Some(diff)).map_err(|error| match error {
                dhow_storage::Error::Digest { actual, .. } => {
                    Error::Archive(format!("invalid diffID for layer {number}: expected \"{diff}\", got {actual:?}"))
                }
                other => other.into(),
            })
        });
        let info = unpacked.inspect_err(|error| {
            if matches!(error, Error::Archive(_)) {
                bytes.discard();
            }
        })?;
        bring.unpacked(number, bytes.size(), bytes.size());
        Ok(info)
    }

    /// Puts the configuration and the documents into the store; tells the image's id.
    fn keep_documents(&self, arrival: &Arrival, needs: &mut BTreeMap<String, Option<String>>) -> Result<String> {
        let config = self.blobs.spool(&mut &arrival.config[..], CONFIG_MAX)?;
        let id = config.digest().to_owned();
        needs.insert(id.clone(), None);
        self.blobs.keep(config)?;
        for document in &arrival.documents {
            let document = self.blobs.spool(&mut &document[..], CONFIG_MAX)?;
            needs.insert(document.digest().to_owned(), None);
            self.blobs.keep(document)?;
        }
        self.blobs.sync()?;
        Ok(id)
    }
}

impl Blobs {
    /// Content that is here.
    fn stored(&self, digest: &str) -> Result<Option<Arrived>> {
        let (_, target) = self.ingest_paths(digest)?;
        match std::fs::metadata(&target) {
            Ok(meta) => Ok(Some(Arrived::stored(target, digest, meta.len()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("stat", target.display())(error)),
        }
    }
}
