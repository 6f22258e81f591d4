//! Forwarding between links, which bridges need and the kernel has off.

use crate::error::{Error, Result};

const IPV4: &str = "/proc/sys/net/ipv4/ip_forward";
const IPV6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";

fn path(ipv6: bool) -> &'static str {
    if ipv6 { IPV6 } else { IPV4 }
}

/// Switches forwarding on, of IPv4 or IPv6; true where it was off.
pub fn enable(ipv6: bool) -> Result<bool> {
    let path = path(ipv6);
    let now = std::fs::read_to_string(path).map_err(Error::of("read", path))?;
    if now.trim() != "0" {
        return Ok(false);
    }
    std::fs::write(path, "1").map_err(Error::of("switch on forwarding by", path))?;
    Ok(true)
}

/// Switches it off again.
pub fn disable(ipv6: bool) -> Result<()> {
    std::fs::write(path(ipv6), "0").map_err(Error::of("switch off forwarding by", path(ipv6)))
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
