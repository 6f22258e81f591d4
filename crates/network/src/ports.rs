//! Published ports: what was asked for made into what there will be. Pure: what is taken is given.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// Its number in IP's header.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "tcp" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "sctp" => Some(Self::Sctp),
            _ => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One port of a container as it is to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its protocol.
    pub protocol: Protocol,
    /// In the container.
    pub port: u16,
    /// At which address of the host; `None`: at all of them, IPv4 and IPv6.
    pub host: Option<IpAddr>,
    /// The first and the last that will do; `None`: any.
    pub range: Option<(u16, u16)>,
}

/// One port that is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Its protocol.
    pub protocol: Protocol,
    /// The host's address; an unspecified one is all of its family.
    pub host: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The container's address.
    pub target: IpAddr,
    /// The container's port.
    pub target_port: u16,
}

/// Ports that are published, of all containers.
#[derive(Debug, Default)]
pub struct Taken {
    by_port: BTreeMap<(Protocol, u16), Vec<IpAddr>>,
    /// The random port that was given last.
    last: u16,
}

/// Why a port is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// A container of ours has it.
    Allocated(IpAddr, u16),
    /// None of the range, or none at all, is free.
    Exhausted,
}

/// Whether two addresses of the host are in each other's way.
fn clash(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

impl Taken {
    /// Marks a port; false where it is taken.
    pub fn take(&mut self, protocol: Protocol, host: IpAddr, port: u16) -> bool {
        let all = self.by_port.entry((protocol, port)).or_default();
        let free = !all.iter().any(|other| clash(*other, host));
        if free {
            all.push(host);
        }
        free
    }

    /// Gives one back.
    pub fn give_back(&mut self, protocol: Protocol, host: IpAddr, port: u16) {
        if let Some(all) = self.by_port.get_mut(&(protocol, port)) {
            all.retain(|other| *other != host);
            if all.is_empty() {
                self.by_port.remove(&(protocol, port));
            }
        }
    }

    fn is_free(&self, protocol: Protocol, hosts: &[IpAddr], port: u16) -> bool {
        let all = self.by_port.get(&(protocol, port));
        !all.is_some_and(|all| all.iter().any(|other| hosts.iter().any(|host| clash(*other, *host))))
    }

    /// The ports that may do for this, best first: one, those of the range, or from the last random one on around the ephemeral range.
    /// They are free at all of these addresses of the host, and are not marked.
    pub fn candidates(&mut self, wanted: &Wanted, hosts: &[IpAddr], ephemeral: (u16, u16)) -> Result<Vec<u16>, Refused> {
        let (first, last, random) = match wanted.range {
            Some((first, last)) => (first, last, false),
            None => (ephemeral.0, ephemeral.1, true),
        };
        if first == last {
            let free = self.is_free(wanted.protocol, hosts, first);
            return if free { Ok(vec![first]) } else { Err(self.allocated(wanted.protocol, hosts, first)) };
        }
        let from = if random && (first..last).contains(&self.last) { self.last + 1 } else { first };
        let all = (from..=last).chain(first..from);
        let free: Vec<u16> = all.filter(|port| self.is_free(wanted.protocol, hosts, *port)).take(256).collect();
        if free.is_empty() { Err(Refused::Exhausted) } else { Ok(free) }
    }

    /// The first of the addresses at which it is taken.
    fn allocated(&self, protocol: Protocol, hosts: &[IpAddr], port: u16) -> Refused {
        let at = hosts.iter().find(|host| !self.is_free(protocol, &[**host], port));
        Refused::Allocated(at.copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port)
    }

    /// A random port was given.
    pub fn given(&mut self, port: u16) {
        self.last = port;
    }
}

/// The host's addresses at which a port is published.
pub fn hosts(wanted: &Wanted) -> Vec<IpAddr> {
    match wanted.host {
        Some(host) => vec![host],
        None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(range: Option<(u16, u16)>, host: Option<&str>) -> Wanted {
        Wanted { protocol: Protocol::Tcp, port: 80, host: host.map(|host| host.parse().unwrap()), range }
    }

    #[test]
    fn what_is_taken_is_refused() {
        let mut taken = Taken::default();
        assert!(taken.take(Protocol::Tcp, "127.0.0.1".parse().unwrap(), 80));
        assert!(taken.take(Protocol::Tcp, "10.0.0.1".parse().unwrap(), 80));
        assert!(taken.take(Protocol::Udp, "0.0.0.0".parse().unwrap(), 80));
        assert!(!taken.take(Protocol::Tcp, "0.0.0.0".parse().unwrap(), 80));
        let error = taken.candidates(&wanted(Some((80, 80)), None), &hosts(&wanted(None, None)), (1, 2)).unwrap_err();
        assert_eq!(error, Refused::Allocated("0.0.0.0".parse().unwrap(), 80));
        taken.give_back(Protocol::Tcp, "127.0.0.1".parse().unwrap(), 80);
        let one = wanted(Some((80, 82)), Some("10.0.0.1"));
        assert_eq!(taken.candidates(&one, &hosts(&one), (1, 2)), Ok(vec![81, 82]));
    }

    #[test]
    fn random_ones_go_up() {
        let mut taken = Taken::default();
        let next = |taken: &mut Taken| {
            let port = taken.candidates(&wanted(None, None), &hosts(&wanted(None, None)), (100, 102)).map(|all| all[0]).unwrap_or(0);
            taken.take(Protocol::Tcp, "0.0.0.0".parse().unwrap(), port);
            taken.given(port);
            port
        };
        assert_eq!([next(&mut taken), next(&mut taken)], [100, 101]);
        taken.give_back(Protocol::Tcp, "0.0.0.0".parse().unwrap(), 100);
        assert_eq!([next(&mut taken), next(&mut taken), next(&mut taken)], [102, 100, 0]);
    }
}
