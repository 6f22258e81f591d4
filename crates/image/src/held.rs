//! What of an index is here: each of its manifests with what it names, as far as the content store has it.

use crate::document::{DOCUMENT_MAX, Descriptor, Document, INDEX, MANIFEST, OutgoingManifest, parse};
use crate::error::{Error, Result, io};
use crate::model::Image;
use crate::store::Images;
use dhow_reference::Reference;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::sync::Arc;

/// A document that a name stands for, and the manifests in it: those of an index, or the one that it is.
#[derive(Debug, Clone)]
pub struct Held {
    /// The document itself.
    pub top: OutgoingManifest,
    /// It is an index.
    pub is_index: bool,
    /// In its order.
    pub entries: Vec<HeldEntry>,
}

/// One manifest.
#[derive(Debug, Clone)]
pub struct HeldEntry {
    /// As the index names it.
    pub descriptor: Descriptor,
    /// The manifest that it says something about, where it is an attestation.
    pub attests: Option<String>,
    /// Its image, where that is here.
    pub image: Option<Arc<Image>>,
    /// Its bytes, where they and everything that it names are here.
    pub content: Option<HeldContent>,
    /// Bytes of all that, as they came; those that are here.
    pub size: u64,
}

/// A manifest with all that it names.
#[derive(Debug, Clone)]
pub struct HeldContent {
    /// The manifest.
    pub bytes: Vec<u8>,
    /// Configuration and layers.
    pub parts: Vec<Descriptor>,
}

impl Held {
    /// Everything that it names is here.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.entries.iter().all(|entry| entry.content.is_some())
    }
}

impl Images {
    /// What is here of the document that a name of an image stands for: of its first name that stands for one. Blocks.
    pub fn held(&self, image: &Image) -> Result<Option<Held>> {
        let index = self.snapshot();
        let top = image.tags.iter().chain(&image.digests).find_map(|name| index.top(name));
        top.map_or(Ok(None), |top| self.held_document(top))
    }

    /// What is here of the index that this very name stands for, if it does and all of it is here. Blocks.
    pub fn whole(&self, name: &Reference) -> Result<Option<Held>> {
        let held = self.held_index(name)?;
        Ok(held.filter(Held::is_whole))
    }

    /// What is here of the index that this very name stands for. Blocks.
    pub fn held_index(&self, name: &Reference) -> Result<Option<Held>> {
        let index = self.snapshot();
        let Some(top) = index.top(&crate::index::key(name)) else { return Ok(None) };
        Ok(self.held_document(top)?.filter(|held| held.is_index))
    }

    fn held_document(&self, top: &str) -> Result<Option<Held>> {
        let Some(bytes) = self.document(top)? else { return Ok(None) };
        let document: Document = parse(top, &bytes)?;
        let is_index = document.manifests.is_some();
        let media_type = document.media_type.unwrap_or_else(|| if is_index { INDEX[0] } else { MANIFEST[0] }.to_owned());
        let size = bytes.len() as u64;
        let own = || Descriptor { media_type: media_type.clone(), digest: top.to_owned(), size, ..Descriptor::default() };
        let entries = document.manifests.unwrap_or_else(|| vec![own()]);
        let entries = entries.into_iter().map(|entry| self.held_entry(entry)).collect::<Result<Vec<_>>>()?;
        Ok(Some(Held { top: OutgoingManifest { bytes, media_type, digest: top.to_owned() }, is_index, entries }))
    }

    fn held_entry(&self, descriptor: Descriptor) -> Result<HeldEntry> {
        let attests = descriptor.is_attestation().then(|| descriptor.attests().unwrap_or_default().to_owned());
        let nothing = HeldEntry { descriptor, attests, image: None, content: None, size: 0 };
        let descriptor = &nothing.descriptor;
        let Some(bytes) = self.document(&descriptor.digest)? else { return Ok(nothing) };
        // An index in an index is never whole: nobody makes them, and nothing could say which image is meant.
        let Ok(document) = parse::<Document>(&descriptor.digest, &bytes) else { return Ok(nothing) };
        let Some(config) = document.config.filter(|_| document.manifests.is_none()) else { return Ok(nothing) };
        let image = self.snapshot().get(&config.digest).cloned();
        let parts: Vec<Descriptor> = std::iter::once(config).chain(document.layers.unwrap_or_default()).collect();
        let mut size = bytes.len() as u64;
        let mut all = nothing.attests.is_some() || image.is_some();
        for part in &parts {
            match self.blobs.size(&part.digest)? {
                Some(bytes) if bytes == part.size => size += bytes,
                _ => all = false,
            }
        }
        Ok(HeldEntry { image, content: all.then_some(HeldContent { bytes, parts }), size, ..nothing })
    }

    /// A document of the content store; `None` where it is not here, or is not what it was any more.
    fn document(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        if self.blobs.size(digest)?.is_none_or(|size| size > DOCUMENT_MAX) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        match self.blobs.get(digest) {
            Ok(file) => file.take(DOCUMENT_MAX).read_to_end(&mut bytes).map_err(io("read", digest))?,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok((format!("sha256:{}", hex::encode(Sha256::digest(&bytes))) == digest).then_some(bytes))
    }
}
