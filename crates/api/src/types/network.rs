//! Networks and a container's place in them.

use std::collections::BTreeMap;

wire! {
    /// Networks asked for at create.
    pub struct NetworkingConfig {
        endpoints_config: Option<BTreeMap<String, Option<EndpointSettings>>> = "EndpointsConfig",
    }

    /// A container's place in one network.
    pub struct EndpointSettings {
        ipam_config: Option<EndpointIpam> = "IPAMConfig",
        links: Option<Vec<String>> = "Links",
        aliases: Option<Vec<String>> = "Aliases",
        mac_address: String = "MacAddress",
        driver_opts: Option<BTreeMap<String, String>> = "DriverOpts",
        gw_priority: i64 = "GwPriority",
        network_id: String = "NetworkID",
        endpoint_id: String = "EndpointID",
        gateway: String = "Gateway",
        ip_address: String = "IPAddress",
        ip_prefix_len: i64 = "IPPrefixLen",
        ipv6_gateway: String = "IPv6Gateway",
        global_ipv6_address: String = "GlobalIPv6Address",
        global_ipv6_prefix_len: i64 = "GlobalIPv6PrefixLen",
        dns_names: Option<Vec<String>> = "DNSNames",
    }

    /// Addresses asked for.
    pub struct EndpointIpam {
        ipv4_address: String = "IPv4Address" @omit,
        ipv6_address: String = "IPv6Address" @omit,
        link_local_ips: Vec<String> = "LinkLocalIPs" @omit,
    }

    /// One network.
    pub struct NetworkInspect {
        name: String = "Name",
        id: String = "Id",
        created: String = "Created",
        scope: String = "Scope",
        driver: String = "Driver",
        enable_ipv4: bool = "EnableIPv4",
        enable_ipv6: bool = "EnableIPv6",
        ipam: Ipam = "IPAM",
        internal: bool = "Internal",
        attachable: bool = "Attachable",
        ingress: bool = "Ingress",
        config_from: ConfigReference = "ConfigFrom",
        config_only: bool = "ConfigOnly",
        containers: BTreeMap<String, NetworkContainer> = "Containers",
        options: Option<BTreeMap<String, String>> = "Options",
        labels: Option<BTreeMap<String, String>> = "Labels",
    }

    /// A new network.
    pub struct NetworkCreate {
        name: String = "Name",
        driver: String = "Driver",
        scope: String = "Scope",
        enable_ipv4: Option<bool> = "EnableIPv4",
        enable_ipv6: Option<bool> = "EnableIPv6",
        ipam: Option<Ipam> = "IPAM",
        internal: bool = "Internal",
        attachable: bool = "Attachable",
        ingress: bool = "Ingress",
        config_only: bool = "ConfigOnly",
        config_from: Option<ConfigReference> = "ConfigFrom",
        options: Option<BTreeMap<String, String>> = "Options",
        labels: Option<BTreeMap<String, String>> = "Labels",
        /// What clients of old sent; names are always unique.
        check_duplicate: Option<bool> = "CheckDuplicate" @omit,
    }

    /// What became of it.
    pub struct NetworkCreated {
        id: String = "Id",
        warning: String = "Warning",
    }

    /// A place for a container.
    pub struct NetworkConnect {
        container: String = "Container",
        endpoint_config: Option<EndpointSettings> = "EndpointConfig",
    }

    /// No place for it any more.
    pub struct NetworkDisconnect {
        container: String = "Container",
        force: bool = "Force",
    }

    /// Where a network takes its configuration from.
    pub struct ConfigReference {
        network: String = "Network",
    }

    /// Address management of a network.
    pub struct Ipam {
        driver: String = "Driver",
        options: Option<BTreeMap<String, String>> = "Options",
        config: Option<Vec<IpamConfig>> = "Config",
    }

    /// One subnet.
    pub struct IpamConfig {
        subnet: String = "Subnet" @omit,
        ip_range: String = "IPRange" @omit,
        gateway: String = "Gateway" @omit,
        auxiliary_addresses: BTreeMap<String, String> = "AuxiliaryAddresses" @omit,
    }

    /// A running container in a network.
    pub struct NetworkContainer {
        name: String = "Name",
        endpoint_id: String = "EndpointID",
        mac_address: String = "MacAddress",
        ipv4_address: String = "IPv4Address",
        ipv6_address: String = "IPv6Address",
    }
}
