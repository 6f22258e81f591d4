//! Reading a repository: manifests, tags, blobs.

use super::endpoint::{self, Base};
use super::{Access, Blob, Client, Credentials, Repository};
use crate::error::{Error, Result};
use crate::http::Target;
use crate::protocol::{Document, media};
use bytes::Bytes;
use dhow_reference::{DEFAULT_TAG, Reference};
use http::header::{ACCEPT, CONTENT_TYPE, LINK};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Most bytes of a manifest, as in Docker.
const MANIFEST_MAX: usize = 4 * 1024 * 1024;
/// Most bytes of one page of tags.
const TAGS_MAX: usize = 4 * 1024 * 1024;
/// Most tags.
const ALL_TAGS_MAX: usize = 100_000;
/// Most pages of tags.
const PAGES_MAX: usize = 1000;

/// A manifest or an index, its digest checked, and read.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// As they came.
    pub bytes: Bytes,
    /// What the registry calls them.
    pub media_type: String,
    /// `sha256:…` of the bytes.
    pub digest: String,
    /// What they say.
    pub document: Document,
}

impl Client {
    /// The manifest of a name, by its digest where it has one, else by its tag, from the first server that has it: mirrors come first.
    pub async fn resolve(&self, name: &Reference, credentials: &Credentials) -> Result<(Repository, Fetched)> {
        let wanted = name.digest().or(name.tag()).unwrap_or(DEFAULT_TAG);
        let mut tried = Tried::default();
        for base in self.readable(name).await? {
            let found = match self.open(&base, name, credentials, Access::Pull).await {
                Ok(repository) => repository.manifest(wanted).await.map(|found| (repository, found)),
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => return Ok(found),
                Err(error) => tried.note(&base, error)?,
            }
        }
        Err(tried.end(name))
    }

    /// Every tag of a repository, from the first server that has it: mirrors come first.
    pub async fn tags(&self, name: &Reference, credentials: &Credentials) -> Result<Vec<String>> {
        let mut tried = Tried::default();
        for base in self.readable(name).await? {
            let found = match self.open(&base, name, credentials, Access::Pull).await {
                Ok(repository) => repository.tags().await,
                Err(error) => Err(error),
            };
            match found {
                Ok(tags) => return Ok(tags),
                Err(error) => tried.note(&base, error)?,
            }
        }
        Err(tried.end(name))
    }

    /// The servers from which a name may come, in order.
    async fn readable(&self, name: &Reference) -> Result<Vec<Base>> {
        endpoint::bases(name, &self.http.settings, self.http.is_insecure(name.domain()).await, Access::Pull)
    }
}

/// Why the servers that were asked so far gave nothing.
#[derive(Default)]
struct Tried(Option<Error>);

impl Tried {
    /// Fails where nobody else can say better.
    fn note(&mut self, base: &Base, error: Error) -> Result<()> {
        if base.answered(&error) {
            return Err(error);
        }
        tracing::debug!(%error, server = %base.target, "the next server is asked");
        self.0 = Some(error);
        Ok(())
    }

    fn end(self, name: &Reference) -> Error {
        self.0.unwrap_or_else(|| Error::Invalid(format!("{} names no registry", name.familiar_name())))
    }
}

impl Repository {
    /// The manifest or index of a tag or digest.
    pub async fn manifest(&self, wanted: &str) -> Result<Fetched> {
        let target = self.at(&format!("manifests/{wanted}"));
        let headers: HeaderMap = [(ACCEPT, HeaderValue::from_str(&media::ACCEPTED.join(", ")).map_err(|e| Error::Invalid(e.to_string()))?)]
            .into_iter()
            .collect();
        let pick = |headers: &HeaderMap| (text(headers, CONTENT_TYPE.as_str()), text(headers, "docker-content-digest"));
        let (bytes, (kind, named)) = self.session.get("the manifest", &target, &headers, MANIFEST_MAX, pick).await?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        // By digest, the digest is checked before anything is read.
        if wanted.contains(':') && wanted != digest {
            return Err(Error::Digest { what: "manifest", digest: wanted.to_owned() });
        }
        let document = Document::parse(&bytes, &kind)?;
        if document != Document::Schema1 && named.starts_with("sha256:") && named != digest {
            return Err(Error::Digest { what: "manifest", digest: named });
        }
        let media_type = match &document {
            Document::Manifest(manifest) => manifest.media_type.clone(),
            Document::Index { media_type, .. } => media_type.clone(),
            Document::Schema1 => media::SCHEMA1[0].to_owned(),
        };
        Ok(Fetched { bytes, media_type, digest, document })
    }

    /// Every tag, in the registry's order.
    pub async fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut all = Vec::new();
        let mut next = Some(self.at("tags/list"));
        for _ in 0..PAGES_MAX {
            let Some(target) = next.take() else { break };
            let pick = |headers: &HeaderMap| text(headers, LINK.as_str());
            let (bytes, link) = self.session.get("the list of tags", &target, &HeaderMap::new(), TAGS_MAX, pick).await?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|error| Error::Invalid(format!("malformed list of tags: {error}")))?;
            let tags = page.tags.unwrap_or_default();
            if let Some(wrong) = tags.iter().find(|tag| !dhow_reference::is_tag(tag)) {
                return Err(Error::Invalid(format!("invalid tag {wrong:?} in the list of tags")));
            }
            all.extend(tags);
            if all.len() > ALL_TAGS_MAX {
                return Err(Error::Invalid(format!("more than {ALL_TAGS_MAX} tags in the list of tags")));
            }
            // Only the registry itself has further pages.
            next = next_page(&link).and_then(|link| target.join(link)).filter(|next| next.origin == target.origin);
        }
        Ok(all)
    }

    /// Begins to read a blob at a place in it.
    #[must_use]
    pub fn blob(&self, digest: &str, size: u64, from: u64) -> Blob {
        Blob::new(self.session.clone(), self.at(&format!("blobs/{digest}")), size, from)
    }

    /// A small blob: a configuration.
    pub async fn small_blob(&self, digest: &str, size: u64, max: u64) -> Result<Bytes> {
        if size > max {
            return Err(Error::Invalid(format!("the blob {digest} has {size} bytes, more than {max}")));
        }
        let mut out = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let mut blob = self.blob(digest, size, 0);
        while let Some(event) = blob.next().await? {
            match event {
                super::BlobEvent::Data(bytes) => out.extend_from_slice(&bytes),
                super::BlobEvent::Retry { after, .. } => tokio::time::sleep(after).await,
            }
        }
        if format!("sha256:{}", hex::encode(Sha256::digest(&out))) != digest {
            return Err(Error::Digest { what: "image config", digest: digest.to_owned() });
        }
        Ok(out.into())
    }

    /// The registry's path of something in this repository.
    pub(super) fn at(&self, rest: &str) -> Target {
        self.session.base.at(&format!("{}/{rest}", self.path))
    }
}

/// A header's value; empty where there is none.
fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// `<URL>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|one| {
        let (url, parameters) = one.trim().strip_prefix('<')?.split_once('>')?;
        parameters.contains("next").then_some(url)
    })
}
