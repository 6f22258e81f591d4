//! Forwarding between links, which bridges need and the kernel has off.

use crate::error::{Error, Result};

const IPV4: &str = "/proc/sys/net/ipv4/ip_forward";
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Switches IPv4 forwarding on; true where it was off.
pub fn enable() -> Result<bool> {
    let now = std::fs::read_to_string(IPV4).map_err(Error::of("read", IPV4))?;
    if now.trim() != "0" {
        return Ok(false);
    }
    std::fs::write(IPV4, "1").map_err(Error::of("switch on forwarding by", IPV4))?;
    Ok(true)
}

/// Switches it off again.
pub fn disable() -> Result<()> {
    std::fs::write(IPV4, "0").map_err(Error::of("switch off forwarding by", IPV4))
}

/// The ports that the kernel gives to who asks for none; Docker gives the same ones.
pub fn ephemeral() -> (u16, u16) {
    let text = std::fs::read_to_string(EPHEMERAL).unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) if first < last => (first, last),
        _ => (49153, 65535),
    }
}
