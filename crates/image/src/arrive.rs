//! An image that comes piece by piece, as from a registry: layers are taken in while others are still on their way.

use crate::blobs::Blobs;
use crate::db;
use crate::error::{Result, io};
use crate::incoming::{CONFIG_MAX, Checked, chains, check};
use crate::index::key;
use crate::ingest::{Arrived, Ingest};
use crate::model::Image;
use crate::parallel::{self, Hand, Layer, Stack};
use crate::record::Whole;
use crate::store::Images;
use dhow_reference::Reference;
use dhow_storage::{ChainId, DiffId};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Who brings the layers.
pub trait Bring {
    /// Which of the layers must be brought; the others are here. Said once. What comes is put into this hand, in any order; when the hand is
    /// dropped, the whole ends.
    fn want(&mut self, needed: &[bool], hand: Hand);
    /// Who hears how far each layer is: its number, the bytes of it that are taken in, and how many there are. All of them say that the layer
    /// is in its place. Called by several threads; may block.
    fn teller(&self) -> Arc<dyn Fn(usize, u64, u64) + Send + Sync>;
}

/// Where a layer is.
enum Found {
    /// Unpacked, and its bytes are in the store.
    Whole,
    /// Unpacked; its bytes are not here.
    Unpacked,
    /// Its bytes are in the store.
    Stored(Arc<Arrived>),
    /// It must be brought.
    Missing,
}

impl Images {
    /// Begins to receive content, or goes on where an earlier transfer of it broke off. Blocks while another one is at it.
    pub fn ingest(&self, digest: &str, size: u64) -> Result<Ingest> {
        let (path, target) = self.blobs.ingest_paths(digest)?;
        Ingest::open(path, target, digest, size)
    }

    /// Takes an image in: its layers side by side as they come, each put on the one below when that is there; then their bytes, then the row
    /// and the names. On an error nothing of it is visible; what came whole is kept for another try, unless it was wrong.
    pub fn arrive(&self, arrival: &Arrival, bring: &mut dyn Bring) -> Result<Arc<Image>> {
        let checked = check(&arrival.config, Some(arrival.layers.len()))?;
        let chains = chains(&checked.diffs);
        let documents = std::iter::once(&arrival.config).chain(&arrival.documents);
        let documents = documents.map(|bytes| DiffId::from_bytes(&Sha256::digest(bytes).into()).to_string());
        let blobs: Vec<String> = arrival.layers.iter().cloned().chain(documents).collect();
        let pins = self.pin(blobs.iter().cloned().chain(chains.iter().map(ToString::to_string)));
        let outcome = self.arrive_pinned(arrival, checked, &chains, bring);
        drop(pins);
        match outcome {
            Ok(_) => self.collect_dropped(&arrival.layers),
            Err(_) => self.collect(blobs, chains),
        }
        outcome
    }

    fn arrive_pinned(&self, arrival: &Arrival, checked: Checked, chains: &[ChainId], bring: &mut dyn Bring) -> Result<Arc<Image>> {
        let found = self.find(arrival, &checked.diffs, chains)?;
        let (hand, events) = parallel::events();
        bring.want(&found.iter().map(|layer| matches!(layer, Found::Missing)).collect::<Vec<_>>(), hand);
        let here: Vec<bool> = found.iter().map(|layer| !matches!(layer, Found::Unpacked)).collect();
        let work = found.into_iter().map(|layer| match layer {
            Found::Whole | Found::Unpacked => Layer::Here,
            Found::Stored(bytes) => Layer::Stored(bytes),
            Found::Missing => Layer::Awaited,
        });
        let stack = Stack { diffs: &checked.diffs, chains, tell: &*bring.teller() };
        let built = self.build_stack(&stack, work.collect(), events)?;
        for (_, bytes) in &built.bytes {
            // Another pull may still need what does not stay.
            bytes.keep()?;
        }
        let mut needs: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (number, (digest, diff)) in arrival.layers.iter().zip(&checked.diffs).enumerate() {
            if here[number] && self.stays(digest, diff, &chains[number])? {
                needs.insert(digest.clone(), Some(diff.to_string()));
            }
        }
        let id = self.keep_documents(arrival, &mut needs)?;
        let chain = chains.last().cloned();
        let names: Vec<Reference> = arrival.names.iter().map(key).collect();
        let whole = Whole { id: &id, raw: &arrival.config, checked, chain, size: built.size, parent: None, needs };
        Ok(self.record_image(whole, &names, arrival.top.as_deref(), None)?.0)
    }

    /// What of an image is here.
    fn find(&self, arrival: &Arrival, diffs: &[DiffId], chains: &[ChainId]) -> Result<Vec<Found>> {
        let mut found = Vec::with_capacity(diffs.len());
        for ((digest, diff), chain) in arrival.layers.iter().zip(diffs).zip(chains) {
            let unpacked = self.layers.layer(chain).is_ok();
            let bytes = self.blobs.stored(digest)?;
            found.push(match (unpacked, bytes) {
                (true, Some(_)) if db::blob_is_layer(&self.state().connection, digest, diff.as_str())? => Found::Whole,
                (true, _) => Found::Unpacked,
                (false, Some(bytes)) => Found::Stored(Arc::new(bytes)),
                (false, None) => Found::Missing,
            });
        }
        Ok(found)
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
