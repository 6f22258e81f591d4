//! Subnets, of either family. Addresses are counted in 128 bits.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network's address and the length of its prefix. Bits after the prefix are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

/// How many bits an address of this family has.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// An address as a number.
pub(crate) fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The address of the family of `like` with this number.
pub(crate) fn from_number(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

impl Subnet {
    /// The subnet that an address lies in. `None` where the prefix is longer than an address.
    pub fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        let width = width(address);
        if prefix > width {
            return None;
        }
        let host = u32::from(width - prefix);
        let number = to_number(address);
        let cut = if host >= 128 { 0 } else { (number >> host) << host };
        Some(Self { address: from_number(cut, address), prefix })
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Its last address.
    pub fn last(&self) -> IpAddr {
        from_number(self.bounds().1, self.address)
    }

    /// Length of its prefix.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is one of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Number of its first and last address.
    pub(crate) fn bounds(&self) -> (u128, u128) {
        let first = to_number(self.address);
        let host = u32::from(width(self.address) - self.prefix);
        let last = if host >= 128 { u128::MAX } else { first + ((1u128 << host) - 1) };
        (first, last)
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (first, last) = self.bounds();
        address.is_ipv4() == self.is_ipv4() && (first..=last).contains(&to_number(address))
    }

    /// Whether two have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (self.bounds(), other.bounds());
        self.is_ipv4() == other.is_ipv4() && a.0 <= b.1 && b.0 <= a.1
    }

    /// Its address with this number, counted from 0.
    pub fn nth(&self, number: u128) -> Option<IpAddr> {
        let (first, last) = self.bounds();
        let wanted = first.checked_add(number)?;
        (wanted <= last).then(|| from_number(wanted, self.address))
    }

    /// The part with this number of those it is divided into.
    pub fn part(&self, prefix: u8, number: u128) -> Option<Self> {
        if prefix < self.prefix || prefix > width(self.address) {
            return None;
        }
        let step = 1u128.checked_shl(u32::from(width(self.address) - prefix))?;
        Self::of(self.nth(number.checked_mul(step)?)?, prefix)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Reads `address/prefix` without cutting the address.
pub fn parse_prefixed(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix: u8 = prefix.parse().ok()?;
    (prefix <= width(address)).then_some((address, prefix))
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("invalid CIDR address: {text}");
        let (address, prefix) = parse_prefixed(text).ok_or_else(wrong)?;
        Self::of(address, prefix).ok_or_else(wrong)
    }
}

impl Serialize for Subnet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subnet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn cut_and_counted() {
        assert_eq!(subnet("172.17.3.4/16").to_string(), "172.17.0.0/16");
        assert_eq!(subnet("10.0.0.0/30").nth(3), Some("10.0.0.3".parse().unwrap()));
        assert_eq!(subnet("10.0.0.0/30").nth(4), None);
        assert_eq!(subnet("::/0").bounds(), (0, u128::MAX));
        assert_eq!(subnet("172.20.0.0/14").part(16, 3), Some(subnet("172.23.0.0/16")));
        assert_eq!(subnet("172.20.0.0/14").part(16, 4), None);
        assert!("1.2.3.4".parse::<Subnet>().is_err() && "1.2.3.4/33".parse::<Subnet>().is_err());
    }

    #[test]
    fn overlaps() {
        let check = |a: &str, b: &str, expect| assert_eq!(subnet(a).overlaps(&subnet(b)), expect, "{a} {b}");
        check("10.0.0.0/8", "10.1.0.0/16", true);
        check("10.1.0.0/16", "10.0.0.0/8", true);
        check("10.0.0.0/16", "10.1.0.0/16", false);
        check("0.0.0.0/0", "::/0", false);
        check("fd00::/8", "fd12::/64", true);
    }
}
