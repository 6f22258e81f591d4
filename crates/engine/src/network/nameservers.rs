//! The host's servers of names.

use dhow_network::Subnet;
use dhow_network::resolv::{self, Resolv};
use std::net::IpAddr;

/// The host's resolver file, where systemd-resolved hides it too.
pub(crate) fn host_resolv_conf() -> Resolv {
    let read = |path: &str| resolv::parse(&std::fs::read_to_string(path).unwrap_or_default());
    let found = read("/etc/resolv.conf");
    if found.servers == ["127.0.0.53"] {
        let behind = read("/run/systemd/resolve/resolv.conf");
        if behind != Resolv::default() {
            return behind;
        }
    }
    found
}

/// Their addresses, which no network of ours may take.
pub(super) fn subnets() -> Vec<Subnet> {
    let servers = host_resolv_conf().servers;
    let one =
        |server: &String| server.parse::<IpAddr>().ok().and_then(|address| Subnet::of(address, if address.is_ipv4() { 32 } else { 128 }));
    servers.iter().filter_map(one).collect()
}
