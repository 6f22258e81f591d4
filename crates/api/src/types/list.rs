//! `GET /containers/json`.

use super::container::MountPoint;
use super::network::EndpointSettings;
use std::collections::BTreeMap;

wire! {
    /// One container in a list.
    pub struct ContainerSummary {
        id: String = "Id",
        /// With leading slashes.
        names: Vec<String> = "Names",
        image: String = "Image",
        image_id: String = "ImageID",
        command: String = "Command",
        /// Seconds since 1970.
        created: i64 = "Created",
        ports: Vec<Port> = "Ports",
        size_rw: i64 = "SizeRw" @omit,
        size_root_fs: i64 = "SizeRootFs" @omit,
        labels: BTreeMap<String, String> = "Labels",
        state: String = "State",
        status: String = "Status",
        host_config: SummaryHostConfig = "HostConfig",
        network_settings: SummaryNetworks = "NetworkSettings",
        mounts: Vec<MountPoint> = "Mounts",
    }

    /// What of HostConfig a list shows.
    pub struct SummaryHostConfig {
        network_mode: String = "NetworkMode" @omit,
        annotations: BTreeMap<String, String> = "Annotations" @omit,
    }

    /// What of NetworkSettings a list shows.
    pub struct SummaryNetworks {
        networks: Option<BTreeMap<String, Option<EndpointSettings>>> = "Networks",
    }

    /// A port.
    pub struct Port {
        ip: String = "IP" @omit,
        private_port: u16 = "PrivatePort",
        public_port: u16 = "PublicPort" @omit,
        /// `tcp`, `udp`, `sctp`.
        kind: String = "Type",
    }
}
