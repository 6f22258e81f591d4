//! What the owner of a client decides.

use std::path::PathBuf;
use std::time::Duration;

/// Everything that configuration decides. The default is Docker's.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Hosts (`host`, `host:port`) and networks (`10.0.0.0/8`) whose certificates need not be right and that may speak plain HTTP.
    /// Loopback is always one of them.
    pub insecure: Vec<String>,
    /// Addresses (`https://mirror.example`) that are asked before Docker Hub.
    pub mirrors: Vec<String>,
    /// Instead of Docker Hub's index: who is asked by a search.
    pub index: Option<String>,
    /// Directories of certificates: `HOST[:PORT]/{*.crt,*.cert,*.key}`. The first that has the host counts.
    pub certificates: Vec<PathBuf>,
    /// Proxies.
    pub proxies: Proxies,
    /// Tries of one request.
    pub tries: u32,
    /// The first pause between two tries; each further one is twice as long.
    pub pause: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the head of an answer.
    pub answer_timeout: Duration,
    /// A body must bring [`Settings::stall_bytes`] in this time.
    pub stall_timeout: Duration,
    /// See [`Settings::stall_timeout`].
    pub stall_bytes: u64,
    /// `User-Agent`.
    pub agent: String,
}

/// Proxies, as the environment's variables say them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For plain HTTP.
    pub http: Option<String>,
    /// For HTTPS.
    pub https: Option<String>,
    /// Hosts, domains and networks that are reached without one, separated by commas.
    pub none: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            insecure: Vec::new(),
            mirrors: Vec::new(),
            index: None,
            certificates: Vec::new(),
            proxies: Proxies::default(),
            tries: 5,
            pause: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(60),
            stall_bytes: 4096,
            agent: concat!("dhow/", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}
