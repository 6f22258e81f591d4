//! The manifests of an index that is here, in the API's form.

use crate::error::Result;
use crate::http::Cx;
use dhow_api::types::image::{
    ImageDescriptor, ImagePlatform, ManifestAttestation, ManifestImage, ManifestSize, ManifestSummary, UnpackedSize,
};
use dhow_engine::{Descriptor, Held, HeldEntry, Image};
use std::sync::Arc;

/// The document that an image's name stands for, and its manifests. Nothing for an image that was made here.
pub(super) async fn of(cx: &Cx, image: &Arc<Image>) -> Result<Option<(ImageDescriptor, Vec<ManifestSummary>)>> {
    let Some(held) = cx.app.engine.image_held(image.clone()).await? else { return Ok(None) };
    let containers = cx.app.engine.containers();
    let users = |image: &Image| containers.iter().filter(|c| c.image_id == image.id).map(|c| c.id.clone()).collect();
    Ok(Some(shape(&held, &users)))
}

fn shape(held: &Held, users: &dyn Fn(&Image) -> Vec<String>) -> (ImageDescriptor, Vec<ManifestSummary>) {
    let top = Descriptor {
        media_type: held.top.media_type.clone(),
        digest: held.top.digest.clone(),
        size: held.top.bytes.len() as u64,
        ..Descriptor::default()
    };
    (descriptor(&top), held.entries.iter().map(|entry| summary(entry, users)).collect())
}

fn summary(entry: &HeldEntry, users: &dyn Fn(&Image) -> Vec<String>) -> ManifestSummary {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let available = entry.content.is_some();
    // Of an image that is not here whole nothing is unpacked that counts as its own.
    let image = entry.image.as_ref().filter(|_| available);
    let unpacked = image.map_or(0, |image| image.size);
    let platform = || match (image, &entry.descriptor.platform) {
        (Some(image), None) => made_for(image),
        (_, named) => named.as_ref().map(platform).unwrap_or_default(),
    };
    ManifestSummary {
        id: entry.descriptor.digest.clone(),
        descriptor: descriptor(&entry.descriptor),
        available,
        size: ManifestSize { content: bytes(entry.size), total: bytes(entry.size + unpacked) },
        kind: if entry.attests.is_some() { "attestation" } else { "image" }.into(),
        image_data: entry.attests.is_none().then(|| ManifestImage {
            platform: platform(),
            containers: image.map(|image| users(image)).unwrap_or_default(),
            size: UnpackedSize { unpacked: bytes(unpacked) },
        }),
        attestation_data: entry.attests.clone().map(|about| ManifestAttestation { about }),
    }
}

/// A descriptor as the API has it.
pub(super) fn descriptor(of: &Descriptor) -> ImageDescriptor {
    ImageDescriptor {
        media_type: of.media_type.clone(),
        digest: of.digest.clone(),
        size: i64::try_from(of.size).unwrap_or(i64::MAX),
        annotations: of.annotations.clone().unwrap_or_default(),
        platform: of.platform.as_ref().map(platform),
    }
}

fn platform(of: &dhow_engine::PlatformEntry) -> ImagePlatform {
    ImagePlatform {
        architecture: of.architecture.clone(),
        os: of.os.clone(),
        os_version: of.os_version.clone(),
        os_features: of.os_features.clone(),
        variant: of.variant.clone(),
    }
}

fn made_for(image: &Image) -> ImagePlatform {
    let dhow_engine::Platform { os, architecture, variant } = dhow_engine::Platform::of(&image.config);
    ImagePlatform { architecture, os, variant, ..ImagePlatform::default() }
}
