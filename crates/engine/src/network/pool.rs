//! Subnets that are asked for, checked: pure.

use crate::error::{Error, Kind, Result};
use crate::model::network::PoolRequest;
use dhow_network::Subnet;
use dhow_network::ipam::Pool;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A subnet that was asked for.
pub(super) fn pool(request: &PoolRequest) -> Result<Pool> {
    let wrong = |text: String| Error::new(Kind::Invalid, format!("invalid network config:\n{text}"));
    let subnet: Subnet = match dhow_network::subnet::parse_prefixed(&request.subnet) {
        None => return Err(wrong(format!("invalid subnet {}: invalid CIDR address", request.subnet))),
        Some((address, prefix)) => match Subnet::of(address, prefix) {
            Some(subnet) if subnet.address() == address => subnet,
            other => {
                let other = other.map(|subnet| subnet.to_string()).unwrap_or_default();
                return Err(wrong(format!("invalid subnet {}: it should be {other}", request.subnet)));
            }
        },
    };
    let inside = |what: &str, text: &str| -> Result<IpAddr> {
        let address: IpAddr = text.parse().map_err(|_| wrong(format!("invalid {what} {text}: invalid address")))?;
        let contains = subnet.contains(address);
        if contains { Ok(address) } else { Err(wrong(format!("invalid {what} {text}: parent subnet {subnet} does not contain it"))) }
    };
    let range = match request.range.as_str() {
        "" => None,
        text => {
            let range: Subnet = text.parse().map_err(|_| wrong(format!("invalid ip-range {text}: invalid CIDR address")))?;
            if range.prefix() < subnet.prefix() || !subnet.contains(range.address()) {
                return Err(wrong(format!("invalid ip-range {text}: parent subnet {subnet} does not contain it")));
            }
            Some(range)
        }
    };
    let auxiliary = request.auxiliary.iter().map(|(name, text)| Ok((name.clone(), inside("auxiliary address", text)?)));
    let auxiliary = auxiliary.collect::<Result<_>>()?;
    let gateway = match request.gateway.as_str() {
        "" => first(subnet, range, &auxiliary),
        text => inside("gateway", text)?,
    };
    let (width, last) = if subnet.is_ipv4() { (32, subnet.last()) } else { (128, subnet.address()) };
    let nobodys = subnet.prefix() < width - 1 && (gateway == subnet.address() || gateway == last);
    if nobodys || auxiliary.values().any(|other| *other == gateway) {
        return Err(Error::new(Kind::Internal, format!("failed to allocate gateway ({gateway}): Address already in use")));
    }
    Ok(Pool { subnet, range, gateway, auxiliary })
}

/// The first address that is nobody's.
fn first(subnet: Subnet, range: Option<Subnet>, auxiliary: &BTreeMap<String, IpAddr>) -> IpAddr {
    let within = range.unwrap_or(subnet);
    let from = u128::from(within.address() == subnet.address());
    let free = (from..from + 1 + auxiliary.len() as u128).filter_map(|number| within.nth(number));
    let free = free.into_iter().find(|address| !auxiliary.values().any(|other| other == address));
    free.unwrap_or(subnet.address())
}
