//! Where to listen, as `-H` says it.

use std::path::PathBuf;

/// Docker's port without TLS.
const PORT: u16 = 2375;
/// And with it.
const TLS_PORT: u16 = 2376;

/// Where to listen (`-H`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `unix://PATH`.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`.
    Tcp(String),
    /// `fd://WHICH`: sockets that the service manager hands over.
    Activated(String),
}

/// A text that says no place to listen at.
#[derive(Debug, thiserror::Error)]
#[error("Invalid bind address format: {0}")]
pub(crate) struct BadAddress(String);

impl Address {
    /// Reads `-H`. `tls`: what is on the network speaks TLS, which has a port of its own.
    pub(crate) fn parse(text: &str, tls: bool) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.into());
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("tcp", rest)) => Ok(Self::Tcp(with_port(rest.trim_end_matches('/'), tls).ok_or_else(bad)?)),
            Some(("fd", which)) => Ok(Self::Activated(which.into())),
            None if text.starts_with('/') => Ok(Self::Unix(text.into())),
            None if !text.is_empty() => Ok(Self::Tcp(with_port(text, tls).ok_or_else(bad)?)),
            _ => Err(bad()),
        }
    }
}

fn with_port(text: &str, tls: bool) -> Option<String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (text, if tls { TLS_PORT } else { PORT }),
    };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Some(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expect: Option<Address>| assert_eq!(Address::parse(text, false).ok(), expect, "{text}");
        check("unix:///run/x.sock", Some(Address::Unix("/run/x.sock".into())));
        check("/run/x.sock", Some(Address::Unix("/run/x.sock".into())));
        check("tcp://127.0.0.1:9000", Some(Address::Tcp("127.0.0.1:9000".into())));
        check("tcp://:9000", Some(Address::Tcp("127.0.0.1:9000".into())));
        check("tcp://[::1]", Some(Address::Tcp("[::1]:2375".into())));
        check("localhost", Some(Address::Tcp("localhost:2375".into())));
        check("fd://", Some(Address::Activated(String::new())));
        check("fd://api", Some(Address::Activated("api".into())));
        assert_eq!(Address::parse("tcp://0.0.0.0", true).ok(), Some(Address::Tcp("0.0.0.0:2376".into())));
        check("unix://x", None);
        check("tcp://a:b", None);
        check("", None);
    }
}
