//! From content to an image: layers, then the row.

use crate::blobs::{Spooled, unreadable};
use crate::db;
use crate::error::{Error, Result, io};
use crate::incoming::{CONFIG_MAX, Checked, Incoming, chains, check};
use crate::model::LoadStep;
use crate::record::{Recorded, Whole};
use crate::store::Images;
use dhow_archive::compress;
use dhow_archive::tarball::Digested;
use dhow_reference::Reference;
use dhow_storage::{ChainId, DiffId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;

/// Bytes of a layer between two words about it.
const STEP: u64 = 512 * 1024;

/// Who is told how far a layer is.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(LoadStep);

/// Names that an image gets, and the document that they stand for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named<'a> {
    pub(crate) names: &'a [Reference],
    pub(crate) top: Option<&'a str>,
    /// When, where a person tags.
    pub(crate) at: Option<i64>,
}

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
    /// Takes an image in: blobs, then layers, then the row with the names. On an error nothing of it stays.
    pub(crate) fn install(&self, incoming: Incoming, named: Named<'_>, tell: Tell<'_>) -> Result<Recorded> {
        let checked = check(&incoming.config, Some(incoming.layers.len()))?;
        let config = self.blobs.spool(&mut &incoming.config[..], CONFIG_MAX)?;
        let id = config.digest().to_owned();
        let others = incoming.documents.iter().map(|b| b.digest().to_owned()).chain([id.clone()]);
        let layers = incoming.layers.iter().zip(&checked.diffs).map(|(l, diff)| (l.digest().to_owned(), Some(diff.to_string())));
        let needs: BTreeMap<String, Option<String>> = others.map(|digest| (digest, None)).chain(layers).collect();
        let chains = chains(&checked.diffs);

        let held: Vec<String> = needs.keys().cloned().collect();
        let pins = self.pin(held.iter().cloned().chain(chains.iter().map(ToString::to_string)));
        let outcome = self.install_pinned(&id, &incoming, checked, config, needs, tell).and_then(|whole| {
            // The last that can fail: from here on the image is there.
            self.record_image(whole, named.names, named.top, named.at)
        });
        drop(pins);
        if outcome.is_err() {
            self.collect(held, chains);
        }
        outcome
    }

    fn install_pinned<'a>(
        &self,
        id: &'a str,
        incoming: &'a Incoming,
        checked: Checked,
        config: Spooled,
        mut needs: BTreeMap<String, Option<String>>,
        tell: Tell<'_>,
    ) -> Result<Whole<'a>> {
        let mut chain: Option<ChainId> = None;
        let mut size = 0;
        let mut stay = BTreeSet::new();
        for (number, (diff, layer)) in checked.diffs.iter().zip(&incoming.layers).enumerate() {
            let info = self.apply(number, chain.as_ref(), diff, layer, tell)?;
            size += info.size;
            // A later push or save needs the very digest.
            if self.stays(layer.digest(), diff, &info.chain)? {
                stay.insert(layer.digest());
                self.blobs.keep_copy(layer)?;
            }
            chain = Some(info.chain);
        }
        needs.retain(|digest, diff| diff.is_none() || stay.contains(digest.as_str()));
        for content in &incoming.documents {
            self.blobs.keep_copy(content)?;
        }
        self.blobs.keep(config)?;
        Ok(Whole { id, raw: &incoming.config, checked, chain, size, parent: incoming.parent.clone(), needs })
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
        if let Some(staged) = layer.take_layer() {
            let staged = staged?;
            if staged.diff() != diff {
                return Err(wrong(staged.diff().as_str()));
            }
            let info = self.layers.place(staged, parent)?;
            tell(LoadStep::Layer { diff: diff.to_string(), done: layer.size(), total: layer.size() });
            return Ok(info);
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
        if let Some(diff) = layer.diff() {
            return Ok(diff.to_string());
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
