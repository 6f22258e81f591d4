//! What can go wrong between a client and its engine.

use std::io;

use super::Host;
use crate::ApiVersion;

/// An error of the client. The texts are what people know from Docker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers at the address.
    #[error("{}", connect_text(host, source))]
    Connect {
        /// The address.
        host: Host,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection cannot be used for HTTP.
    #[error("error during connect: {host}")]
    Handshake {
        /// The address.
        host: Host,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The request cannot be written as HTTP: a header or path with forbidden bytes.
    #[error("invalid request {target}")]
    Request {
        /// Path and query.
        target: String,
        /// Why.
        #[source]
        source: http::Error,
    },
    /// The connection broke while the request was under way.
    #[error("error during connect: {method} \"{url}\": {}", transport_text(source))]
    Transport {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The connection broke while the answer was read.
    #[error("unexpected EOF")]
    Broken {
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The engine refused.
    #[error("Error response from daemon: {message}")]
    Daemon {
        /// HTTP status, 400 to 599.
        status: u16,
        /// The engine's words.
        message: String,
        /// The newest version that the engine speaks, where it says.
        api_version: Option<ApiVersion>,
    },
    /// The engine refused without a word, or the API does not have this request.
    #[error("request returned {status} for API route and version {target}, check if the server supports the requested API version")]
    Silent {
        /// HTTP status.
        status: String,
        /// Path and query.
        target: String,
    },
    /// The stream that was asked for was not given.
    #[error("unable to upgrade to tcp, received {status}")]
    NoUpgrade {
        /// Path and query.
        target: String,
        /// HTTP status.
        status: u16,
    },
    /// The answer is not the JSON it should be.
    #[error("invalid answer from daemon: {source}")]
    Decode {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A value cannot be sent as JSON.
    #[error("cannot write request as JSON")]
    Encode {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Reading or writing a hijacked stream failed.
    #[error("{0}")]
    Stream(#[source] io::Error),
}

impl Error {
    /// The engine's status, where it answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Daemon { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The engine says that the thing does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Nobody listens at the address: it may help to start an engine there.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Connect { source, .. }
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused))
    }
}

fn connect_text(host: &Host, source: &io::Error) -> String {
    match (source.kind(), host) {
        (io::ErrorKind::PermissionDenied, Host::Unix(path)) => format!(
            "permission denied while trying to connect to the Docker daemon socket at {host}: dial unix {}: connect: permission denied",
            path.display()
        ),
        // The other side is there: it is the handshake that failed.
        _ if source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => format!("error during connect: {host}: tls: {source}"),
        _ => format!("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?"),
    }
}

fn transport_text(source: &hyper::Error) -> String {
    if source.is_incomplete_message() || source.is_closed() {
        return "EOF".to_owned();
    }
    // What the other side says of our certificate comes with the first read.
    match std::error::Error::source(source) {
        Some(cause) => cause.to_string(),
        None => source.to_string(),
    }
}
