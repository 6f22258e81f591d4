//! Images on their way out to a registry: the very bytes that they came with, or, for what was made here, bytes that are made once and kept.

use crate::blobs::Spooled;
use crate::db;
use crate::document::OutgoingManifest;
use crate::error::{Error, Result, io};
use crate::incoming::chains;
use crate::index::key;
use crate::model::Image;
use crate::save::kept_manifests;
use crate::store::Images;
use dhow_archive::compress::{self, Form, Packer};
use dhow_reference::Reference;
use dhow_storage::{ChainId, DiffId};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Most bytes of one packed layer: a bound against a store that is damaged.
const PACKED_MAX: u64 = 1 << 40;

/// An image that is pushed. Nothing of it goes while this is there, whoever removes it.
#[derive(Debug)]
pub struct Outgoing {
    images: Arc<Images>,
    image: Arc<Image>,
    layers: Vec<OutgoingLayer>,
    kept: Option<OutgoingManifest>,
    held: Vec<String>,
    chains: Vec<ChainId>,
    /// Layers' bytes that were made for this push.
    made: Mutex<Vec<String>>,
}

/// One layer of it.
#[derive(Debug, Clone)]
pub struct OutgoingLayer {
    /// The digest of its content.
    pub diff: String,
    /// The digest of the bytes that a registry gets; `None` where they are still to be made.
    pub digest: Option<String>,
    chain: ChainId,
}

/// Bytes for a registry.
#[derive(Debug, Clone)]
pub struct Packed {
    /// `sha256:…`.
    pub digest: String,
    /// How many.
    pub size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'a str,
    config: Entry<'a>,
    layers: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    media_type: &'a str,
    size: u64,
    digest: &'a str,
}

impl Images {
    /// Prepares the push of an image to a repository. Of several manifests that it came with, the one that is asked for is taken, else one
    /// that the repository knows.
    pub fn outgoing(self: Arc<Self>, image: &Arc<Image>, to: &Reference, wanted: Option<&str>) -> Result<Outgoing> {
        let diffs: Vec<DiffId> =
            image.config.rootfs().diff_ids().iter().map(|diff| DiffId::parse(diff)).collect::<std::result::Result<_, _>>()?;
        let chains = chains(&diffs);
        let content = self.content_of(&image.id)?;
        let held: Vec<String> = content.iter().map(|(digest, _)| digest.clone()).chain(chains.iter().map(ToString::to_string)).collect();
        self.hold(&held);
        let mut outgoing =
            Outgoing { images: self, image: image.clone(), layers: Vec::new(), kept: None, held, chains, made: Mutex::default() };
        // Between the look-up and now somebody may have removed it.
        outgoing.images.resolve(&image.id)?;
        outgoing.plan(&diffs, &content, to, wanted)?;
        Ok(outgoing)
    }

    /// Points a name with a digest to an image: the registry has this document under that.
    pub fn pushed(&self, id: &str, name: &Reference, digest: &str) -> Result<()> {
        let name = key(&name.with_digest(digest)?);
        self.set_name(&name, id, Some(digest), None)?;
        Ok(())
    }

    /// Other repositories of a registry that have this blob, as far as is known here.
    pub fn repositories_with(&self, digest: &str, near: &Reference) -> Result<Vec<String>> {
        let owners = db::owners(&self.state().connection, digest)?;
        let index = self.snapshot();
        let names = owners.iter().filter_map(|id| index.get(id)).flat_map(|image| image.digests.clone());
        let other = names.filter(|name| name.domain() == near.domain() && name.path() != near.path());
        let paths: BTreeSet<String> = other.map(|name| name.path().to_owned()).collect();
        Ok(paths.into_iter().collect())
    }

    /// Opens content.
    pub fn open_content(&self, digest: &str) -> Result<File> {
        self.blobs.get(digest)
    }
}

impl Outgoing {
    fn plan(&mut self, diffs: &[DiffId], content: &[(String, Option<String>)], to: &Reference, wanted: Option<&str>) -> Result<()> {
        let manifests = kept_manifests(&self.images, &self.image, content)?;
        let known = |digest: &str| self.image.digests.iter().any(|name| name.name() == to.name() && name.digest() == Some(digest));
        let named = manifests.iter().position(|kept| wanted == Some(kept.digest.as_str()));
        let best = named.or_else(|| manifests.iter().position(|kept| known(&kept.digest))).unwrap_or(0);
        let kept = manifests.into_iter().nth(best);
        for (number, (diff, chain)) in diffs.iter().zip(&self.chains).enumerate() {
            let digest = match &kept {
                Some(kept) => kept.layers.get(number).cloned(),
                None => self.gzipped(diff, content)?,
            };
            self.layers.push(OutgoingLayer { diff: diff.to_string(), digest, chain: chain.clone() });
        }
        self.kept = kept.map(|kept| OutgoingManifest { bytes: kept.bytes, media_type: kept.media_type, digest: kept.digest });
        Ok(())
    }

    /// Bytes of a layer that are here and compressed as registries expect it.
    fn gzipped(&self, diff: &DiffId, content: &[(String, Option<String>)]) -> Result<Option<String>> {
        for (digest, _) in content.iter().filter(|(_, of)| of.as_deref() == Some(diff.as_str())) {
            if form(self.images.blobs.get(digest)?, digest)? == Form::Gzip {
                return Ok(Some(digest.clone()));
            }
        }
        Ok(None)
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// Its layers, from the bottom.
    #[must_use]
    pub fn layers(&self) -> &[OutgoingLayer] {
        &self.layers
    }

    /// The bytes of a layer for the registry; made, and kept for the next time, where there are none. Blocks.
    pub fn pack(&self, number: usize) -> Result<Packed> {
        let layer = self.layers.get(number).ok_or_else(|| Error::Invalid(format!("there is no layer {number}")))?;
        if let Some(digest) = &layer.digest {
            let size = self.images.blobs.get(digest)?.metadata().map_err(io("stat", digest))?.len();
            return Ok(Packed { digest: digest.clone(), size });
        }
        let spooled = self.compress(layer)?;
        let packed = Packed { digest: spooled.digest().to_owned(), size: spooled.size() };
        self.record(spooled, Some(layer))?;
        Ok(packed)
    }

    fn compress(&self, layer: &OutgoingLayer) -> Result<Spooled> {
        let content = self.images.content_of(&self.image.id)?;
        let stored = content.iter().find(|(_, of)| of.as_deref() == Some(layer.diff.as_str())).map(|(digest, _)| digest);
        self.images.blobs.spool_with(PACKED_MAX, |out| {
            let mut packer = Packer::new(out);
            match stored {
                Some(digest) => {
                    let mut plain = compress::reader(self.images.blobs.get(digest)?).map_err(io("read", digest))?;
                    std::io::copy(&mut plain, &mut packer).map_err(io("compress", &layer.diff))?;
                }
                None => self.images.layers.tar(&layer.chain, &mut packer)?,
            }
            packer.finish().map_err(io("compress", &layer.diff))
        })
    }

    /// The manifest that goes with these layers: the one that the image came with, or one that is made now and kept. Blocks.
    pub fn manifest(&self, packed: &[Packed]) -> Result<OutgoingManifest> {
        if let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        let layers = packed.iter().map(|layer| Entry { media_type: LAYER, size: layer.size, digest: &layer.digest }).collect();
        let config = Entry { media_type: CONFIG, size: self.image.raw.len() as u64, digest: &self.image.id };
        let bytes = indented(&Manifest { schema_version: 2, media_type: MANIFEST, config, layers })?;
        let spooled = self.images.blobs.spool(&mut &bytes[..], PACKED_MAX)?;
        let digest = spooled.digest().to_owned();
        self.record(spooled, None)?;
        Ok(OutgoingManifest { bytes, media_type: MANIFEST.to_owned(), digest })
    }

    /// Keeps content as the image's, that of a layer where it is.
    fn record(&self, spooled: Spooled, of: Option<&OutgoingLayer>) -> Result<()> {
        let pinned = [spooled.digest().to_owned()];
        let _pins = self.images.pin(pinned.iter().cloned());
        if let Some(layer) = of
            && !self.images.stays(&pinned[0], &DiffId::parse(&layer.diff)?, &layer.chain)?
        {
            // Another push of it may come to its end meanwhile.
            self.images.hold(&pinned);
            self.made.lock().unwrap_or_else(PoisonError::into_inner).extend(pinned.clone());
        }
        self.images.blobs.keep(spooled)?;
        let [digest] = pinned;
        let mut state = self.images.state();
        let diff = of.map(|layer| layer.diff.as_str());
        db::add_content(&mut state.connection, &self.image.id, &digest, diff, &self.images.lasting.mark())?;
        drop(state);
        self.images.lasting.tell();
        Ok(())
    }
}

impl Outgoing {
    /// What was compressed for this push alone goes; the next one makes the same bytes.
    fn drop_made(&mut self) {
        let made = std::mem::take(self.made.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.images.release(&made);
        for digest in &made {
            if let Err(error) = db::take_content(&self.images.state().connection, &self.image.id, digest) {
                tracing::warn!(digest, %error, "compressed content stays");
            }
        }
        self.images.collect_dropped(&made);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.images.release(&self.held);
        self.drop_made();
        if self.images.resolve(&self.image.id).is_err() {
            // It was removed meanwhile, and could not go before.
            let blobs = self.held.iter().filter(|name| DiffId::parse(name).is_ok()).cloned().collect();
            self.images.collect(blobs, std::mem::take(&mut self.chains));
        }
    }
}

fn form(file: File, digest: &str) -> Result<Form> {
    let mut head = Vec::new();
    file.take(4).read_to_end(&mut head).map_err(io("read", digest))?;
    Ok(compress::detect(&head))
}

/// As Docker writes a manifest: with three blanks for each level.
fn indented(manifest: &Manifest<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let layout = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    manifest
        .serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, layout))
        .map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(bytes)
}
