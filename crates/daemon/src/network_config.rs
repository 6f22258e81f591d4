//! Settings of networks: flags over `daemon.json` over defaults.

use crate::flag_values;
use anyhow::{Context, Result, bail};
use dhow_engine::network::{Base, Settings, Subnet, default_bases, parse_prefixed};
use serde::Deserialize;
use std::collections::BTreeMap;
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
    mtu: Option<i64>,
    bip6: Option<String>,
    ipv6: Option<bool>,
    icc: Option<bool>,
    fixed_cidr: Option<String>,
    fixed_cidr_v6: Option<String>,
    default_gateway: Option<String>,
    default_gateway_v6: Option<String>,
    default_network_opts: BTreeMap<String, BTreeMap<String, String>>,
    dns: Option<Vec<String>>,
    dns_search: Option<Vec<String>>,
    dns_opts: Option<Vec<String>>,
    host_gateway_ip: Option<String>,
    host_gateway_ips: Option<Vec<String>>,
    allow_direct_routing: Option<bool>,
    iptables: Option<bool>,
    ip_forward: Option<bool>,
    ip_masq: Option<bool>,
    /// Ours.
    firewall_cooperate: Option<bool>,
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

fn some(list: &[String]) -> Option<Vec<String>> {
    Some(list.to_vec()).filter(|list| !list.is_empty())
}

/// `bridge=name=value`.
fn network_options(words: &[String]) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for word in words {
        let (driver, option) = word.split_once('=').filter(|(_, option)| option.contains('=')).with_context(|| {
            format!("invalid argument {word:?} for \"--default-network-opt\" flag: invalid mapopts values, expected driver=key=value")
        })?;
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        all.entry(driver.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }
    Ok(all)
}

fn subnet(text: Option<String>, ipv4: bool) -> Result<Option<Subnet>> {
    let parse = |text: String| match text.parse::<Subnet>() {
        Ok(subnet) if subnet.is_ipv4() == ipv4 => Ok(subnet),
        _ => bail!("invalid CIDR address: {text}"),
    };
    text.filter(|text| !text.is_empty()).map(parse).transpose()
}

/// An address of one family, or of either.
fn address(text: Option<String>, ipv4: Option<bool>) -> Result<Option<IpAddr>> {
    let parse = |text: String| match text.parse::<IpAddr>() {
        Ok(address) if ipv4.is_none_or(|ipv4| address.is_ipv4() == ipv4) => Ok(address),
        _ => bail!("invalid IP address: {text}"),
    };
    text.filter(|text| !text.is_empty()).map(parse).transpose()
}

/// Refuses what is no name of a domain.
fn search_domain(text: &str) -> Result<()> {
    let text = text.trim_matches(' ');
    let label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let named = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let whole = text.strip_suffix('.').unwrap_or(text);
    if text == "." || (named && text.len() < 255 && whole.split('.').all(label)) { Ok(()) } else { bail!("{text} is not a valid domain") }
}

/// Flags of the default network and of names, with dockerd's names.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct NetworkFlags {
    /// Attach containers to a network bridge ("none": containers that name no network have none)
    #[arg(short, long, value_name = "string")]
    pub(crate) bridge: Option<String>,
    /// IPv4 address for the default bridge
    #[arg(long, value_name = "string")]
    pub(crate) bip: Option<String>,
    /// Default address pools for node specific local networks
    #[arg(long = "default-address-pool", value_name = "pool-options")]
    pub(crate) address_pools: Vec<String>,
    /// Default IP address for containers to use when binding ports
    #[arg(long, value_name = "ip", value_parser = flag_values::address)]
    pub(crate) ip: Option<String>,
    /// Set the MTU for the default "bridge" network (default 1500)
    #[arg(long, value_name = "int", allow_negative_numbers = true, value_parser = flag_values::whole)]
    pub(crate) mtu: Option<i64>,
    /// IPv6 address for the default bridge
    #[arg(long, value_name = "string")]
    pub(crate) bip6: Option<String>,
    /// Enable IPv6 networking for the default bridge network
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    pub(crate) ipv6: Option<bool>,
    /// Enable inter-container communication for the default bridge network (default true)
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    pub(crate) icc: Option<bool>,
    /// Allow direct routing to published ports on container IP addresses
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    pub(crate) allow_direct_routing: Option<bool>,
    /// Filter and translate packets: a table of nf_tables (default true)
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    pub(crate) iptables: Option<bool>,
    /// Enable IP forwarding in system configuration (default true)
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    pub(crate) ip_forward: Option<bool>,
    /// Enable IP masquerading for the default bridge network (default true)
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    pub(crate) ip_masq: Option<bool>,
    /// IPv4 subnet for the default bridge network
    #[arg(long, value_name = "string")]
    pub(crate) fixed_cidr: Option<String>,
    /// IPv6 subnet for the default bridge network
    #[arg(long, value_name = "string")]
    pub(crate) fixed_cidr_v6: Option<String>,
    /// Default gateway IPv4 address for the default bridge network
    #[arg(long, value_name = "ip", value_parser = flag_values::address)]
    pub(crate) default_gateway: Option<String>,
    /// Default gateway IPv6 address for the default bridge network
    #[arg(long, value_name = "ip", value_parser = flag_values::address)]
    pub(crate) default_gateway_v6: Option<String>,
    /// Default network options
    #[arg(long = "default-network-opt", value_name = "mapmap")]
    pub(crate) network_opts: Vec<String>,
    /// DNS server to use
    #[arg(long, value_name = "list")]
    pub(crate) dns: Vec<String>,
    /// DNS search domains to use
    #[arg(long, value_name = "list")]
    pub(crate) dns_search: Vec<String>,
    /// DNS options to use
    #[arg(long = "dns-opt", value_name = "list")]
    pub(crate) dns_opts: Vec<String>,
    /// IP addresses that the special 'host-gateway' string in --add-host resolves to
    #[arg(long = "host-gateway-ip", value_name = "list")]
    pub(crate) host_gateways: Vec<String>,
}

impl File {
    /// What the flags say.
    pub(crate) fn of(flags: &NetworkFlags) -> Result<Self> {
        let pools: Vec<Pool> = flags.address_pools.iter().map(|text| Pool::parse(text)).collect::<Result<_>>()?;
        Ok(Self {
            bridge: flags.bridge.clone(),
            bip: flags.bip.clone(),
            default_address_pools: Some(pools).filter(|pools| !pools.is_empty()),
            ip: flags.ip.clone(),
            mtu: flags.mtu,
            bip6: flags.bip6.clone(),
            ipv6: flags.ipv6,
            icc: flags.icc,
            fixed_cidr: flags.fixed_cidr.clone(),
            fixed_cidr_v6: flags.fixed_cidr_v6.clone(),
            default_gateway: flags.default_gateway.clone(),
            default_gateway_v6: flags.default_gateway_v6.clone(),
            default_network_opts: network_options(&flags.network_opts)?,
            dns: some(&flags.dns),
            dns_search: some(&flags.dns_search),
            dns_opts: some(&flags.dns_opts),
            host_gateway_ip: None,
            host_gateway_ips: some(&flags.host_gateways),
            allow_direct_routing: flags.allow_direct_routing,
            iptables: flags.iptables,
            ip_forward: flags.ip_forward,
            ip_masq: flags.ip_masq,
            firewall_cooperate: None,
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
            bip6: self.bip6.or(other.bip6),
            ipv6: self.ipv6.or(other.ipv6),
            icc: self.icc.or(other.icc),
            fixed_cidr: self.fixed_cidr.or(other.fixed_cidr),
            fixed_cidr_v6: self.fixed_cidr_v6.or(other.fixed_cidr_v6),
            default_gateway: self.default_gateway.or(other.default_gateway),
            default_gateway_v6: self.default_gateway_v6.or(other.default_gateway_v6),
            default_network_opts: if self.default_network_opts.is_empty() { other.default_network_opts } else { self.default_network_opts },
            dns: self.dns.or(other.dns),
            dns_search: self.dns_search.or(other.dns_search),
            dns_opts: self.dns_opts.or(other.dns_opts),
            host_gateway_ip: self.host_gateway_ip.or(if self.host_gateway_ips.is_some() { None } else { other.host_gateway_ip }),
            host_gateway_ips: self.host_gateway_ips.or(other.host_gateway_ips),
            allow_direct_routing: self.allow_direct_routing.or(other.allow_direct_routing),
            iptables: self.iptables.or(other.iptables),
            ip_forward: self.ip_forward.or(other.ip_forward),
            ip_masq: self.ip_masq.or(other.ip_masq),
            firewall_cooperate: self.firewall_cooperate.or(other.firewall_cooperate),
        }
    }

    /// For the engine. `name` derives from the roots, where they are not the usual ones.
    pub(crate) fn settings(self, name: Option<&str>) -> Result<Settings> {
        let no_table = self.iptables == Some(false);
        if no_table && self.icc == Some(false) {
            bail!(
                "You specified --iptables=false with --icc=false. ICC=false uses iptables to function. Please set --icc or --iptables to true"
            );
        }
        let bridge = match self.bridge.filter(|bridge| !bridge.is_empty()) {
            Some(none) if none == "none" => None,
            Some(_) if self.bip.is_some() => bail!("You specified -b & --bip, mutually exclusive options. Please specify only one"),
            Some(_) if self.bip6.is_some() => bail!("You specified -b & --bip6, mutually exclusive options. Please specify only one"),
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
        let bip6 = self.bip6.map(|text| match parse_prefixed(&text) {
            Some((address, prefix)) if address.is_ipv6() && prefix <= 126 => Ok((address, prefix)),
            _ => bail!("--bip6 {text}: an IPv6 address with the prefix of its subnet is needed"),
        });
        let fixed = [subnet(self.fixed_cidr, true)?, subnet(self.fixed_cidr_v6, false)?];
        let gateways = [address(self.default_gateway, Some(true))?, address(self.default_gateway_v6, Some(false))?];
        let dns = self.dns.unwrap_or_default();
        dns.iter().try_for_each(|server| address(Some(server.clone()), None).map(drop))?;
        self.dns_search.iter().flatten().try_for_each(|domain| search_domain(domain))?;
        if self.host_gateway_ip.is_some() && self.host_gateway_ips.is_some() {
            bail!("host-gateway-ip and host-gateway-ips must not both be specified in the config file");
        }
        let host_gateways = self.host_gateway_ips.into_iter().flatten().chain(self.host_gateway_ip);
        let host_gateways: Vec<IpAddr> = host_gateways.filter_map(|text| address(Some(text), None).transpose()).collect::<Result<_>>()?;
        for (ipv4, family) in [(true, "IPv4"), (false, "IPv6")] {
            if host_gateways.iter().filter(|address| address.is_ipv4() == ipv4).count() > 1 {
                bail!("only one {family} host gateway IP address can be specified");
            }
        }
        let bases = match self.default_address_pools {
            Some(pools) => pools.iter().map(Pool::base).collect::<Result<_>>()?,
            None => default_bases(),
        };
        let mtu = match self.mtu.unwrap_or(0) {
            0 => MTU,
            mtu => u32::try_from(mtu).ok().with_context(|| format!("invalid default MTU: {mtu}"))?,
        };
        let ip = self.ip.map(|text| text.parse::<IpAddr>().with_context(|| format!("ip: invalid IP address: {text}"))).transpose()?;
        Ok(Settings {
            bridge,
            bip: bip.transpose()?,
            table: name.unwrap_or("dhow").to_owned(),
            bases,
            mtu,
            publish_at: ip.filter(|ip| !ip.is_unspecified()),
            ipv6: self.ipv6.unwrap_or(false),
            bip6: bip6.transpose()?,
            fixed,
            gateways,
            no_icc: self.icc == Some(false),
            direct_routing: self.allow_direct_routing.unwrap_or(false),
            options: self.default_network_opts,
            dns: [dns, self.dns_search.unwrap_or_default(), self.dns_opts.unwrap_or_default()],
            host_gateways,
            cooperate: self.firewall_cooperate.unwrap_or(true),
            no_table,
            no_forwarding: self.ip_forward == Some(false),
            no_masquerade: self.ip_masq == Some(false) || no_table,
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
        check(r#"{"fixed-cidr":"fd00::/64"}"#, Err("invalid CIDR address: fd00::/64"));
        check(r#"{"default-gateway":"x"}"#, Err("invalid IP address: x"));
        check(r#"{"dns":["1.1.1.1","x"]}"#, Err("invalid IP address: x"));
        check(r#"{"dns-search":["a b"]}"#, Err("a b is not a valid domain"));
        check(r#"{"dns-search":["1.2"]}"#, Err("1.2 is not a valid domain"));
        check(r#"{"dns-search":[".","a-b.c_d.example."]}"#, Ok(r#"Some("dhow-1") None 7 1500 None"#));
        check(
            r#"{"host-gateway-ips":["10.0.0.1"],"host-gateway-ip":"10.0.0.1"}"#,
            Err("host-gateway-ip and host-gateway-ips must not both be specified in the config file"),
        );
        check(
            r#"{"bridge":"br","bip6":"fd00::1/64"}"#,
            Err("You specified -b & --bip6, mutually exclusive options. Please specify only one"),
        );
        check(r#"{"host-gateway-ips":["fd00::1","fd00::2"]}"#, Err("only one IPv6 host gateway IP address can be specified"));
        check(r#"{"host-gateway-ips":["x"]}"#, Err("invalid IP address: x"));
        check(r#"{"default-address-pools":[{"base":"10.0.0.0/24","size":16}]}"#, Err("invalid pools size 16 of the base 10.0.0.0/24"));
    }

    #[test]
    fn pools_of_flags() {
        let base = Pool::parse("base=10.10.0.0/16,size=24").and_then(|pool| pool.base()).unwrap();
        assert_eq!((base.subnet.to_string(), base.size), ("10.10.0.0/16".into(), 24));
        assert!(Pool::parse("10.0.0.0/8").is_err());
    }
}
