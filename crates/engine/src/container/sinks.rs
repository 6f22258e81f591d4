//! Names of hosts that receive logs, looked up for the shim, which has no resolver.

use crate::error::{Error, Kind, Result};
use dhow_shim::config::sink::{Address, SinkConfig, Target};
use std::net::SocketAddr;

/// Fills in the addresses.
///
/// # Errors
/// A name is not known.
pub(super) async fn resolve(sink: Option<&mut SinkConfig>) -> Result<()> {
    let Some(SinkConfig {
        target: Target::Syslog { address: Address::Udp(place) | Address::Tcp(place) | Address::TcpTls(place, _), .. },
        ..
    }) = sink
    else {
        return Ok(());
    };
    let (host, port) = place.name.rsplit_once(':').unwrap_or((&place.name, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = dhow_registry::lookup(if host.is_empty() { "localhost" } else { host }).await;
    let failed = |message: String| Error::new(Kind::Internal, format!("{}{message}", crate::failure::LOGGING));
    let found = found.map_err(|error| failed(format!("dial {}: {error}", place.name)))?;
    let port = port.parse().map_err(|_| failed(format!("dial {}: invalid port", place.name)))?;
    place.addresses = found.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    Ok(())
}
