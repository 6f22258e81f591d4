//! OCI image layouts: `index.json`, perhaps nested indexes, manifests.

use super::Group;
use super::spool::Members;
use crate::blobs::Spooled;
use crate::document::{DOCUMENT_MAX, Descriptor, Document, INDEX, MANIFEST, parse};
use crate::error::{Error, Result};
use crate::incoming::{self, CONFIG_MAX, Incoming};
use crate::model::host_architecture;
use dhow_reference::Reference;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How deep indexes may nest.
const DEPTH_MAX: usize = 4;
/// Most images of one index that are looked for.
const ENTRIES_MAX: usize = 1000;

/// Every image of the layout's index that is for this machine, with those for others that an index names beside it.
pub(super) fn images(members: &Members) -> Result<Vec<Group>> {
    let bytes = members.get("index.json")?.read("index.json", DOCUMENT_MAX)?;
    let index = parse::<Document>("index.json", &bytes)?.check("index.json", &INDEX)?;
    let mut found: Vec<Group> = Vec::new();
    for descriptor in wanted(index.manifests.unwrap_or_default()) {
        let names = names(&descriptor)?;
        let group = match MANIFEST.contains(&descriptor.media_type.as_str()) {
            true => Group { images: vec![image(members, &descriptor)?], ..Group::default() },
            false => family(members, &descriptor)?,
        };
        found.push(Group { names, ..group });
    }
    if found.is_empty() {
        return Err(Error::Archive("index.json names no image".into()));
    }
    Ok(found)
}

/// An archive that has both documents: `manifest.json` says what it holds. A manifest of the index is kept where it says exactly the same,
/// for a later push or save under its digest, and an index where it names such a manifest, with the other images of it that are here.
pub(super) fn keep_documents(members: &Members, found: &mut [Group]) -> Result<()> {
    let Ok(file) = members.get("index.json") else { return Ok(()) };
    let Ok(index) = serde_json::from_slice::<Document>(&file.read("index.json", DOCUMENT_MAX)?) else { return Ok(()) };
    let mut seen = BTreeSet::new();
    for descriptor in index.manifests.unwrap_or_default().into_iter().filter(|d| seen.insert(d.digest.clone())) {
        let group = match MANIFEST.contains(&descriptor.media_type.as_str()) {
            true => image(members, &descriptor).map(|image| Group { images: vec![image], ..Group::default() }),
            false => family(members, &descriptor),
        };
        // What is wrong with it does not count: the other document has said what is here.
        if let Ok(group) = group {
            adopt(found, group);
        }
    }
    Ok(())
}

/// Gives what is known of a group of images to the one of them that is found.
fn adopt(found: &mut [Group], group: Group) {
    let same = |one: &Incoming, other: &Incoming| {
        one.config == other.config && one.layers.iter().map(|l| l.digest()).eq(other.layers.iter().map(|l| l.digest()))
    };
    let Group { top, images, .. } = group;
    let known = |of: &Group| images.iter().position(|image| of.images.first().is_some_and(|own| same(own, image)));
    let Some((group, at)) = found.iter_mut().find_map(|group| known(group).map(|at| (group, at))) else { return };
    if group.top.is_some() {
        return;
    }
    group.top = top;
    for (number, image) in images.into_iter().enumerate() {
        if number == at {
            group.images[0].documents = image.documents;
        } else {
            group.images.push(image);
        }
    }
}

/// The entries of an index that are images for this machine; where none is, all that are images: a person may load a foreign one.
fn wanted(entries: Vec<Descriptor>) -> Vec<Descriptor> {
    let images: Vec<Descriptor> = entries.into_iter().filter(|d| !d.is_attestation()).collect();
    if images.iter().any(Descriptor::is_native) { images.into_iter().filter(Descriptor::is_native).collect() } else { images }
}

/// The bytes of what a descriptor names, as long as it says.
fn content(members: &Members, descriptor: &Descriptor) -> Result<Arc<Spooled>> {
    let blob = members.blob(&descriptor.digest)?;
    if blob.size() != descriptor.size {
        return Err(Error::Archive(format!("blob {} has {} bytes, not {}", descriptor.digest, blob.size(), descriptor.size)));
    }
    Ok(blob)
}

/// The images of an index that the archive has, the one for this machine first, else the first one.
fn family(members: &Members, descriptor: &Descriptor) -> Result<Group> {
    let (index, entries) = index(members, descriptor)?;
    let mut images = Vec::new();
    for entry in entries.iter().filter(|entry| MANIFEST.contains(&entry.media_type.as_str()) && !entry.is_attestation()) {
        // An archive need not have all that its index names.
        if !members.has_blob(&entry.digest) {
            continue;
        }
        let mut image = image(members, entry)?;
        image.documents.push(index.clone());
        for attestation in entries.iter().filter(|other| other.attests() == Some(&entry.digest)) {
            image.documents.extend(attached(members, attestation).unwrap_or_default());
        }
        images.push((!entry.is_native(), image));
    }
    if images.is_empty() {
        // Only an index in it, or nothing of it is here.
        let image = nested(members, entries, 1)?;
        return Ok(Group { images: vec![Incoming { documents: [image.documents, vec![index]].concat(), ..image }], ..Group::default() });
    }
    images.sort_by_key(|(foreign, _)| *foreign);
    Ok(Group { names: Vec::new(), top: Some(descriptor.digest.clone()), images: images.into_iter().map(|(_, image)| image).collect() })
}

/// An index with its bytes.
fn index(members: &Members, descriptor: &Descriptor) -> Result<(Arc<Spooled>, Vec<Descriptor>)> {
    if !INDEX.contains(&descriptor.media_type.as_str()) {
        return Err(Error::Archive(format!("unexpected media type {:?} of {}", descriptor.media_type, descriptor.digest)));
    }
    let file = content(members, descriptor)?;
    let bytes = file.read(&descriptor.digest, DOCUMENT_MAX)?;
    let index = parse::<Document>(&descriptor.digest, &bytes)?.check(&descriptor.digest, &[&descriptor.media_type])?;
    let entries = index.manifests.unwrap_or_default();
    if entries.len() > ENTRIES_MAX {
        return Err(Error::Archive(format!("{} names more than {ENTRIES_MAX} manifests", descriptor.digest)));
    }
    Ok((file, entries))
}

/// What an attestation is made of: its manifest, and what that names.
fn attached(members: &Members, descriptor: &Descriptor) -> Result<Vec<Arc<Spooled>>> {
    let file = content(members, descriptor)?;
    let bytes = file.read(&descriptor.digest, DOCUMENT_MAX)?;
    let manifest = parse::<Document>(&descriptor.digest, &bytes)?.check(&descriptor.digest, &[&descriptor.media_type])?;
    let parts = manifest.config.iter().chain(manifest.layers.iter().flatten()).map(|part| content(members, part));
    let mut all = parts.collect::<Result<Vec<_>>>()?;
    all.push(file);
    Ok(all)
}

/// Follows indexes in indexes to the image for this machine.
fn nested(members: &Members, entries: Vec<Descriptor>, depth: usize) -> Result<Incoming> {
    let Some(next) = entries.into_iter().find(|d| d.is_native() && !d.is_attestation()) else {
        return Err(Error::Archive(format!("no matching manifest for linux/{} in the manifest list entries", host_architecture())));
    };
    if MANIFEST.contains(&next.media_type.as_str()) {
        return image(members, &next);
    }
    if depth >= DEPTH_MAX {
        return Err(Error::Archive(format!("the indexes of {} nest too deep", next.digest)));
    }
    let (index, entries) = index(members, &next)?;
    let image = nested(members, entries, depth + 1)?;
    Ok(Incoming { documents: [image.documents, vec![index]].concat(), ..image })
}

fn image(members: &Members, descriptor: &Descriptor) -> Result<Incoming> {
    let file = content(members, descriptor)?;
    let bytes = file.read(&descriptor.digest, DOCUMENT_MAX)?;
    let manifest = parse::<Document>(&descriptor.digest, &bytes)?.check(&descriptor.digest, &[&descriptor.media_type])?;
    let config = manifest.config.ok_or_else(|| Error::Archive(format!("{} has no configuration", descriptor.digest)))?;
    let config = content(members, &config)?.read("image configuration", CONFIG_MAX)?;
    let layers = manifest.layers.unwrap_or_default();
    if let Some(layer) = layers.iter().find(|l| INDEX.contains(&l.media_type.as_str()) || MANIFEST.contains(&l.media_type.as_str())) {
        return Err(Error::Archive(format!("the layer {} has the media type {:?}", layer.digest, layer.media_type)));
    }
    let layers = layers.iter().map(|l| content(members, l)).collect::<Result<Vec<_>>>()?;
    incoming::check(&config, Some(layers.len()))?;
    Ok(Incoming { config, layers, documents: vec![file], parent: None })
}

/// The name that an archive gives an image: containerd's annotation, or the OCI one where it is more than a tag.
fn names(descriptor: &Descriptor) -> Result<Vec<Reference>> {
    let Some(annotations) = &descriptor.annotations else { return Ok(Vec::new()) };
    let full = annotations.get("io.containerd.image.name");
    let plain = annotations.get("org.opencontainers.image.ref.name").filter(|n| n.contains([':', '/']));
    let Some(text) = full.or(plain) else { return Ok(Vec::new()) };
    let name = Reference::parse(text).map_err(|_| Error::Archive(format!("invalid tag {text:?}")))?;
    Ok(if name.digest().is_some() { Vec::new() } else { vec![name.or_latest()] })
}
