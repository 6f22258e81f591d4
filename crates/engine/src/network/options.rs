//! Options of a place in a network. Pure.

use crate::error::{Error, Kind, Result};
use crate::model::network::Membership;
use std::collections::BTreeMap;

/// Docker's names for a link's name and parameters, and those of its bandwidth.
const IFNAME: &str = "com.docker.network.endpoint.ifname";
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
const BANDWIDTH: [&str; 2] = ["bandwidth-in", "bandwidth-out"];

/// What the options of a place ask for. Those that nobody knows mean nothing, as in Docker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaceOptions {
    /// The link's name in the container.
    pub name: Option<String>,
    /// Parameters with `IFNAME` where the link's name belongs, with dots, and their values.
    pub sysctls: Vec<(String, String)>,
    /// Bytes a second, into the container and out of it; 0 is no limit.
    pub bandwidth: [u64; 2],
}

impl PlaceOptions {
    /// Reads them, or says what is wrong.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        let wrong = |text: String| Error::new(Kind::Invalid, format!("invalid endpoint settings:\n{text}"));
        let name = options.get(IFNAME).cloned();
        if let Some(name) = name.as_ref().filter(|name| !is_link_name(name)) {
            return Err(wrong(format!("invalid interface name: {name:?}")));
        }
        let sysctls = options.get(SYSCTLS).map(String::as_str).unwrap_or_default();
        let sysctls =
            sysctls.split(',').filter(|entry| !entry.is_empty()).map(|entry| sysctl(entry).map_err(wrong)).collect::<Result<_>>()?;
        let mut bandwidth = [0; 2];
        for (name, found) in BANDWIDTH.iter().zip(&mut bandwidth) {
            if let Some(text) = options.get(*name) {
                *found = rate(text)
                    .ok_or_else(|| wrong(format!("invalid value for {name}: {text:?} (a rate such as 10mbit or 2mbps is needed)")))?;
            }
        }
        Ok(Self { name, sysctls, bandwidth })
    }

    /// Of a place that was checked when it was asked for.
    pub(crate) fn of(membership: &Membership) -> Self {
        Self::parse(&membership.options).unwrap_or_default()
    }

    /// The parameters of a link of that name, below `/proc/sys/net`.
    pub(crate) fn sysctls_of(&self, link: &str) -> Vec<(String, String)> {
        let one = |(name, value): &(String, String)| (name.replace('.', "/").replace("IFNAME", link), value.clone());
        self.sysctls.iter().map(one).collect()
    }
}

/// As the kernel has them, but for the names of others.
fn is_link_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
    (1..=dhow_network::link::NAME_MAX).contains(&name.len())
        && name.bytes().all(plain)
        && !matches!(name, "." | ".." | "lo" | "all" | "default")
}

/// `net.ipv4.conf.IFNAME.log_martians=1`, to what follows `net.`.
fn sysctl(entry: &str) -> std::result::Result<(String, String), String> {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        // A client may make small letters of it.
        ["net", family @ ("ipv4" | "ipv6" | "mpls"), group, "IFNAME" | "ifname", what]
            if word(group) && word(what) && entry.contains('=') =>
        {
            Ok((format!("{family}.{group}.IFNAME.{what}"), value.to_owned()))
        }
        _ => Err(format!(
            "unrecognised network interface sysctl '{entry}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
        )),
    }
}

/// A rate as tc has them: `10mbit`, `1gbit`, bits a second without a unit; `2mbps` is bytes. In bytes a second.
fn rate(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let (scale, bits) = match unit {
        "" | "bit" => (1, 8),
        "kbit" => (1_000, 8),
        "mbit" => (1_000_000, 8),
        "gbit" => (1_000_000_000, 8),
        "bps" => (1, 1),
        "kbps" => (1_000, 1),
        "mbps" => (1_000_000, 1),
        "gbps" => (1_000_000_000, 1),
        _ => return None,
    };
    number.checked_mul(scale).map(|rate| rate / bits).filter(|rate| *rate > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str, expect: &str) {
        let got = PlaceOptions::parse(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        let got = got.map_or_else(|error| error.message, |o| format!("{:?} {:?} {:?}", o.name, o.sysctls_of("e1"), o.bandwidth));
        assert_eq!(got, expect, "{name}={value}");
    }

    #[test]
    fn names_of_links() {
        check(IFNAME, "lan0", "Some(\"lan0\") [] [0, 0]");
        for bad in ["", "a/b", "..", "lo", "sixteen-letters-", "a b"] {
            check(IFNAME, bad, &format!("invalid endpoint settings:\ninvalid interface name: {bad:?}"));
        }
    }

    #[test]
    fn parameters() {
        check(
            SYSCTLS,
            "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.ifname.x=a b",
            "None [(\"ipv4/conf/e1/log_martians\", \"1\"), (\"ipv6/neigh/e1/x\", \"a b\")] [0, 0]",
        );
        for bad in ["net.ipv4.conf.eth0.x=1", "net.ipv4.conf.IFNAME.../x=1", "net.core.x.IFNAME.y=1", "net.ipv4.conf.IFNAME.x", "x"] {
            let why = "represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'";
            check(SYSCTLS, bad, &format!("invalid endpoint settings:\nunrecognised network interface sysctl '{bad}'; {why}"));
        }
    }

    #[test]
    fn rates() {
        for (text, expect) in [("10mbit", 1_250_000), ("1Gbit", 125_000_000), ("800", 100), ("3kbps", 3000), ("2mbps", 2_000_000)] {
            check(BANDWIDTH[0], text, &format!("None [] [{expect}, 0]"));
        }
        for bad in ["", "fast", "10 mbit", "-1", "0", "99999999999gbit", "1.5mbit"] {
            let why = "(a rate such as 10mbit or 2mbps is needed)";
            check(BANDWIDTH[1], bad, &format!("invalid endpoint settings:\ninvalid value for bandwidth-out: {bad:?} {why}"));
        }
    }
}
