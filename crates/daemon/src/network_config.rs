//! Settings of networks: flags over `daemon.json` over defaults.

use crate::args::Args;
use anyhow::{Context, Result, bail};
use dhow_engine::network::{Base, Settings, Subnet, default_bases, parse_prefixed};
use serde::Deserialize;
use std::net::IpAddr;

/// Of links.
const MTU: u32 = 1500;
/// Longest name of a link.
const NAME_MAX: usize = 15;

/// The keys of `daemon.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct File {
    bridge: Option<String>,
    bip: Option<String>,
    default_address_pools: Option<Vec<Pool>>,
    ip: Option<String>,
    mtu: Option<u32>,
}

/// `{"base":"10.0.0.0/8","size":24}`.
#[derive(Debug, Default, Deserialize)]
struct Pool {
    base: String,
    size: u8,
}

impl Pool {
    /// `base=10.0.0.0/8,size=24`.
    fn parse(text: &str) -> Result<Self> {
        let mut pool = Self::default();
        for field in text.split(',') {
            let (key, value) = field.split_once('=').with_context(|| format!("invalid field '{field}' must be a key=value pair"))?;
            match key.trim() {
                "base" => pool.base = value.trim().to_owned(),
                "size" => pool.size = value.trim().parse().with_context(|| format!("invalid size value: {value}"))?,
                other => bail!("unexpected key '{other}' in '{field}'"),
            }
        }
        Ok(pool)
    }

    fn base(&self) -> Result<Base> {
        let subnet: Subnet =
            self.base.parse().map_err(|_| anyhow::anyhow!("invalid base pool {:?}: {}", self.base, "invalid CIDR address"))?;
        let widest = if subnet.is_ipv4() { 32 } else { 128 };
        if self.size < subnet.prefix() || self.size > widest {
            bail!("invalid pools size {} of the base {subnet}", self.size);
        }
        Ok(Base { subnet, size: self.size })
    }
}

impl File {
    /// What the flags say.
    pub(crate) fn of(args: &Args) -> Result<Self> {
        let pools: Vec<Pool> = args.address_pools.iter().map(|text| Pool::parse(text)).collect::<Result<_>>()?;
        Ok(Self {
            bridge: args.bridge.clone(),
            bip: args.bip.clone(),
            default_address_pools: Some(pools).filter(|pools| !pools.is_empty()),
            ip: args.ip.clone(),
            mtu: args.mtu,
        })
    }

    /// These, and what they leave open from others.
    pub(crate) fn over(self, other: Self) -> Self {
        Self {
            bridge: self.bridge.or(other.bridge),
            bip: self.bip.or(other.bip),
            default_address_pools: self.default_address_pools.or(other.default_address_pools),
            ip: self.ip.or(other.ip),
            mtu: self.mtu.or(other.mtu),
        }
    }

    /// For the engine. `name` derives from the roots, where they are not the usual ones.
    pub(crate) fn settings(self, name: Option<&str>) -> Result<Settings> {
        let bridge = match self.bridge.filter(|bridge| !bridge.is_empty()) {
            Some(none) if none == "none" => None,
            Some(bridge) if self.bip.is_some() => {
                bail!("You specified -b {bridge} and --bip, which exclude each other. Please specify only one")
            }
            Some(bridge) => Some(bridge),
            None => Some(name.unwrap_or("dhow0").to_owned()),
        };
        if let Some(bridge) = &bridge
            && (bridge.len() > NAME_MAX || bridge.contains(['/', ' ', ':']) || bridge.starts_with('.'))
        {
            bail!("--bridge {bridge}: this is no name for a link");
        }
        let bip = self.bip.map(|text| {
            let (address, prefix) = parse_prefixed(&text).with_context(|| format!("invalid CIDR address: {text}"))?;
            if !address.is_ipv4() || prefix > 30 {
                bail!("--bip {text}: an IPv4 address with the prefix of its subnet is needed");
            }
            Ok((address, prefix))
        });
        let bases = match self.default_address_pools {
            Some(pools) => pools.iter().map(Pool::base).collect::<Result<_>>()?,
            None => default_bases(),
        };
        let ip = self.ip.map(|text| text.parse::<IpAddr>().with_context(|| format!("ip: invalid IP address: {text}"))).transpose()?;
        Ok(Settings {
            bridge,
            bip: bip.transpose()?,
            table: name.unwrap_or("dhow").to_owned(),
            bases,
            mtu: self.mtu.filter(|mtu| *mtu > 0).unwrap_or(MTU),
            publish_at: ip.filter(|ip| !ip.is_unspecified()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, expect: Result<&str, &str>) {
        let settings = serde_json::from_str::<File>(file).unwrap().settings(Some("dhow-1"));
        let got = settings.map(|s| {
            let bases: Vec<String> = s.bases.iter().map(|base| format!("{}:{}", base.subnet, base.size)).collect();
            let bip = s.bip.map(|(address, prefix)| format!("{address}/{prefix}"));
            format!("{:?} {:?} {} {} {:?}", s.bridge, bip, bases.len(), s.mtu, s.publish_at)
        });
        assert_eq!(got.as_deref().map_err(ToString::to_string), expect.map_err(ToOwned::to_owned));
    }

    #[test]
    fn what_there_is_and_what_is_refused() {
        check("{}", Ok(r#"Some("dhow-1") None 7 1500 None"#));
        check(r#"{"bridge":"none"}"#, Ok("None None 7 1500 None"));
        check(
            r#"{"bip":"10.1.0.1/24","mtu":1400,"ip":"127.0.0.1","default-address-pools":[{"base":"10.0.0.0/8","size":24}]}"#,
            Ok(r#"Some("dhow-1") Some("10.1.0.1/24") 1 1400 Some(127.0.0.1)"#),
        );
        check(r#"{"bip":"x"}"#, Err("invalid CIDR address: x"));
        check(r#"{"default-address-pools":[{"base":"10.0.0.0/24","size":16}]}"#, Err("invalid pools size 16 of the base 10.0.0.0/24"));
    }

    #[test]
    fn pools_of_flags() {
        let base = Pool::parse("base=10.10.0.0/16,size=24").and_then(|pool| pool.base()).unwrap();
        assert_eq!((base.subnet.to_string(), base.size), ("10.10.0.0/16".into(), 24));
        assert!(Pool::parse("10.0.0.0/8").is_err());
    }
}
