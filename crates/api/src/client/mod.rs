//! The client of the API: one engine behind a unix socket or TCP, HTTP/1.1, kept-alive connections, hijacked streams.
//!
//! It knows how to reach an engine and how it answers; which engine, and what to ask of it, is the caller's business.
//! It reads neither the environment nor files. Everything runs on the caller's tokio runtime, one thread is enough.

mod body;
mod connection;
mod error;
mod hijack;
mod host;
mod response;

use crate::ApiVersion;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE, USER_AGENT};
use hyper::{Method, StatusCode};
use rustls::ClientConfig;

pub use body::{Body, BodySender};
pub use error::Error;
pub use hijack::{Answer, HijackReader, HijackWriter, Hijacked};
pub use host::{Host, HostError};
pub use response::Response;

/// How the version in the path of a request is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negotiation {
    /// Exactly this version, whatever the engine says (`DOCKER_API_VERSION`).
    Fixed(ApiVersion),
    /// Ask by `/_ping` before the first request and take the lower of both sides' newest.
    Ping,
    /// Send the newest version at once, step down when the engine says that it is too new. Saves a round trip
    /// where the engine is as new as the client, and costs none where it is not. What can be sent only once asks first.
    Assume,
}

/// One request to an engine. The path is without version and already percent-encoded.
#[derive(Debug)]
pub struct Request {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

impl Request {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), headers: Vec::new(), body: Body::Empty }
    }
    /// `GET path`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }
    /// `POST path`.
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }
    /// `DELETE path`.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }
    /// Adds a query value; it is encoded here.
    #[must_use]
    pub fn query(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }
    /// Adds `key=1` when the condition holds: how clients write a true boolean.
    #[must_use]
    pub fn flag(self, key: &'static str, on: bool) -> Self {
        if on { self.query(key, "1") } else { self }
    }
    /// Adds a query value when there is one.
    #[must_use]
    pub fn query_opt(self, key: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.query(key, value),
            None => self,
        }
    }
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
    /// Sends a value as JSON.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Result<Self, Error> {
        let text = serde_json::to_vec(value).map_err(|source| Error::Encode { source })?;
        self.body = Body::Bytes(text.into());
        Ok(self.header("content-type", "application/json"))
    }
    /// Sends a body of some media type.
    #[must_use]
    pub fn body(mut self, media_type: &str, body: Body) -> Self {
        self.body = body;
        self.header("content-type", media_type)
    }

    fn target(&self, version: Option<ApiVersion>) -> String {
        let mut target = match version {
            Some(version) => format!("/v{version}{}", self.path),
            None => self.path.clone(),
        };
        if !self.query.is_empty() {
            target.push('?');
            target.push_str(&self.query_text());
        }
        target
    }

    /// What stands behind the path's question mark.
    pub fn query_text(&self) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (key, value) in &self.query {
            text.append_pair(key, value);
        }
        text.finish()
    }
}

/// Percent-encodes one path segment: the name of a container or image as a person typed it. Slashes and colons of image
/// names stay, as the routes expect them.
pub fn segment(text: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const SET: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');
    utf8_percent_encode(text, SET).to_string()
}

/// An engine to talk to. Cheap until the first request. Connections are opened as needed and kept for the next request.
#[derive(Debug)]
pub struct Client {
    host: Host,
    tls: Option<Arc<ClientConfig>>,
    negotiation: Negotiation,
    user_agent: HeaderValue,
    custom: Vec<(String, String)>,
    agreed: Mutex<Option<ApiVersion>>,
    idle: Mutex<Vec<SendRequest<Body>>>,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(host: Host, negotiation: Negotiation, user_agent: &str) -> Self {
        let agreed = match negotiation {
            Negotiation::Fixed(version) => Some(version),
            Negotiation::Assume | Negotiation::Ping => None,
        };
        Self {
            host,
            tls: None,
            negotiation,
            user_agent: HeaderValue::from_str(user_agent).unwrap_or(HeaderValue::from_static("dhow")),
            custom: Vec::new(),
            agreed: Mutex::new(agreed),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Adds headers to every request (`HttpHeaders` of the client's configuration).
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(String, String)>) -> Self {
        self.custom = headers;
        self
    }

    /// Speaks TLS where the engine is reached by TCP.
    #[must_use]
    pub fn with_tls(mut self, config: ClientConfig) -> Self {
        self.tls = Some(Arc::new(config));
        self
    }

    /// The engine's address.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The version that requests carry: negotiated, assumed or fixed; the client's newest before the first request.
    pub fn version(&self) -> ApiVersion {
        lock(&self.agreed).unwrap_or(ApiVersion::MAX)
    }

    /// Opens connections ahead of their use, so that the next requests do not wait for it.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn preconnect(&self, count: usize) -> Result<(), Error> {
        for _ in 0..count {
            let sender = connection::open(&self.host, self.tls.as_ref()).await?;
            lock(&self.idle).push(sender);
        }
        Ok(())
    }

    /// Settles the version now instead of with the first request.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub async fn negotiate(&self) -> Result<ApiVersion, Error> {
        self.version_for(true).await
    }

    /// The version for a request: one that cannot be sent again must not be sent with a guess.
    async fn version_for(&self, replayable: bool) -> Result<ApiVersion, Error> {
        if let Some(version) = *lock(&self.agreed) {
            return Ok(version);
        }
        if self.negotiation == Negotiation::Assume && replayable {
            return Ok(ApiVersion::MAX);
        }
        let mut answer = self.roundtrip(&mut Request::new(Method::HEAD, "/_ping"), None, false).await?;
        if !answer.status().is_success() {
            answer = self.roundtrip(&mut Request::get("/_ping"), None, false).await?;
        }
        let theirs = answer.api_version().unwrap_or(ApiVersion::MIN);
        answer.drain().await;
        let version = theirs.min(ApiVersion::MAX);
        *lock(&self.agreed) = Some(version);
        Ok(version)
    }

    /// Sends a request and takes the answer's head; statuses from 400 up become [`Error::Daemon`].
    ///
    /// # Errors
    /// The engine cannot be reached, breaks the protocol, or refuses.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let (answer, _) = self.send_checked(request, false).await?;
        Ok(answer)
    }

    /// Sends a request and decodes the JSON answer.
    ///
    /// # Errors
    /// As [`Client::send`], or the answer is not the JSON that was expected.
    pub async fn json<T: serde::de::DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        self.send(request).await?.json().await
    }

    /// Sends a request whose answer's body does not matter.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn call(&self, request: Request) -> Result<StatusCode, Error> {
        let answer = self.send(request).await?;
        let status = answer.status();
        answer.drain().await;
        Ok(status)
    }

    /// Sends a request that takes over its connection (attach, exec): the raw stream in both directions.
    ///
    /// # Errors
    /// As [`Client::send`], or the engine answers without switching protocols.
    pub async fn hijack(&self, request: Request) -> Result<Hijacked, Error> {
        let (answer, target) = self.send_checked(request, true).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::NoUpgrade { target, status: answer.status().as_u16() });
        }
        hijack::take(answer).await
    }

    /// As [`Client::hijack`], of a request that an engine may as well answer and keep its connection.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn hijack_or_answer(&self, request: Request) -> Result<Answer, Error> {
        let (answer, _) = self.send_checked(request, true).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Answer::Plain(answer));
        }
        hijack::take(answer).await.map(Answer::Stream)
    }

    async fn send_checked(&self, mut request: Request, upgrade: bool) -> Result<(Response, String), Error> {
        let version = self.version_for(request.body.replayable()).await?;
        match self.attempt(&mut request, version, upgrade).await {
            // An assumed version that the engine finds too new was lowered to the engine's with its answer.
            Err(Error::Daemon { status: 400, api_version: Some(theirs), .. })
                if self.negotiation == Negotiation::Assume && theirs < version && request.body.replayable() =>
            {
                self.attempt(&mut request, theirs, upgrade).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(&self, request: &mut Request, version: ApiVersion, upgrade: bool) -> Result<(Response, String), Error> {
        let target = request.target(Some(version));
        let answer = self.roundtrip(request, Some(version), upgrade).await?;
        if self.negotiation == Negotiation::Assume
            && let Some(theirs) = answer.api_version()
        {
            lock(&self.agreed).get_or_insert(theirs.min(ApiVersion::MAX));
        }
        Ok((answer.check(&target).await?, target))
    }

    async fn roundtrip(&self, request: &mut Request, version: Option<ApiVersion>, upgrade: bool) -> Result<Response, Error> {
        let mut sender = self.connection().await?;
        let target = request.target(version);
        let message = self.message(request, &target, upgrade)?;
        let answer = sender.send_request(message).await.map_err(|source| Error::Transport {
            method: request.method.to_string(),
            url: self.host.display_url(&target, self.tls.is_some()),
            source,
        })?;
        if !upgrade {
            // Not ready before the answer's body has been read; `connection` looks.
            lock(&self.idle).push(sender);
        }
        Ok(Response::new(answer))
    }

    async fn connection(&self) -> Result<SendRequest<Body>, Error> {
        for _ in 0..2 {
            {
                let mut idle = lock(&self.idle);
                idle.retain(|sender| !sender.is_closed());
                if idle.is_empty() {
                    break;
                }
                if let Some(at) = idle.iter().position(SendRequest::is_ready) {
                    return Ok(idle.swap_remove(at));
                }
            }
            // The connection's task has to notice that the last answer is complete.
            tokio::task::yield_now().await;
        }
        connection::open(&self.host, self.tls.as_ref()).await
    }

    fn message(&self, request: &mut Request, target: &str, upgrade: bool) -> Result<hyper::Request<Body>, Error> {
        let invalid = |source| Error::Request { target: target.to_owned(), source };
        let mut builder = hyper::Request::builder()
            .method(request.method.clone())
            .uri(self.host.request_uri(target))
            .header(HOST, self.host.host_header())
            .header(USER_AGENT, &self.user_agent);
        for (name, value) in &self.custom {
            builder = builder.header(name.as_str(), value.as_str());
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, value.as_str());
        }
        if upgrade {
            builder = builder.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
            if !request.headers.iter().any(|(name, _)| *name == "content-type") {
                builder = builder.header(CONTENT_TYPE, "text/plain");
            }
        }
        builder.body(request.body.take()).map_err(invalid)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks; the data stays whole either way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
