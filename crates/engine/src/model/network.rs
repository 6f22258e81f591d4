//! What the engine knows of networks and of the places that containers have in them.

use dhow_network::Subnet;
use dhow_network::ipam::{Base, Pool};
use dhow_network::ports::Mapping;
use dhow_network::table::Mode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How the engine's networks are called on the host, and what they get where nobody says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Bridge of the default network; `None`: there is no default network, and containers that name none have a namespace with
    /// nothing but loopback.
    pub bridge: Option<String>,
    /// Address and prefix of that bridge (`--bip`).
    pub bip: Option<(IpAddr, u8)>,
    /// Name of the packet filter's table.
    pub table: String,
    /// Where subnets come from.
    pub bases: Vec<Base>,
    /// Of links, where a network says nothing.
    pub mtu: u32,
    /// Where ports are published that name no address (`--ip`); `None`: everywhere.
    pub publish_at: Option<IpAddr>,
    /// The default network has IPv6 addresses.
    pub ipv6: bool,
    /// Address and prefix of the default network's bridge in IPv6 (`--bip6`).
    pub bip6: Option<(IpAddr, u8)>,
    /// The parts of the default network that containers get addresses of (`--fixed-cidr`, `--fixed-cidr-v6`).
    pub fixed: [Option<Subnet>; 2],
    /// What containers of the default network have as their way out, in place of its bridge.
    pub gateways: [Option<IpAddr>; 2],
    /// Containers of the default network may not talk to each other.
    pub no_icc: bool,
    /// Published ports are reached by the containers' own addresses too.
    pub direct_routing: bool,
    /// Options of new networks that say nothing else, by driver.
    pub options: BTreeMap<String, BTreeMap<String, String>>,
    /// Servers, search domains and options of containers that name none themselves.
    pub dns: [Vec<String>; 3],
    /// What `host-gateway` stands for; where there are none, the addresses of the default network's bridge.
    pub host_gateways: Vec<IpAddr>,
    /// Where the packet filter of somebody else drops what it does not know, a rule of ours in it lets pass what is a network's.
    pub cooperate: bool,
    /// The packet filter is left alone (`--iptables=false`): published ports are relayed, and what containers send keeps their addresses.
    pub no_table: bool,
    /// Whether the host forwards is left as it is (`--ip-forward=false`).
    pub no_forwarding: bool,
    /// What the default network's containers send keeps their addresses (`--ip-masq=false`).
    pub no_masquerade: bool,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hex.
    pub id: String,
    /// Unique.
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: i64,
    /// What kind.
    pub driver: Driver,
    /// One of those that always are.
    #[serde(default)]
    pub built_in: bool,
    /// No way out or in.
    #[serde(default)]
    pub internal: bool,
    /// For front ends.
    #[serde(default)]
    pub attachable: bool,
    /// Has IPv4 addresses.
    pub ipv4: bool,
    /// Has IPv6 addresses.
    #[serde(default)]
    pub ipv6: bool,
    /// Subnets.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// The subnet was named by the user, so containers may ask for addresses.
    #[serde(default)]
    pub chosen: bool,
    /// As given.
    #[serde(default)]
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Driver options, as given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Name of its bridge on the host, or of the link whose wire its containers share; empty where it has none.
    #[serde(default)]
    pub link: String,
    /// That link was made for it, and goes with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made_link: bool,
    /// It is no network, but the configuration of others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub config_only: bool,
    /// Name of the configuration that it was made from; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config_from: String,
    /// The subnets of a configuration, as given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<PoolRequest>,
}

/// Kinds of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "Docker's drivers by their names")]
pub enum Driver {
    Bridge,
    Host,
    Null,
    Macvlan,
    Ipvlan,
}

impl Driver {
    /// Docker's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }

    /// Its networks share the wire of another link.
    pub fn shares(self) -> bool {
        matches!(self, Self::Macvlan | Self::Ipvlan)
    }
}

impl Network {
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    fn is_on(&self, name: &str, default: bool) -> bool {
        self.option(name).map_or(default, |text| matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True"))
    }

    /// Fails, in Docker's words, where an address cannot be asked for.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), String> {
        let mut own = self.pools.iter().filter(|pool| self.chosen && pool.subnet.is_ipv4() == address.is_ipv4()).peekable();
        if own.peek().is_none() {
            return Err("user specified IP address is supported only when connecting to networks with user configured subnets".to_owned());
        }
        match own.any(|pool| pool.subnet.contains(address)) {
            true => Ok(()),
            false => Err(format!("no configured subnet or ip-range contain the IP address {address}")),
        }
    }

    /// What its links have, where it says so.
    pub(crate) fn mtu(&self) -> Option<u32> {
        self.option("com.docker.network.driver.mtu")?.parse().ok().filter(|mtu| *mtu > 0)
    }

    /// How links in containers are called before their number.
    pub(crate) fn prefix(&self) -> &str {
        self.option("com.docker.network.container_iface_prefix").unwrap_or("eth")
    }

    /// Its containers may talk to each other.
    pub(crate) fn icc(&self) -> bool {
        self.is_on("com.docker.network.bridge.enable_icc", true)
    }

    /// The host has an address of this family in it.
    pub(crate) fn has_host(&self, ipv4: bool) -> bool {
        let inhibited = ipv4 && self.is_on("com.docker.network.bridge.inhibit_ipv4", false);
        self.modes()[usize::from(!ipv4)] != Mode::Isolated && !inhibited
    }

    /// Where its ports are published, where it says so.
    pub(crate) fn publish_at(&self) -> Option<IpAddr> {
        self.option("com.docker.network.bridge.host_binding_ipv4")?.parse().ok().filter(|address: &IpAddr| !address.is_unspecified())
    }

    /// How it is reached from outside, by IPv4 and by IPv6.
    pub(crate) fn modes(&self) -> [Mode; 2] {
        ["com.docker.network.bridge.gateway_mode_ipv4", "com.docker.network.bridge.gateway_mode_ipv6"]
            .map(|name| self.option(name).and_then(mode).unwrap_or_default())
    }

    /// As the packet filter sees it.
    pub(crate) fn filtered(&self, settings: &Settings) -> Option<dhow_network::table::Network> {
        (self.driver == Driver::Bridge).then(|| dhow_network::table::Network {
            bridge: self.link.clone(),
            subnets: self.pools.iter().map(|pool| pool.subnet).collect(),
            internal: self.internal,
            icc: self.icc(),
            masquerade: self.is_on("com.docker.network.bridge.enable_ip_masquerade", true),
            modes: self.modes(),
            trusted: self.trusted(),
            direct: settings.direct_routing,
        })
    }

    /// Links of the host from which its published ports are reached as they are.
    fn trusted(&self) -> Vec<String> {
        let text = self.option("com.docker.network.bridge.trusted_host_interfaces").unwrap_or_default();
        text.split(':').filter(|link| !link.is_empty()).map(str::to_owned).collect()
    }
}

/// A gateway mode by its name.
pub(crate) fn mode(text: &str) -> Option<Mode> {
    match text {
        "nat" => Some(Mode::Nat),
        "nat-unprotected" => Some(Mode::Unprotected),
        "routed" => Some(Mode::Routed),
        "isolated" => Some(Mode::Isolated),
        _ => None,
    }
}

/// A container in a network: what it asked for, and, while it runs, what it has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Membership {
    /// Id of the network, once it was found.
    pub network: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// Links, as given.
    pub links: Vec<String>,
    /// The address that it must have.
    pub ipv4: Option<IpAddr>,
    /// The IPv6 address that it must have.
    pub ipv6: Option<IpAddr>,
    /// Link-local addresses that it has beside.
    pub link_local: Vec<IpAddr>,
    /// The hardware address that it must have.
    pub mac: Option<String>,
    /// Driver options, as given.
    pub options: BTreeMap<String, String>,
    /// Of several networks the one with the highest has the way to everywhere.
    pub priority: i64,
    /// What it has.
    pub place: Option<Place>,
}

impl Membership {
    /// The networks of a container in the order of their links: by priority, then by name.
    pub(crate) fn in_order(memberships: &BTreeMap<String, Self>) -> Vec<String> {
        let mut names: Vec<&String> = memberships.keys().collect();
        names.sort_by(|a, b| memberships[*b].priority.cmp(&memberships[*a].priority).then_with(|| a.cmp(b)));
        names.into_iter().cloned().collect()
    }
}

/// What a running container has in a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// 64 hex.
    pub endpoint: String,
    /// IPv4 address and prefix.
    pub ipv4: Option<(IpAddr, u8)>,
    /// IPv6 address and prefix.
    #[serde(default)]
    pub ipv6: Option<(IpAddr, u8)>,
    /// The network's address, where it leads anywhere.
    pub gateway: Option<IpAddr>,
    /// The same for IPv6.
    #[serde(default)]
    pub gateway6: Option<IpAddr>,
    /// Hardware address; empty where the network has none.
    pub mac: String,
    /// The link's name on the host; empty where it has no end there.
    pub port: String,
    /// The link's name in the container.
    pub name: String,
    /// Everything is reached by the link itself, without a gateway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_link: bool,
}

impl Place {
    /// Its addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ipv4.into_iter().chain(self.ipv6).map(|(address, _)| address)
    }

    /// Its ways to everywhere, of IPv4 and of IPv6. An unspecified address stands for the link itself.
    pub(crate) fn ways(&self) -> [Option<IpAddr>; 2] {
        let direct = |address: Option<(IpAddr, u8)>, any: IpAddr| address.filter(|_| self.by_link).map(|_| any);
        [
            self.gateway.or_else(|| direct(self.ipv4, Ipv4Addr::UNSPECIFIED.into())),
            self.gateway6.or_else(|| direct(self.ipv6, Ipv6Addr::UNSPECIFIED.into())),
        ]
    }

    /// Whether it leads out at all.
    pub(crate) fn leads_out(&self) -> bool {
        self.ways().iter().any(Option::is_some)
    }
}

/// The names of a container in a network that has names: its own, its aliases, its short id, its host name.
pub fn dns_names(name: &str, id: &str, hostname: &str, membership: &Membership) -> Vec<String> {
    let short = id.get(..12).unwrap_or(id);
    let all = std::iter::once(name).chain(membership.aliases.iter().map(String::as_str)).chain([short, hostname]);
    let mut names: Vec<String> = Vec::new();
    for name in all.filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// What a container asks of networks at create.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// By name or id of the network.
    pub memberships: BTreeMap<String, Membership>,
    /// Ports to publish.
    pub ports: Vec<dhow_network::ports::Wanted>,
    /// `--dns`, `--dns-search`, `--dns-option`.
    pub dns: [Vec<String>; 3],
    /// `--link` on the default network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Ports that it says it listens at, which links to it tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<(dhow_network::ports::Protocol, u16)>,
}

/// Another container of the default network by a name of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its id; in a request its name.
    pub container: String,
    /// The name for it.
    pub alias: String,
}

/// What a new network is asked to be.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "Docker's fields by their names")]
pub struct NetworkRequest {
    pub name: String,
    pub driver: String,
    pub scope: String,
    pub internal: bool,
    pub attachable: bool,
    pub ipv4: Option<bool>,
    pub ipv6: bool,
    pub ipam_driver: String,
    pub ipam_options: Option<BTreeMap<String, String>>,
    pub pools: Vec<PoolRequest>,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub ingress: bool,
    pub config_only: bool,
    pub config_from: String,
}

/// One subnet asked for, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "Docker's fields by their names")]
pub struct PoolRequest {
    pub subnet: String,
    pub range: String,
    pub gateway: String,
    pub auxiliary: BTreeMap<String, String>,
}

/// All that a container has of networks while it runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Held {
    pub(crate) memberships: BTreeMap<String, Membership>,
    pub(crate) published: Vec<Mapping>,
}
