//! An answer: its head at once, its body as it comes.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Incoming;

use super::Error;
use crate::ApiVersion;

/// Refusals are short; more than this of one is not kept.
const MAX_REFUSAL: usize = 1024 * 1024;

/// An answer whose body has not been read yet.
#[derive(Debug)]
pub struct Response {
    inner: hyper::Response<Incoming>,
}

impl Response {
    pub(super) fn new(inner: hyper::Response<Incoming>) -> Self {
        Self { inner }
    }

    pub(super) fn into_inner(self) -> hyper::Response<Incoming> {
        self.inner
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub(super) fn headers(&self) -> &hyper::HeaderMap {
        self.inner.headers()
    }

    /// A header's text; None when absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The newest version that the engine speaks, where it says.
    pub fn api_version(&self) -> Option<ApiVersion> {
        self.header("api-version").and_then(ApiVersion::parse)
    }

    /// The next piece of the body, None at its end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.inner.body_mut().frame().await {
            let frame = frame.map_err(|source| Error::Broken { source })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The whole body.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn bytes(&mut self) -> Result<Bytes, Error> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut all = BytesMut::from(first);
        all.extend_from_slice(&second);
        while let Some(piece) = self.chunk().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// The connection broke, or it is not the JSON that was expected.
    pub async fn json<T: serde::de::DeserializeOwned>(mut self) -> Result<T, Error> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|source| Error::Decode { source })
    }

    /// Reads the body away, so that the connection can be used again.
    pub async fn drain(mut self) {
        while let Ok(Some(_)) = self.chunk().await {}
    }

    /// Turns a status from 400 up into the engine's words.
    pub(super) async fn check(mut self, target: &str) -> Result<Self, Error> {
        let status = self.status();
        if status.as_u16() < 400 {
            return Ok(self);
        }
        let api_version = self.api_version();
        let mut body = BytesMut::new();
        while let Some(piece) = self.chunk().await? {
            if body.len() + piece.len() > MAX_REFUSAL {
                break;
            }
            body.extend_from_slice(&piece);
        }
        let message = refusal_text(&body);
        if message.is_empty() {
            let reason = status.canonical_reason().unwrap_or_default();
            let status = format!("{} {reason}", status.as_u16());
            return Err(Error::Silent { status: status.trim_end().to_owned(), target: target.to_owned() });
        }
        Err(Error::Daemon { status: status.as_u16(), message, api_version })
    }
}

/// The `message` of a JSON refusal, else the text as it is.
fn refusal_text(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.message.trim().to_owned(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::refusal_text;

    #[test]
    fn refusals() {
        assert_eq!(refusal_text(b"{\"message\":\"No such container: x\"}\n"), "No such container: x");
        assert_eq!(refusal_text(b"plain words\n"), "plain words");
        assert_eq!(refusal_text(b""), "");
    }
}
