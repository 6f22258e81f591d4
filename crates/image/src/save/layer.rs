//! A layer on its way into an archive, as data.

use dhow_storage::ChainId;

/// One layer as it stands in an archive.
#[derive(Debug)]
pub(super) struct Layer {
    /// Of its content.
    pub(super) diff: String,
    /// Of its bytes.
    pub(super) digest: String,
    /// Bytes.
    pub(super) size: u64,
    /// OCI's name of its form.
    pub(super) media_type: String,
    /// Where they are.
    pub(super) source: Source,
}

/// Where bytes are.
#[derive(Debug)]
pub(super) enum Source {
    /// In the content store, as they are.
    Blob(String),
    /// In the content store, in a form that has no name in an archive: they are written inflated.
    Packed(String),
    /// Only as a layer: the archive is made, twice alike.
    Tree(ChainId),
}

impl Layer {
    /// Content as it came, which is not looked at.
    pub(super) fn stored(digest: &str, size: u64) -> Self {
        Self { diff: String::new(), digest: digest.to_owned(), size, media_type: String::new(), source: Source::Blob(digest.to_owned()) }
    }
}
