//! Archives out: the form that Docker writes since release 25, an OCI layout that also has Docker's own `manifest.json` and
//! `repositories`. Streaming, in constant memory, and reproducible: the same images give the same bytes.
//!
//! Layers are written as they came (compressed or not), under the digest that they came with, and so is the manifest: what is loaded again
//! can be pushed under its old digest.

mod documents;
mod layer;
mod layers;
mod select;

pub(crate) use documents::kept_manifests;

use crate::error::{Error, Result, io};
use crate::held::Held;
use crate::incoming::chains;
use crate::model::{Image, Platform};
use crate::store::{Images, Pins};
use dhow_archive::tarball::{Kind, Member, Time, Writer};
use dhow_reference::Reference;
use dhow_storage::{ChainId, DiffId};
use layer::{Layer, Source};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

const BUFFER: usize = 128 * 1024;

/// One image of an archive with the names that it has there.
#[derive(Debug, Clone)]
struct Chosen {
    image: Arc<Image>,
    names: Vec<Reference>,
}

/// An index that goes into an archive whole.
#[derive(Debug)]
struct Family {
    held: Held,
    names: Vec<Reference>,
}

/// An archive that is ready to be written. Its content is kept until this is dropped.
pub struct Archive<'a> {
    images: &'a Images,
    chosen: Vec<Chosen>,
    families: Vec<Family>,
    /// Members below `blobs/sha256`, by their names.
    blobs: BTreeMap<String, (Content, Time)>,
    /// The other members, by their names.
    documents: BTreeMap<&'static str, Vec<u8>>,
    pins: Option<Pins<'a>>,
    held: (Vec<String>, Vec<ChainId>),
}

impl std::fmt::Debug for Archive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("images", &self.ids().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// What stands behind a member.
#[derive(Debug)]
enum Content {
    Bytes(Vec<u8>),
    Layer(Layer),
}

impl Images {
    /// Prepares an archive of what the names mean: a name without a tag means all its tags. With a platform each means its image for that;
    /// without, a name that stands for an index of which everything is here brings all of it.
    pub fn save(&self, names: &[String], platform: Option<&Platform>) -> Result<Archive<'_>> {
        let chosen = select::select(&self.snapshot(), names, platform)?;
        let mut archive = Archive {
            images: self,
            chosen,
            families: Vec::new(),
            blobs: BTreeMap::new(),
            documents: BTreeMap::new(),
            pins: None,
            held: Default::default(),
        };
        if platform.is_none() {
            archive.find_families()?;
        }
        archive.hold()?;
        archive.plan()?;
        Ok(archive)
    }
}

impl Archive<'_> {
    /// Ids of its images, in the order in which they were named.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.chosen.iter().map(|chosen| chosen.image.id.as_str())
    }

    /// The indexes that its names stand for.
    fn find_families(&mut self) -> Result<()> {
        for name in self.chosen.iter().flat_map(|chosen| &chosen.names) {
            let Some(held) = self.images.whole(name)? else { continue };
            match self.families.iter_mut().find(|family| family.held.top.digest == held.top.digest) {
                Some(family) => family.names.push(name.clone()),
                None => self.families.push(Family { held, names: vec![name.clone()] }),
            }
        }
        Ok(())
    }

    /// Its images, named ones and those that come with an index.
    fn all(&self) -> impl Iterator<Item = &Arc<Image>> {
        let entries = self.families.iter().flat_map(|family| &family.held.entries);
        self.chosen.iter().map(|chosen| &chosen.image).chain(entries.filter_map(|entry| entry.image.as_ref()))
    }

    /// Nothing of it goes while it is being written, whoever removes the images.
    fn hold(&mut self) -> Result<()> {
        let mut blobs = Vec::new();
        let mut held = Vec::new();
        for image in self.all() {
            held.extend(chains(&diffs(image)?));
            blobs.extend(self.images.content_of(&image.id)?.into_iter().map(|(digest, _)| digest));
        }
        self.pins = Some(self.images.pin(blobs.iter().cloned().chain(held.iter().map(ToString::to_string))));
        self.held = (blobs, held);
        // Between the look-up and the pins somebody may have removed one.
        match self.all().find(|image| self.images.resolve(&image.id).is_err()) {
            Some(gone) => Err(Error::NotFound(gone.id.clone())),
            None => Ok(()),
        }
    }

    fn plan(&mut self) -> Result<()> {
        let mut items = Vec::new();
        let mut manifests = Vec::new();
        let mut repositories = documents::Repositories::new();
        for chosen in &self.chosen {
            let image = &chosen.image;
            let made = created(image);
            let content = self.images.content_of(&image.id)?;
            let kept = documents::kept_manifests(self.images, image, &content)?.into_iter().next();
            let layers = layers::plan(self.images, image, &content, kept.as_ref())?;
            let manifest = match kept {
                Some(kept) => kept.bytes,
                None => documents::manifest(image, &layers)?,
            };
            let descriptor = documents::descriptor_of(image, &manifest);
            documents::name_layer(&mut repositories, chosen, &layers);
            items.push(documents::item(chosen, &layers));
            let whole = |name: &Reference| self.families.iter().any(|family| family.names.contains(name));
            let alone: Vec<Reference> = chosen.names.iter().filter(|name| !whole(name)).cloned().collect();
            if !alone.is_empty() || chosen.names.is_empty() {
                manifests.extend(documents::entries(&alone, &descriptor));
            }
            self.blobs.insert(hex(&descriptor.digest), (Content::Bytes(manifest), Time::default()));
            self.blobs.entry(hex(&image.id)).or_insert((Content::Bytes(image.raw.to_vec()), made));
            for layer in layers {
                self.blobs.entry(hex(&layer.digest)).or_insert((Content::Layer(layer), made));
            }
        }
        for family in &self.families {
            manifests.extend(documents::entries(&family.names, &documents::descriptor_of_index(&family.held)));
            family_content(&mut self.blobs, &family.held);
        }
        documents::link_parents(&mut items, &self.chosen);
        self.documents.insert("index.json", documents::index(&manifests)?);
        self.documents.insert("manifest.json", documents::line(&items)?);
        self.documents.insert("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        if !repositories.is_empty() {
            self.documents.insert("repositories", documents::line(&repositories)?);
        }
        Ok(())
    }

    /// Writes it.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let broken = |error: std::io::Error| io("write", "the archive")(error);
        let mut tar = Writer::new(&mut *out);
        for name in ["blobs/", "blobs/sha256/"] {
            tar.header(&Member::new(Kind::Directory, name.as_bytes(), 0o755)).map_err(broken)?;
        }
        for (name, (content, at)) in &self.blobs {
            let mut member = Member::new(Kind::Regular, format!("blobs/sha256/{name}").as_bytes(), 0o644);
            member.mtime = *at;
            match content {
                Content::Bytes(bytes) => {
                    member.size = bytes.len() as u64;
                    tar.header(&member).and_then(|()| tar.content(bytes)).map_err(broken)?;
                }
                Content::Layer(layer) => {
                    member.size = layer.size;
                    tar.header(&member).map_err(broken)?;
                    self.layer(layer, &mut tar)?;
                }
            }
        }
        for (name, bytes) in &self.documents {
            tar.file(name.as_bytes(), 0o644, bytes).map_err(broken)?;
        }
        tar.finish().and_then(|()| out.flush()).map_err(broken)
    }

    fn layer(&self, layer: &Layer, tar: &mut Writer<'_>) -> Result<()> {
        if let Source::Tree(chain) = &layer.source {
            let mut out = std::io::BufWriter::with_capacity(BUFFER, Into(tar));
            self.images.layers.tar(chain, &mut out)?;
            return out.flush().map_err(io("write", "the archive"));
        }
        let mut source = layers::open(self.images, &layer.source)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => tar.content(&buffer[..count]).map_err(io("write", "the archive"))?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io("read", &layer.digest)(error)),
            }
        }
    }
}

impl Drop for Archive<'_> {
    fn drop(&mut self) {
        if self.pins.take().is_some() {
            // What was removed meanwhile could not go before.
            let (blobs, chains) = std::mem::take(&mut self.held);
            if self.all().any(|image| self.images.resolve(&image.id).is_err()) {
                self.images.collect(blobs, chains);
            }
        }
    }
}

/// An index, its manifests, and what they name, as they came.
fn family_content(blobs: &mut BTreeMap<String, (Content, Time)>, held: &Held) {
    let mut put = |digest: &str, content: Content, at: Time| {
        blobs.entry(hex(digest)).or_insert((content, at));
    };
    put(&held.top.digest, Content::Bytes(held.top.bytes.clone()), Time::default());
    for entry in &held.entries {
        let Some(content) = &entry.content else { continue };
        let at = entry.image.as_ref().map_or(Time::default(), |image| created(image));
        put(&entry.descriptor.digest, Content::Bytes(content.bytes.clone()), Time::default());
        for part in &content.parts {
            put(&part.digest, Content::Layer(Layer::stored(&part.digest, part.size)), at);
        }
    }
}

/// Writes into the archive's current member.
struct Into<'a, 'b>(&'a mut Writer<'b>);

impl Write for Into<'_, '_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.content(data).map(|()| data.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn hex(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).to_owned()
}

fn diffs(image: &Image) -> Result<Vec<DiffId>> {
    Ok(image.config.rootfs().diff_ids().iter().map(|diff| DiffId::parse(diff)).collect::<std::result::Result<_, _>>()?)
}

/// When an image says it was made; 1970 where it does not say.
fn created(image: &Image) -> Time {
    let at = image.config.created().as_ref().and_then(|text| text.to_string().parse::<jiff::Timestamp>().ok());
    at.map_or(Time::default(), |at| Time { seconds: at.as_second().max(0), nanos: 0 })
}
