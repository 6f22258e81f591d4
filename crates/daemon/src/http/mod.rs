//! HTTP/1.1 over unix sockets and TCP: listeners, connections, bodies, hijacked streams.

pub(crate) mod address;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod encoding;
pub(crate) mod hijack;
pub(crate) mod io;
pub(crate) mod listen;
pub(crate) mod pipe;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod websocket;

pub(crate) use reply::Reply;
pub(crate) use request::Cx;

/// Bounds against hostile or broken clients.
pub(crate) mod limits {
    use std::time::Duration;

    /// Largest JSON body. A seccomp profile, the largest thing in one, has about 20 kB.
    pub(crate) const JSON_BODY: usize = 4 << 20;
    /// Largest request head, and the unit in which bodies are read.
    pub(crate) const HEAD: usize = 256 << 10;
    /// Headers of one request.
    pub(crate) const HEADERS: usize = 100;
    /// Connections served at once; more wait in the listener's backlog. Hijacked ones do not count: the shim has them.
    pub(crate) const CONNECTIONS: usize = 2048;
    /// A connection that sends no (complete) request head for so long is closed.
    pub(crate) const IDLE: Duration = Duration::from_secs(300);
    /// Bytes of a body that are read although nobody wants them.
    pub(crate) const UNWANTED: usize = 64 << 20;
    /// How long that is done.
    pub(crate) const UNWANTED_TIME: Duration = Duration::from_secs(30);
    /// Chunks of an answer that wait for a slow reader.
    pub(crate) const CHUNKS: usize = 8;
}
