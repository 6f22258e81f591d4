//! From content to an image: layers, then the row.

use crate::blobs::{Spooled, unreadable};
use crate::db::{self, Row};
use crate::error::{Error, Result, io};
use crate::incoming::{CONFIG_MAX, Checked, Incoming, chains, check};
use crate::model::{Image, LoadStep};
use crate::store::Images;
use dhow_archive::compress;
use dhow_archive::tarball::Digested;
use dhow_storage::{ChainId, DiffId};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

/// Bytes of a layer between two words about it.
const STEP: u64 = 512 * 1024;

/// Who is told how far a layer is.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(LoadStep);

/// A layer's archive, and who is told how much of it was read.
struct Counted<'a> {
    inner: File,
    diff: &'a DiffId,
    done: u64,
    told: Option<u64>,
    total: u64,
    tell: Tell<'a>,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(out)?;
        self.done += count as u64;
        let end = self.done >= self.total && self.told != Some(self.done);
        if end || self.told.is_none_or(|told| self.done >= told + STEP) {
            self.told = Some(self.done);
            (self.tell)(LoadStep::Layer { diff: self.diff.to_string(), done: self.done, total: self.total });
        }
        Ok(count)
    }
}

impl Images {
    /// Takes an image in: blobs, then layers, then the row. On an error nothing of it stays.
    pub(crate) fn install(&self, incoming: Incoming, blobs: Vec<Spooled>, tell: Tell<'_>) -> Result<Arc<Image>> {
        let checked = check(&incoming.config, Some(incoming.layers.len()))?;
        let config = self.blobs.spool(&mut &incoming.config[..], CONFIG_MAX)?;
        let id = config.digest().to_owned();
        let others = blobs.iter().map(|b| b.digest().to_owned()).chain([id.clone()]);
        let layers = incoming.layers.iter().zip(&checked.diffs).map(|(l, diff)| (l.digest().to_owned(), Some(diff.to_string())));
        let needs: BTreeMap<String, Option<String>> = others.map(|digest| (digest, None)).chain(layers).collect();
        let chains = chains(&checked.diffs);

        let pins = self.pin(needs.keys().cloned().chain(chains.iter().map(ToString::to_string)));
        let outcome = self.install_pinned(&id, &incoming, checked, config, blobs, &needs, tell);
        drop(pins);
        if outcome.is_err() {
            self.collect(needs.into_keys().collect(), chains);
        }
        outcome
    }

    fn install_pinned(
        &self,
        id: &str,
        incoming: &Incoming,
        checked: Checked,
        config: Spooled,
        blobs: Vec<Spooled>,
        needs: &BTreeMap<String, Option<String>>,
        tell: Tell<'_>,
    ) -> Result<Arc<Image>> {
        let mut parent: Option<ChainId> = None;
        let mut size = 0;
        for (number, (diff, layer)) in checked.diffs.iter().zip(&incoming.layers).enumerate() {
            let info = self.apply(number, parent.as_ref(), diff, layer, tell)?;
            size += info.size;
            parent = Some(info.chain);
        }
        // The layers' bytes stay as they came: a later push or save needs the very digest.
        for layer in &incoming.layers {
            self.blobs.keep_copy(layer)?;
        }
        for blob in blobs {
            self.blobs.keep(blob)?;
        }
        self.blobs.keep(config)?;
        self.blobs.sync()?;

        let row =
            Row { id: id.to_owned(), chain: parent.as_ref().map(ToString::to_string), parent: incoming.parent.clone(), last_tagged: None };
        let mut state = self.state();
        db::insert(&mut state.connection, &row, needs)?;
        if state.index.get(id).is_none() {
            state.index.put(Image {
                id: id.to_owned(),
                config: checked.config,
                raw: Arc::from(&incoming.config[..]),
                chain: parent,
                size,
                tags: Vec::new(),
                digests: Vec::new(),
                last_tagged: None,
                parent: incoming.parent.clone(),
            });
        }
        state.index.get(id).cloned().ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    fn apply(
        &self,
        number: usize,
        parent: Option<&ChainId>,
        diff: &DiffId,
        layer: &Spooled,
        tell: Tell<'_>,
    ) -> Result<dhow_storage::LayerInfo> {
        let wrong = |actual: &str| Error::Archive(format!("invalid diffID for layer {number}: expected \"{diff}\", got {actual:?}"));
        if let Ok(info) = self.layers.layer(&ChainId::of(parent, diff)) {
            // The layer is here, but these bytes are kept for it: they must be what they claim to be.
            let actual = self.content(diff, layer)?;
            return if actual == diff.as_str() { Ok(info) } else { Err(wrong(&actual)) };
        }
        let counted = Counted { inner: layer.open()?, diff, done: 0, told: None, total: layer.size(), tell };
        let mut tar = compress::reader(counted).map_err(io("read", layer.digest()))?;
        self.layers.apply(parent, &mut tar, Some(diff)).map_err(|error| match error {
            dhow_storage::Error::Digest { actual, .. } => wrong(&actual),
            other => other.into(),
        })
    }

    /// The diff id of what a layer's bytes hold, inflated only where it is not known.
    fn content(&self, expected: &DiffId, layer: &Spooled) -> Result<String> {
        let known = layer.digest() == expected.as_str() || db::blob_is_layer(&self.state().connection, layer.digest(), expected.as_str())?;
        if known {
            return Ok(expected.to_string());
        }
        let mut plain = compress::reader(layer.open()?).map_err(io("read", layer.digest()))?;
        let mut whole = Digested::new(&mut plain);
        loop {
            let count = whole.peek().map_err(|e| unreadable(&e))?.len();
            if count == 0 {
                return Ok(DiffId::from_bytes(&whole.finish().1).to_string());
            }
            whole.consume(count);
        }
    }
}
