//! `GET /containers/{id}/json`.

use super::container::{Config, HostConfig, MountPoint, PortBinding};
use super::network::EndpointSettings;
use std::collections::BTreeMap;

wire! {
    /// One container.
    pub struct ContainerInspect {
        id: String = "Id",
        /// RFC 3339 with nanoseconds.
        created: String = "Created",
        path: String = "Path",
        args: Vec<String> = "Args",
        state: State = "State",
        image: String = "Image",
        resolv_conf_path: String = "ResolvConfPath",
        hostname_path: String = "HostnamePath",
        hosts_path: String = "HostsPath",
        log_path: String = "LogPath",
        name: String = "Name",
        restart_count: i64 = "RestartCount",
        driver: String = "Driver",
        platform: String = "Platform",
        mount_label: String = "MountLabel",
        process_label: String = "ProcessLabel",
        apparmor_profile: String = "AppArmorProfile",
        exec_ids: Option<Vec<String>> = "ExecIDs",
        host_config: HostConfig = "HostConfig",
        graph_driver: GraphDriver = "GraphDriver",
        size_rw: Option<i64> = "SizeRw" @omit,
        size_root_fs: Option<i64> = "SizeRootFs" @omit,
        mounts: Vec<MountPoint> = "Mounts",
        config: Config = "Config",
        network_settings: NetworkSettings = "NetworkSettings",
    }

    /// Where a container stands.
    pub struct State {
        status: String = "Status",
        running: bool = "Running",
        paused: bool = "Paused",
        restarting: bool = "Restarting",
        oom_killed: bool = "OOMKilled",
        dead: bool = "Dead",
        pid: i64 = "Pid",
        exit_code: i64 = "ExitCode",
        error: String = "Error",
        started_at: String = "StartedAt",
        finished_at: String = "FinishedAt",
        health: Option<Health> = "Health" @omit,
    }

    /// Health of a container.
    pub struct Health {
        status: String = "Status",
        failing_streak: i64 = "FailingStreak",
        log: Option<Vec<HealthResult>> = "Log",
    }

    /// One probe.
    pub struct HealthResult {
        start: String = "Start",
        end: String = "End",
        exit_code: i64 = "ExitCode",
        output: String = "Output",
    }

    /// Where the layers are.
    pub struct GraphDriver {
        data: Option<BTreeMap<String, String>> = "Data",
        name: String = "Name",
    }

    /// Addresses of a container. The keys beside `Networks` are filled for the network `bridge` only.
    pub struct NetworkSettings {
        bridge: String = "Bridge",
        sandbox_id: String = "SandboxID",
        sandbox_key: String = "SandboxKey",
        ports: Option<BTreeMap<String, Option<Vec<PortBinding>>>> = "Ports",
        hairpin_mode: bool = "HairpinMode",
        link_local_ipv6_address: String = "LinkLocalIPv6Address",
        link_local_ipv6_prefix_len: i64 = "LinkLocalIPv6PrefixLen",
        secondary_ip_addresses: Option<Vec<Address>> = "SecondaryIPAddresses",
        secondary_ipv6_addresses: Option<Vec<Address>> = "SecondaryIPv6Addresses",
        endpoint_id: String = "EndpointID",
        gateway: String = "Gateway",
        global_ipv6_address: String = "GlobalIPv6Address",
        global_ipv6_prefix_len: i64 = "GlobalIPv6PrefixLen",
        ip_address: String = "IPAddress",
        ip_prefix_len: i64 = "IPPrefixLen",
        ipv6_gateway: String = "IPv6Gateway",
        mac_address: String = "MacAddress",
        networks: Option<BTreeMap<String, Option<EndpointSettings>>> = "Networks",
    }

    /// One further address.
    pub struct Address {
        addr: String = "Addr",
        prefix_len: i64 = "PrefixLen",
    }
}
