//! Writing a repository: blobs that are there already, blobs that another repository has, blobs that are sent, manifests.

use super::session::{Session, location};
use super::{Repository, answer};
use crate::error::{Error, Result};
use crate::http::{Body, Target};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// What is sent in one request together with its digest.
const WHOLE: u64 = 1 << 20;
/// A request that brings less further than this, and not to the end, has failed.
const LEAST: u64 = 64 * 1024;
/// Longest time for one upload: that something goes on is watched apart from it.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// Most bytes of an answer that are read away.
const ANSWER_MAX: usize = 64 * 1024;

/// A blob to be sent.
pub struct Content<'a> {
    /// `sha256:…`.
    pub digest: &'a str,
    /// Bytes.
    pub size: u64,
    /// Reads it from a place on.
    pub open: &'a (dyn Fn(u64) -> mpsc::Receiver<io::Result<Bytes>> + Send + Sync),
    /// Counts the bytes that are there or on their way.
    pub sent: Arc<AtomicU64>,
}

impl std::fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("digest", &self.digest).field("size", &self.size).finish_non_exhaustive()
    }
}

/// A place to send a blob to.
#[derive(Debug, Clone)]
pub struct Upload {
    target: Target,
    at: u64,
}

/// What a wish to have a blob from another repository leads to.
#[derive(Debug)]
pub enum Place {
    /// It is there now.
    Mounted,
    /// It must be sent.
    Upload(Upload),
}

/// What an answer says besides its body.
type Head = (StatusCode, HeaderMap);

impl Repository {
    /// The registry has this blob in this repository.
    pub async fn has_blob(&self, digest: &str) -> Result<bool> {
        let target = self.at(&format!("blobs/{digest}"));
        match self.session.ask(Method::HEAD, &target, &HeaderMap::new(), None).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks for a blob of another repository (`library/busybox`) of the same registry.
    pub async fn mount(&self, digest: &str, from: &str) -> Result<Place> {
        let scope = format!("repository:{from}:pull");
        let target = self.at("blobs/uploads/").with_query("mount", digest).with_query("from", from);
        self.session.auth.widen(&scope).await;
        match self.session.ask(Method::POST, &target, &empty(), None).await {
            Ok((StatusCode::CREATED, _)) => Ok(Place::Mounted),
            Ok((status, headers)) => Ok(Place::Upload(Upload { target: location(&target, status, &headers)?, at: 0 })),
            Err(error) => {
                // We may not read there, or it is gone: then it is sent.
                tracing::debug!(%error, from, digest, "the blob is not had from another repository");
                self.session.auth.narrow(&scope).await;
                self.begin().await.map(Place::Upload)
            }
        }
    }

    /// Begins to send a blob.
    pub async fn begin(&self) -> Result<Upload> {
        let target = self.at("blobs/uploads/");
        let (status, headers) = self.session.ask(Method::POST, &target, &empty(), None).await?;
        Ok(Upload { target: location(&target, status, &headers)?, at: 0 })
    }

    /// Sends a blob, going on where a connection broke off if the registry knows how far it was.
    pub async fn upload(&self, content: &Content<'_>, begun: Upload) -> Result<()> {
        let mut upload = Some(begun);
        let mut failures = 0;
        loop {
            let error = match Box::pin(self.upload_once(content, &mut upload)).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let given_up = self.session.again(error, &mut failures).await;
            if let Some(place) = &mut upload {
                if given_up.is_err() {
                    self.cancel(place).await;
                } else if let Err(error) = self.look(place).await {
                    tracing::debug!(%error, "an upload begins anew");
                    upload = None;
                }
            }
            given_up?;
            // It may have come whole, and only the answer was lost.
            if self.has_blob(content.digest).await? {
                return Ok(());
            }
        }
    }

    async fn upload_once(&self, content: &Content<'_>, kept: &mut Option<Upload>) -> Result<()> {
        let upload = match kept {
            Some(upload) => upload,
            None => kept.insert(self.begin().await?),
        };
        content.sent.store(upload.at, Ordering::Relaxed);
        if content.size <= WHOLE && upload.at == 0 {
            let bytes = whole(content).await?;
            content.sent.store(content.size, Ordering::Relaxed);
            return self.finish(upload, content.digest, bytes).await;
        }
        while upload.at < content.size {
            let before = upload.at;
            Box::pin(self.send_rest(upload, content)).await?;
            if upload.at < content.size && upload.at < before + LEAST {
                return Err(answer::broken(&upload.target, "the registry takes too few bytes"));
            }
        }
        self.finish(upload, content.digest, Bytes::new()).await
    }

    /// Sends what is left of it in one request.
    async fn send_rest(&self, upload: &mut Upload, content: &Content<'_>) -> Result<()> {
        let mut headers: HeaderMap = [octets()].into_iter().collect();
        if upload.at > 0 {
            headers.insert(CONTENT_RANGE, value(&format!("{}-{}", upload.at, content.size - 1))?);
        }
        let body = Body::Stream { pieces: (content.open)(upload.at), left: content.size - upload.at, sent: content.sent.clone() };
        let sending = self.session.send_patiently(Method::PATCH, &upload.target, &headers, body, LONGEST);
        let answer = self.watched(sending, upload, &content.sent).await?;
        let answer = answer::success(&upload.target, answer).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        answer::read("the answer", &upload.target, answer, ANSWER_MAX).await?;
        upload.at = received(&headers).unwrap_or(content.size).min(content.size);
        upload.target = location(&upload.target, status, &headers)?;
        Ok(())
    }

    /// An upload that does not get on has broken off.
    async fn watched<T>(&self, sending: impl Future<Output = Result<T>>, upload: &Upload, sent: &AtomicU64) -> Result<T> {
        let settings = &self.session.http.settings;
        let patience = settings.stall_timeout.max(settings.answer_timeout);
        let mut sending = std::pin::pin!(sending);
        loop {
            let before = sent.load(Ordering::Relaxed);
            match tokio::time::timeout(patience, &mut sending).await {
                Ok(answer) => return answer,
                Err(_) if sent.load(Ordering::Relaxed) == before => {
                    return Err(answer::broken(&upload.target, "no bytes were taken for too long"));
                }
                Err(_) => {}
            }
        }
    }

    /// All of it is there: this is its digest.
    async fn finish(&self, upload: &Upload, digest: &str, rest: Bytes) -> Result<()> {
        let target = upload.target.with_query("digest", digest);
        let headers = if rest.is_empty() { empty() } else { [octets()].into_iter().collect() };
        // The answer may be lost although it was done: the caller looks.
        self.session.ask_once(Method::PUT, &target, &headers, Some(rest).filter(|rest| !rest.is_empty())).await?;
        Ok(())
    }

    /// Asks how far an upload is.
    async fn look(&self, upload: &mut Upload) -> Result<()> {
        let (status, headers) = self.session.ask_once(Method::GET, &upload.target, &HeaderMap::new(), None).await?;
        // `0-0` may be one byte or none.
        let at = received(&headers).filter(|at| *at > 1);
        upload.at = at.ok_or_else(|| answer::broken(&upload.target, "the registry does not say how far it is"))?;
        if headers.contains_key(http::header::LOCATION) {
            upload.target = location(&upload.target, status, &headers)?;
        }
        Ok(())
    }

    /// Tells the registry to forget what came; where it does not hear, it forgets by itself.
    async fn cancel(&self, upload: &Upload) {
        if let Err(error) = self.session.ask_once(Method::DELETE, &upload.target, &HeaderMap::new(), None).await {
            tracing::debug!(%error, "an upload is not cancelled");
        }
    }

    /// Stores a manifest or index under a tag or under its digest.
    pub async fn put_manifest(&self, name: &str, media_type: &str, bytes: Bytes) -> Result<()> {
        let headers: HeaderMap = [(CONTENT_TYPE, value(media_type)?)].into_iter().collect();
        self.session.ask(Method::PUT, &self.at(&format!("manifests/{name}")), &headers, Some(bytes)).await?;
        Ok(())
    }

    /// The registry has this manifest in this repository.
    pub async fn has_manifest(&self, digest: &str) -> Result<bool> {
        let accept = value(&crate::protocol::media::ACCEPTED.join(", "))?;
        let headers: HeaderMap = [(http::header::ACCEPT, accept)].into_iter().collect();
        match self.session.ask(Method::HEAD, &self.at(&format!("manifests/{digest}")), &headers, None).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Session {
    /// A short request with as many tries as are allowed.
    async fn ask(&self, method: Method, target: &Target, headers: &HeaderMap, body: Option<Bytes>) -> Result<Head> {
        let mut failures = 0;
        loop {
            match self.ask_once(method.clone(), target, headers, body.clone()).await {
                Ok(head) => return Ok(head),
                Err(error) => self.again(error, &mut failures).await?,
            }
        }
    }

    async fn ask_once(&self, method: Method, target: &Target, headers: &HeaderMap, body: Option<Bytes>) -> Result<Head> {
        let answer = self.send(method, target, headers, Body::Full(body)).await?;
        let answer = answer::success(target, answer).await?;
        let head = (answer.status(), answer.headers().clone());
        answer::read("the answer", target, answer, ANSWER_MAX).await?;
        Ok(head)
    }
}

/// All of a small blob.
async fn whole(content: &Content<'_>) -> Result<Bytes> {
    let mut all = Vec::with_capacity(usize::try_from(content.size).unwrap_or_default());
    let mut pieces = (content.open)(0);
    while let Some(piece) = pieces.recv().await {
        all.extend_from_slice(&piece.map_err(|error| Error::Invalid(format!("{}: {error}", content.digest)))?);
    }
    Ok(all.into())
}

/// Some servers in between want to be told that there is no body.
fn empty() -> HeaderMap {
    [(CONTENT_LENGTH, HeaderValue::from_static("0"))].into_iter().collect()
}

fn octets() -> (http::HeaderName, HeaderValue) {
    (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|error| Error::Invalid(error.to_string()))
}

/// `Range: 0-99` of an upload: a hundred bytes are there.
fn received(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?;
    let (first, last) = text.trim().trim_start_matches("bytes=").split_once('-')?;
    (first == "0").then_some(last.parse::<u64>().ok()?.checked_add(1)?)
}
