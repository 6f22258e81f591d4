//! Which subnets networks get, and which addresses containers get in them. Pure: what is taken is given.

use crate::subnet::{Subnet, from_number, to_number};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A range that is divided into subnets of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// All of it.
    pub subnet: Subnet,
    /// Length of the prefix of each part.
    pub size: u8,
}

/// Docker's own list.
pub fn default_bases() -> Vec<Base> {
    let list = [
        ("172.17.0.0/16", 16),
        ("172.18.0.0/16", 16),
        ("172.19.0.0/16", 16),
        ("172.20.0.0/14", 16),
        ("172.24.0.0/14", 16),
        ("172.28.0.0/14", 16),
        ("192.168.0.0/16", 20),
    ];
    list.iter().filter_map(|(subnet, size)| Some(Base { subnet: subnet.parse().ok()?, size: *size })).collect()
}

/// The first part of these that nothing overlaps: not the subnets of other networks, not the routes of the host.
pub fn free_subnet(bases: &[Base], ipv4: bool, taken: &[Subnet]) -> Option<Subnet> {
    for base in bases.iter().filter(|base| base.subnet.is_ipv4() == ipv4) {
        let parts = 1u128.checked_shl(u32::from(base.size.saturating_sub(base.subnet.prefix()))).unwrap_or(u128::MAX);
        let mut number = 0;
        while number < parts {
            let Some(part) = base.subnet.part(base.size, number) else { break };
            let Some(other) = taken.iter().filter(|other| other.overlaps(&part)).max_by_key(|other| other.bounds().1) else {
                return Some(part);
            };
            // Behind the last one in the way, which may cover a great many parts.
            let step = part.bounds().1 - part.bounds().0 + 1;
            let behind = other.bounds().1.saturating_sub(base.subnet.bounds().0) / step + 1;
            number = behind.max(number + 1);
        }
    }
    None
}

/// One subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// All of it.
    pub subnet: Subnet,
    /// The part that addresses are taken from, where it is not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Subnet>,
    /// The network's own address.
    pub gateway: IpAddr,
    /// Addresses that somebody else has, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// All are taken.
    Full,
    /// That one is taken.
    InUse,
    /// That one does not lie in the subnet.
    Outside,
}

impl Refused {
    /// Docker's words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Full => "no available IPv4 addresses on this network's address pools",
            Self::InUse => "Address already in use",
            Self::Outside => "no configured subnet contains IP address",
        }
    }
}

/// The addresses of one subnet that are taken.
#[derive(Debug, Clone)]
pub struct Addresses {
    pool: Pool,
    taken: BTreeSet<u128>,
}

impl Addresses {
    /// None but the network's own and those of others.
    pub fn new(pool: Pool) -> Self {
        let mut taken: BTreeSet<u128> = pool.auxiliary.values().map(|address| to_number(*address)).collect();
        taken.insert(to_number(pool.gateway));
        let (first, last) = pool.subnet.bounds();
        // IPv4's first and last are no host's, but where there are only two or one; IPv6's first is any router's.
        if pool.subnet.prefix() < 31 || !pool.subnet.is_ipv4() {
            taken.insert(first);
        }
        if pool.subnet.is_ipv4() && pool.subnet.prefix() < 31 {
            taken.insert(last);
        }
        Self { pool, taken }
    }

    /// Of which.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The lowest free address.
    pub fn take(&mut self) -> Result<IpAddr, Refused> {
        let (first, last) = self.pool.range.unwrap_or(self.pool.subnet).bounds();
        let mut candidate = first;
        for used in self.taken.range(first..=last) {
            if *used != candidate {
                break;
            }
            candidate = candidate.checked_add(1).ok_or(Refused::Full)?;
        }
        if candidate > last {
            return Err(Refused::Full);
        }
        self.taken.insert(candidate);
        Ok(from_number(candidate, self.pool.subnet.address()))
    }

    /// This one.
    pub fn take_this(&mut self, address: IpAddr) -> Result<(), Refused> {
        if !self.pool.subnet.contains(address) {
            return Err(Refused::Outside);
        }
        if self.taken.insert(to_number(address)) { Ok(()) } else { Err(Refused::InUse) }
    }

    /// Gives one back. The network's own are never given back.
    pub fn give_back(&mut self, address: IpAddr) {
        let kept = address == self.pool.gateway || self.pool.auxiliary.values().any(|other| *other == address);
        if !kept && self.pool.subnet.contains(address) {
            self.taken.remove(&to_number(address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnets(list: &[&str]) -> Vec<Subnet> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_that_nobody_has() {
        let check = |taken: &[&str], expect: &str| {
            let got = free_subnet(&default_bases(), true, &subnets(taken)).map(|subnet| subnet.to_string());
            assert_eq!(got.unwrap_or_default(), expect, "{taken:?}");
        };
        check(&[], "172.17.0.0/16");
        check(&["172.17.42.0/24"], "172.18.0.0/16");
        check(&["172.17.0.0/16", "172.19.0.0/16", "172.18.0.0/16", "172.20.0.0/16"], "172.21.0.0/16");
        check(&["172.16.0.0/12"], "192.168.0.0/20");
        check(&["172.16.0.0/12", "192.168.3.0/24"], "192.168.16.0/20");
        check(&["172.16.0.0/12", "192.168.0.0/16"], "");
        check(&["0.0.0.0/1", "128.0.0.0/1"], "");
    }

    fn addresses(subnet: &str, gateway: &str) -> Addresses {
        let pool = Pool { subnet: subnet.parse().unwrap(), range: None, gateway: gateway.parse().unwrap(), auxiliary: BTreeMap::new() };
        Addresses::new(pool)
    }

    #[test]
    fn lowest_first_and_back_at_once() {
        let mut all = addresses("10.0.0.0/29", "10.0.0.1");
        let taken: Vec<String> = (0..5).map(|_| all.take().unwrap().to_string()).collect();
        assert_eq!(taken, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert_eq!(all.take(), Err(Refused::Full));
        all.give_back("10.0.0.4".parse().unwrap());
        all.give_back("10.0.0.1".parse().unwrap());
        assert_eq!(all.take(), Ok("10.0.0.4".parse().unwrap()));
        assert_eq!(all.take_this("10.0.0.1".parse().unwrap()), Err(Refused::InUse));
        assert_eq!(all.take_this("10.0.1.1".parse().unwrap()), Err(Refused::Outside));
    }

    #[test]
    fn ranges_and_families() {
        let mut all = addresses("10.0.0.0/24", "10.0.0.1");
        all.pool.range = Some("10.0.0.128/25".parse().unwrap());
        assert_eq!(all.take(), Ok("10.0.0.128".parse().unwrap()));
        assert_eq!(all.take_this("10.0.0.5".parse().unwrap()), Ok(()));
        let mut six = addresses("fd00::/64", "fd00::1");
        assert_eq!(six.take(), Ok("fd00::2".parse().unwrap()));
        let mut two = addresses("10.0.0.0/31", "10.0.0.0");
        assert_eq!(two.take(), Ok("10.0.0.1".parse().unwrap()));
        assert_eq!(two.take(), Err(Refused::Full));
    }

    proptest::proptest! {
        #[test]
        fn no_address_is_given_twice(steps: Vec<bool>) {
            let mut all = addresses("10.0.0.0/28", "10.0.0.1");
            let mut held: Vec<IpAddr> = Vec::new();
            for take in steps {
                if take {
                    if let Ok(address) = all.take() {
                        proptest::prop_assert!(!held.contains(&address) && all.pool.subnet.contains(address));
                        held.push(address);
                    }
                } else if let Some(address) = held.pop() {
                    all.give_back(address);
                }
            }
        }
    }
}
