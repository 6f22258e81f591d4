//! One blob, as it streams: bounded by its length, continued where a connection broke off.

use super::answer;
use super::session::Session;
use crate::error::{Error, Result};
use crate::http::{Body, Target};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Who got so far since the last failure starts to count anew.
const PROGRESS: u64 = 1 << 20;

/// A piece of a blob, or why there is none yet.
#[derive(Debug)]
pub enum BlobEvent {
    /// The next bytes.
    Data(Bytes),
    /// It broke off. To be asked again after a while: the caller waits.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Why.
        error: Error,
    },
}

/// A blob being read. What its bytes hash to is the caller's to check.
#[derive(Debug)]
pub struct Blob {
    session: Arc<Session>,
    target: Target,
    size: u64,
    at: u64,
    body: Option<Incoming>,
    /// Bytes to pass over: the registry sends from the beginning.
    skip: u64,
    failures: u32,
    /// Where the last failure was.
    failed_at: u64,
    /// By then so many bytes must have come.
    deadline: (Instant, u64),
}

impl Blob {
    pub(super) fn new(session: Arc<Session>, target: Target, size: u64, from: u64) -> Self {
        Self { session, target, size, at: from.min(size), body: None, skip: 0, failures: 0, failed_at: from, deadline: (Instant::now(), 0) }
    }

    /// The next piece; `None` when all bytes came.
    pub async fn next(&mut self) -> Result<Option<BlobEvent>> {
        if self.at >= self.size && self.body.is_none() {
            return Ok(None);
        }
        match self.advance().await {
            Ok(piece) => Ok(piece.map(BlobEvent::Data)),
            Err(error) => {
                self.body = None;
                if self.at >= self.failed_at + PROGRESS {
                    self.failures = 0;
                }
                self.failures += 1;
                self.failed_at = self.at;
                match self.session.pause(&error, self.failures) {
                    Some(after) => Ok(Some(BlobEvent::Retry { after, error })),
                    None => Err(error),
                }
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<Bytes>> {
        if self.body.is_none() {
            self.body = Some(self.open().await?);
            self.deadline = (Instant::now() + self.session.http.settings.stall_timeout, self.session.http.settings.stall_bytes);
        }
        loop {
            let Some(bytes) = self.frame().await? else {
                self.body = None;
                return if self.at < self.size { Err(answer::broken(&self.target, "unexpected EOF")) } else { Ok(None) };
            };
            let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= passed as u64;
            let bytes = bytes.slice(passed..);
            if bytes.is_empty() {
                continue;
            }
            self.at += bytes.len() as u64;
            if self.at > self.size {
                return Err(self.too_long());
            }
            return Ok(Some(bytes));
        }
    }

    /// The next bytes of the body. One that brings too little for too long has broken off.
    async fn frame(&mut self) -> Result<Option<Bytes>> {
        let settings = &self.session.http.settings;
        let Some(body) = &mut self.body else { return Ok(None) };
        loop {
            if self.deadline.1 == 0 {
                self.deadline = (Instant::now() + settings.stall_timeout, settings.stall_bytes);
            }
            let frame = timeout_at(self.deadline.0, body.frame()).await;
            let frame = frame.map_err(|_| answer::broken(&self.target, "too few bytes came for too long"))?;
            return match frame {
                None => Ok(None),
                Some(Err(_)) => Err(answer::broken(&self.target, "unexpected EOF")),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => {
                        self.deadline.1 = self.deadline.1.saturating_sub(bytes.len() as u64);
                        Ok(Some(bytes))
                    }
                    Err(_trailers) => continue,
                },
            };
        }
    }

    async fn open(&mut self) -> Result<Incoming> {
        let mut headers = HeaderMap::new();
        if self.at > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.at)).map_err(|error| Error::Invalid(error.to_string()))?;
            headers.insert(RANGE, range);
        }
        let answer = self.session.send(Method::GET, &self.target, &headers, Body::empty()).await?;
        let answer = answer::success(&self.target, answer).await?;
        let from = if answer.status() == StatusCode::PARTIAL_CONTENT { self.at } else { 0 };
        if from > 0 && range_start(&answer) != Some(from) {
            return Err(Error::Invalid(format!("{} came with another range than was asked for", self.target.shown())));
        }
        self.skip = self.at - from;
        let length = answer.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match length {
            Some(length) if length > self.size - from => Err(self.too_long()),
            Some(length) if length < self.size - from => {
                Err(Error::Invalid(format!("{} has {} bytes, not {}", self.target.shown(), length + from, self.size)))
            }
            _ => Ok(answer.into_body()),
        }
    }

    fn too_long(&self) -> Error {
        Error::Invalid(format!("{} has more than {} bytes", self.target.shown(), self.size))
    }
}

/// `bytes 5-9/10`.
fn range_start(answer: &Response<Incoming>) -> Option<u64> {
    let value = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    value.trim().strip_prefix("bytes")?.trim().split('-').next()?.parse().ok()
}
