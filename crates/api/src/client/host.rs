//! Where an engine listens, as `-H` and DOCKER_HOST write it.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Docker's port without TLS.
const PORT: u16 = 2375;
/// And with it.
const TLS_PORT: u16 = 2376;

/// An engine's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// `unix:///run/dhow/dhow.sock`.
    Unix(PathBuf),
    /// `tcp://127.0.0.1:2375`, with a path that goes before every request's.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// Base path, empty or starting with a slash.
        base: String,
        /// The text as it was given.
        text: String,
    },
}

/// Why a text is not an address of an engine. The messages are Docker's where Docker has them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No scheme.
    #[error("unable to parse docker host `{0}`")]
    NoScheme(String),
    /// A scheme that is not known at all.
    #[error("invalid bind address format: {0}")]
    Scheme(String),
    /// The port is not a number.
    #[error("parse \"{text}\": invalid port \":{port}\" after host")]
    Port {
        /// The address.
        text: String,
        /// The offending part.
        port: String,
    },
    /// A transport that this client does not have.
    #[error("{0}: connecting by {1} is not supported by this version")]
    Unsupported(String, &'static str),
}

impl Host {
    /// Reads an address. An empty path or host means the scheme's default.
    ///
    /// # Errors
    /// See [`HostError`].
    pub fn parse(text: &str) -> Result<Self, HostError> {
        Self::parse_for(text, false)
    }

    /// The same where TCP is to carry TLS, which has a port of its own.
    ///
    /// # Errors
    /// See [`HostError`].
    pub fn parse_for(text: &str, tls: bool) -> Result<Self, HostError> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(if text.contains(':') && !text.starts_with('/') {
                HostError::NoScheme(text.to_owned())
            } else {
                HostError::Scheme(text.to_owned())
            });
        };
        match scheme {
            "unix" => Ok(Self::Unix(if rest.is_empty() { PathBuf::from("/var/run/docker.sock") } else { PathBuf::from(rest) })),
            "tcp" | "http" => tcp(text, rest, if tls { TLS_PORT } else { PORT }),
            "https" if tls => tcp(text, rest, TLS_PORT),
            "https" => Err(HostError::Unsupported(text.to_owned(), "TLS")),
            "ssh" => Err(HostError::Unsupported(text.to_owned(), "ssh")),
            "npipe" => Err(HostError::Unsupported(text.to_owned(), "named pipes")),
            _ => Err(HostError::Scheme(text.to_owned())),
        }
    }

    /// The URI that goes into a request's first line.
    pub(super) fn request_uri(&self, target: &str) -> String {
        match self {
            Self::Unix(_) => target.to_owned(),
            Self::Tcp { base, .. } => format!("{base}{target}"),
        }
    }

    /// The Host header.
    pub(super) fn host_header(&self) -> String {
        match self {
            Self::Unix(_) => "api.moby.localhost".to_owned(),
            Self::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// The whole URL of a request, for messages.
    pub(super) fn display_url(&self, target: &str, tls: bool) -> String {
        match self {
            Self::Unix(path) => {
                format!("http://{}{target}", utf8_percent_encode(&path.to_string_lossy(), NON_ALPHANUMERIC))
            }
            Self::Tcp { .. } => format!("{}://{}{}", if tls { "https" } else { "http" }, self.host_header(), self.request_uri(target)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { text, .. } => f.write_str(text),
        }
    }
}

fn tcp(text: &str, rest: &str, default: u16) -> Result<Host, HostError> {
    let (authority, base) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (host, port) = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, after)) => (host, after.strip_prefix(':').unwrap_or("")),
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let number = match port {
        "" => default,
        digits => digits
            .parse()
            .map_err(|_| HostError::Port { text: text.to_owned(), port: digits.rsplit(':').next().unwrap_or(digits).to_owned() })?,
    };
    let host = if host.is_empty() { "localhost" } else { host };
    Ok(Host::Tcp { host: host.to_owned(), port: number, base: base.trim_end_matches('/').to_owned(), text: text.to_owned() })
}

/// The addresses of a name that need no name server: `localhost` and what `/etc/hosts` lists.
pub(super) fn addresses_of(name: &str) -> io::Result<Vec<IpAddr>> {
    let table = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut found = in_hosts_file(&table, name);
    if found.is_empty() && (name == "localhost" || name.ends_with(".localhost")) {
        found = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    }
    if found.is_empty() {
        found = std::net::ToSocketAddrs::to_socket_addrs(&(name, 0))?.map(|address| address.ip()).collect();
    }
    Ok(found)
}

fn in_hosts_file(table: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in table.lines() {
        let mut words = line.split('#').next().unwrap_or("").split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expect: &str) {
        let got = match Host::parse(input) {
            Ok(host) => format!("{} -> {}", host, host.display_url("/x", false)),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, expect, "{input}");
    }

    #[test]
    fn addresses() {
        check("unix:///run/x.sock", "unix:///run/x.sock -> http://%2Frun%2Fx%2Esock/x");
        check("tcp://1.2.3.4:99", "tcp://1.2.3.4:99 -> http://1.2.3.4:99/x");
        check("tcp://[::1]:99/base/", "tcp://[::1]:99/base/ -> http://[::1]:99/base/x");
        check("tcp://", "tcp:// -> http://localhost:2375/x");
        check("tcp://x:y:z", "error: parse \"tcp://x:y:z\": invalid port \":z\" after host");
        check("foo://x", "error: invalid bind address format: foo://x");
        let secure = Host::parse_for("tcp://x", true).unwrap();
        assert_eq!(secure.display_url("/y", true), "https://x:2376/y");
        check("https://x", "error: https://x: connecting by TLS is not supported by this version");
    }

    #[test]
    fn names_in_the_hosts_file() {
        let table = "127.0.0.1 localhost\n# 1.1.1.1 b\n10.0.0.1\ta b # c\n";
        assert_eq!(in_hosts_file(table, "b"), [IpAddr::from([10, 0, 0, 1])]);
        assert!(in_hosts_file(table, "c").is_empty());
    }
}
