//! Where a container's output goes besides its log file, or instead of it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The object of a failure to reach a sink at the start.
pub const LOGGING_DRIVER: &str = "logging driver";

/// A receiver of log entries that is no file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkConfig {
    /// Who receives.
    pub target: Target,
    /// Bytes that wait for a receiver that is behind; what comes then is dropped. `None`: the container waits instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer: Option<u64>,
}

/// A receiver and the form of what it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// The journal of systemd, by its own protocol.
    Journal {
        /// Its socket.
        socket: PathBuf,
        /// Fields of every entry.
        fields: BTreeMap<String, String>,
    },
    /// A syslog daemon.
    Syslog {
        /// Where it listens.
        address: Address,
        /// How messages look.
        format: Format,
        /// 0 to 23.
        facility: u8,
        /// Who says it.
        tag: String,
    },
}

/// Where a syslog daemon listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// This machine's own, at the usual places, with either kind of socket.
    Local,
    /// A stream socket.
    Unix(PathBuf),
    /// A datagram socket.
    Unixgram(PathBuf),
    /// Datagrams over the network.
    Udp(Place),
    /// A connection over the network.
    Tcp(Place),
    /// The same with TLS.
    TcpTls(Place, Tls),
}

/// How TLS is spoken. The files are read when the connection is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// Certificates of authorities that are trusted besides the machine's.
    pub authority: Option<PathBuf>,
    /// The certificate that is shown.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Any certificate of the daemon's will do.
    pub skip_verify: bool,
}

/// A host and port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `HOST:PORT`, as it was given.
    pub name: String,
    /// Its addresses, tried in this order.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
}

/// How a message to a syslog daemon looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As programs write to `/dev/log`: without the host's name.
    #[default]
    Unix,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424, times in seconds.
    Rfc5424,
    /// RFC 5424, times in microseconds.
    Rfc5424Micro,
}
