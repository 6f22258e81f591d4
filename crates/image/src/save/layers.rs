//! Where a layer's bytes come from, and what they are called.

use super::diffs;
use super::documents::Kept;
use super::layer::{Layer, Source};
use crate::error::{Error, Result, io};
use crate::incoming::chains;
use crate::model::Image;
use crate::store::Images;
use dhow_archive::compress::{self, Form};
use dhow_storage::ChainId;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

/// The layers of an image, from the bottom. A manifest that was kept says which bytes of several with the same content are meant.
pub(super) fn plan(images: &Images, image: &Image, content: &[(String, Option<String>)], kept: Option<&Kept>) -> Result<Vec<Layer>> {
    let diffs = diffs(image)?;
    let chains = chains(&diffs);
    let mut layers = Vec::with_capacity(diffs.len());
    for (number, (diff, chain)) in diffs.iter().zip(chains).enumerate() {
        let mut blobs = content.iter().filter(|(_, d)| d.as_deref() == Some(diff.as_str())).map(|(digest, _)| digest);
        let wanted = kept.map(|kept| kept.layers[number].as_str());
        let plain = || blobs.clone().find(|digest| *digest == diff.as_str());
        let blob = wanted.and_then(|wanted| blobs.clone().find(|digest| *digest == wanted)).or_else(plain).or_else(|| blobs.next());
        let mut layer = match blob {
            Some(digest) => stored(images, digest, diff.as_str())?,
            None => made(images, chain, diff.as_str())?,
        };
        if let Some(kept) = kept {
            layer.media_type.clone_from(&kept.media_types[number]);
        }
        layers.push(layer);
    }
    Ok(layers)
}

fn stored(images: &Images, digest: &str, diff: &str) -> Result<Layer> {
    let file = images.blobs.get(digest)?;
    let size = file.metadata().map_err(io("stat", digest))?.len();
    let mut head = Vec::new();
    (&file).take(4).read_to_end(&mut head).map_err(io("read", digest))?;
    let form = match compress::detect(&head) {
        Form::Plain => "tar",
        Form::Gzip => "tar+gzip",
        Form::Zstd => "tar+zstd",
        Form::Xz | Form::Foreign(_) => {
            let source = Source::Packed(digest.to_owned());
            let mut count = Count::default();
            std::io::copy(&mut open(images, &source)?, &mut count).map_err(io("read", digest))?;
            return count.layer(diff, source);
        }
    };
    Ok(Layer {
        diff: diff.to_owned(),
        digest: digest.to_owned(),
        size,
        media_type: format!("application/vnd.oci.image.layer.v1.{form}"),
        source: Source::Blob(digest.to_owned()),
    })
}

fn made(images: &Images, chain: ChainId, diff: &str) -> Result<Layer> {
    let mut count = Count::default();
    images.layers.tar(&chain, &mut count)?;
    count.layer(diff, Source::Tree(chain))
}

/// The bytes of a source in the content store.
pub(super) fn open(images: &Images, source: &Source) -> Result<Box<dyn Read>> {
    match source {
        Source::Blob(digest) => Ok(Box::new(images.blobs.get(digest)?)),
        Source::Packed(digest) => compress::reader(images.blobs.get(digest)?).map_err(io("read", digest)),
        Source::Tree(chain) => Err(Error::Invalid(format!("{chain} is not in the content store"))),
    }
}

/// Counts and hashes what would be written: a member's size stands before its content.
#[derive(Default)]
struct Count {
    size: u64,
    hash: Sha256,
}

impl Write for Count {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.size += data.len() as u64;
        self.hash.update(data);
        Ok(data.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Count {
    /// The layer, if it is what its diff id says.
    fn layer(self, diff: &str, source: Source) -> Result<Layer> {
        let digest = format!("sha256:{}", hex::encode(self.hash.finalize()));
        if digest != diff {
            return Err(Error::Damaged { what: format!("layer {diff}"), found: digest });
        }
        let media_type = "application/vnd.oci.image.layer.v1.tar".to_owned();
        Ok(Layer { diff: digest.clone(), digest, size: self.size, media_type, source })
    }
}
