//! Where to listen, as `-H` says it.

use std::path::PathBuf;

/// Docker's port without TLS.
const PORT: u16 = 2375;

/// Where to listen (`-H`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `unix://PATH`.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`.
    Tcp(String),
}

/// A text that says no place to listen at.
#[derive(Debug, thiserror::Error)]
#[error("Invalid bind address format: {0}")]
pub(crate) struct BadAddress(String);

impl Address {
    /// Reads `-H`. `fd://` is not served.
    pub(crate) fn parse(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.into());
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("tcp", rest)) => Ok(Self::Tcp(with_port(rest.trim_end_matches('/')).ok_or_else(bad)?)),
            None if text.starts_with('/') => Ok(Self::Unix(text.into())),
            None if !text.is_empty() => Ok(Self::Tcp(with_port(text).ok_or_else(bad)?)),
            _ => Err(bad()),
        }
    }
}

fn with_port(text: &str) -> Option<String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (text, PORT),
    };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Some(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expect: Option<Address>| assert_eq!(Address::parse(text).ok(), expect, "{text}");
        check("unix:///run/x.sock", Some(Address::Unix("/run/x.sock".into())));
        check("/run/x.sock", Some(Address::Unix("/run/x.sock".into())));
        check("tcp://127.0.0.1:9000", Some(Address::Tcp("127.0.0.1:9000".into())));
        check("tcp://:9000", Some(Address::Tcp("127.0.0.1:9000".into())));
        check("tcp://[::1]", Some(Address::Tcp("[::1]:2375".into())));
        check("localhost", Some(Address::Tcp("localhost:2375".into())));
        check("fd://", None);
        check("unix://x", None);
        check("tcp://a:b", None);
        check("", None);
    }
}
