//! What a request for a network makes: checked, and with its subnets. Nothing on the host is touched.

use super::pool::pool;
use super::{Inner, Networks, config};
use crate::error::{Error, Kind, Result};
use crate::ids;
use crate::model::network::{Driver, Network, NetworkRequest, PoolRequest};
use dhow_network::Subnet;
use dhow_network::ipam::{self, Base, Pool};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::Invalid, message))
}

fn not_built<T>(what: &str) -> Result<T> {
    Err(Error::new(Kind::NotImplemented, format!("{what} is not supported by this release")))
}

/// Driver options that are known. Others of Docker's are refused, not passed over; those of anybody else mean nothing to it either.
const OPTIONS: [&str; 11] = [
    "com.docker.network.bridge.name",
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.bridge.host_binding_ipv4",
    "com.docker.network.driver.mtu",
    "com.docker.network.container_iface_prefix",
    "com.docker.network.bridge.default_bridge",
    "com.docker.network.bridge.gateway_mode_ipv4",
    "com.docker.network.bridge.gateway_mode_ipv6",
    "com.docker.network.bridge.trusted_host_interfaces",
    "com.docker.network.bridge.inhibit_ipv4",
];
/// Those of them that say how a network is reached.
const MODES: [&str; 2] = [OPTIONS[7], OPTIONS[8]];
/// Those of them that are true or false.
const SWITCHES: [&str; 4] = [OPTIONS[1], OPTIONS[2], OPTIONS[6], OPTIONS[10]];

fn check(request: &NetworkRequest) -> Result<()> {
    let name = &request.name;
    if name.trim().is_empty() {
        return invalid("invalid network name: name is empty");
    }
    if matches!(name.as_str(), "bridge" | "host" | "none" | "default") {
        return Err(Error::new(Kind::Forbidden, format!("operation is not permitted on predefined {name} network ")));
    }
    check_driver(&request.driver)?;
    match request.scope.as_str() {
        "" | "local" => {}
        _ if request.config_only => {}
        "swarm" | "global" => return not_built("a network of a cluster"),
        scope => return invalid(format!("invalid scope: {scope}")),
    }
    if !matches!(request.ipam_driver.as_str(), "" | "default") {
        return invalid(format!("invalid ipam driver: {}", request.ipam_driver));
    }
    if request.ipv4 == Some(false) && !request.ipv6 {
        return invalid("IPv4 or IPv6 must be enabled");
    }
    config::check(request)?;
    if sharing(&request.driver) {
        return match request
            .options
            .keys()
            .find(|name| name.starts_with("com.docker.network.") && **name != OPTIONS[4] && **name != OPTIONS[5])
        {
            Some(name) => not_built(&format!("the driver option {name} of {}", request.driver)),
            None => check_options(&request.options),
        };
    }
    check_options(&request.options)?;
    let isolated = |name: &&str| request.options.get(*name).is_some_and(|mode| mode == "isolated");
    if !request.internal && MODES.iter().any(isolated) {
        return Err(Error::new(Kind::Internal, "gateway mode 'isolated' can only be used for an internal network"));
    }
    Ok(())
}

fn sharing(driver: &str) -> bool {
    matches!(driver, "macvlan" | "ipvlan")
}

fn check_driver(driver: &str) -> Result<()> {
    match driver {
        "" | "default" | "bridge" | "macvlan" | "ipvlan" => Ok(()),
        "host" | "null" | "none" => {
            let driver = if driver == "host" { "host" } else { "null" };
            Err(Error::new(Kind::Forbidden, format!("only one instance of \"{driver}\" network is allowed")))
        }
        "overlay" => Err(Error::new(
            Kind::Unavailable,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        )),
        driver => Err(Error::new(Kind::NotFound, format!("could not find plugin {driver} in v1 plugin registry: plugin not found"))),
    }
}

fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    for (name, value) in options {
        if !OPTIONS.contains(&name.as_str()) && name.starts_with("com.docker.network.") {
            return not_built(&format!("the driver option {name}"));
        }
        let known = matches!(value.as_str(), "1" | "t" | "T" | "TRUE" | "true" | "True" | "0" | "f" | "F" | "FALSE" | "false" | "False");
        let (wrong, why) = match name.as_str() {
            name if SWITCHES.contains(&name) => (!known, format!("strconv.ParseBool: parsing {value:?}: invalid syntax")),
            "com.docker.network.driver.mtu" => (value.parse::<u32>().is_err(), format!("strconv.Atoi: parsing {value:?}: invalid syntax")),
            "com.docker.network.bridge.gateway_mode_ipv4" | "com.docker.network.bridge.gateway_mode_ipv6" => {
                (crate::model::network::mode(value).is_none(), format!("unknown gateway mode {value}"))
            }
            "com.docker.network.bridge.host_binding_ipv4" => (value.parse::<std::net::Ipv4Addr>().is_err(), "nil ip".to_owned()),
            _ => (false, String::new()),
        };
        if wrong {
            return invalid(format!("failed to parse {name} value: {value} ({why})"));
        }
    }
    Ok(())
}

/// A subnet of the addresses that are private by nature, from an id, which is random.
fn private(id: &str) -> Option<Subnet> {
    let mut bytes = [0u8; 16];
    bytes[0] = 0xfd;
    for (byte, at) in bytes[1..6].iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(id.get(at..at + 2)?, 16).ok()?;
    }
    Subnet::of(Ipv6Addr::from(bytes).into(), 64)
}

impl Inner {
    /// Fails where a network that is about to be would be in the way of another.
    pub(super) fn check_new(&self, network: &Network) -> Result<()> {
        if let Some(known) = self.named(&network.name) {
            return Err(Error::new(Kind::Conflict, format!("network with name {} already exists", known.name)));
        }
        network.pools.iter().try_for_each(|pool| self.check_free(&pool.subnet))
    }

    /// Fails where a subnet overlaps that of a network.
    fn check_free(&self, subnet: &Subnet) -> Result<()> {
        let taken = self.by_id.values().flat_map(|entry| &entry.network.pools).any(|other| other.subnet.overlaps(subnet));
        match taken {
            true => Err(Error::new(Kind::Forbidden, "invalid pool request: Pool overlaps with other one on this address space")),
            false => Ok(()),
        }
    }
}

impl Networks {
    /// What a request makes.
    pub(crate) fn plan(&self, mut request: NetworkRequest) -> Result<Network> {
        check(&request)?;
        self.check_name(&request.name)?;
        if request.config_only {
            return config::network(request);
        }
        if !request.config_from.is_empty() {
            let from = self.configuration(&request.config_from)?;
            config::take_from(&mut request, &from);
            check_options(&request.options)?;
        }
        let driver = match request.driver.as_str() {
            "macvlan" => Driver::Macvlan,
            "ipvlan" => Driver::Ipvlan,
            _ => Driver::Bridge,
        };
        for (name, value) in self.settings.options.get(driver.as_str()).into_iter().flatten() {
            request.options.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let ipv4 = request.ipv4.unwrap_or(true);
        let mut pools: Vec<Pool> = Vec::new();
        for asked in request.pools.iter().filter(|asked| !asked.subnet.is_empty()) {
            let pool = pool(asked)?;
            if pools.iter().any(|other| other.subnet.overlaps(&pool.subnet)) {
                return Err(Error::new(Kind::Forbidden, "invalid pool request: Pool overlaps with other one on this address space"));
            }
            self.lock().check_free(&pool.subnet)?;
            pools.push(pool);
        }
        let loose = |asked: &&PoolRequest| asked.subnet.is_empty() && !(asked.gateway.is_empty() && asked.range.is_empty());
        if request.pools.iter().any(|asked| loose(&asked)) {
            return invalid("invalid network config:\na gateway or a range needs a subnet");
        }
        for ipv4 in [true, false] {
            if driver == Driver::Bridge && pools.iter().filter(|pool| pool.subnet.is_ipv4() == ipv4).count() > 1 {
                return Err(Error::new(Kind::Forbidden, "bridge driver doesn't support multiple subnets"));
            }
        }
        let chosen = !pools.is_empty();
        let fresh = super::plain(&request.name, driver)?;
        pools.retain(|pool| if pool.subnet.is_ipv4() { ipv4 } else { request.ipv6 });
        if ipv4 && !pools.iter().any(|pool| pool.subnet.is_ipv4()) {
            pools.insert(0, self.free_pool(None)?);
        }
        if request.ipv6 && pools.iter().all(|pool| pool.subnet.is_ipv4()) {
            pools.push(self.free_pool6(&fresh.id)?);
        }
        let link = if driver == Driver::Bridge { self.link_of(&request, &fresh.id)? } else { String::new() };
        let mut network = Network {
            internal: request.internal,
            attachable: request.attachable,
            ipv4,
            ipv6: request.ipv6,
            pools,
            chosen,
            ipam_options: request.ipam_options,
            options: request.options,
            labels: request.labels,
            link,
            config_from: request.config_from,
            ..fresh
        };
        if driver.shares() {
            self.plan_parent(&mut network)?;
            network.internal |= network.option("parent").is_none_or(str::is_empty);
        }
        Ok(network)
    }

    /// What somebody should know of a new network: where its subnets lie in the way of the host's own routes. A macvlan's shall.
    pub(crate) fn warning(&self, network: &Network) -> String {
        let chosen = network.pools.iter().filter(|_| network.chosen && network.driver == Driver::Bridge);
        let found = chosen.filter_map(|pool| {
            let (route, link) = self.host.route_beside(&pool.subnet)?;
            Some(format!("the subnet {} overlaps the route {route} of the host to {link}", pool.subnet))
        });
        found.collect::<Vec<_>>().join("; ")
    }

    /// Fails where a network has this name.
    pub(crate) fn check_name(&self, name: &str) -> Result<()> {
        match self.lock().named(name) {
            Some(known) => Err(Error::new(Kind::Conflict, format!("network with name {} already exists", known.name))),
            None => Ok(()),
        }
    }

    pub(super) fn free_pool6(&self, id: &str) -> Result<Pool> {
        let taken: Vec<Subnet> = self
            .lock()
            .by_id
            .values()
            .flat_map(|entry| &entry.network.pools)
            .map(|pool| pool.subnet)
            .chain(self.host.routes())
            .chain(super::nameservers::subnets())
            .collect();
        let own: Vec<Base> = private(id).map(|subnet| Base { subnet, size: subnet.prefix() }).into_iter().collect();
        let subnet = ipam::free_subnet(&self.settings.bases, false, &taken).or_else(|| ipam::free_subnet(&own, false, &taken));
        let subnet = subnet.ok_or_else(|| Error::new(Kind::Invalid, "all predefined address pools have been fully subnetted"))?;
        Ok(Pool { subnet, range: None, gateway: subnet.nth(1).unwrap_or(subnet.address()), auxiliary: BTreeMap::new() })
    }

    /// The name of its bridge.
    fn link_of(&self, request: &NetworkRequest, id: &str) -> Result<String> {
        let link = match request.options.get("com.docker.network.bridge.name").filter(|name| !name.is_empty()) {
            Some(name) if name.len() > dhow_network::link::NAME_MAX || name.contains(['/', ' ', ':']) || name.starts_with('.') => {
                return invalid(format!("the bridge name {name} is no name for a link"));
            }
            Some(name) => name.clone(),
            None => format!("br-{}", ids::short(id)),
        };
        match self.lock().by_id.values().find(|entry| entry.network.link == link) {
            Some(other) => {
                let other = &other.network.id;
                let text =
                    format!("cannot create network {id} ({link}): conflicts with network {other} ({link}): networks have same bridge name");
                Err(Error::new(Kind::Forbidden, text))
            }
            None => Ok(link),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::network::Settings;

    fn networks() -> Networks {
        let settings = Settings { bases: ipam::default_bases(), mtu: 1500, table: "t".into(), ..Settings::default() };
        Networks::open(settings, "/nowhere".into(), Vec::new()).unwrap().0
    }

    fn check_request(change: impl FnOnce(&mut NetworkRequest), expect: &str) {
        let mut request = NetworkRequest { name: "n".into(), ..NetworkRequest::default() };
        change(&mut request);
        let got = networks().plan(request).map_or_else(
            |error| format!("{:?}: {}", error.kind, error.message),
            |network| network.pools.iter().map(|pool| format!("{} {}", pool.subnet, pool.gateway)).collect::<Vec<_>>().join(", "),
        );
        assert_eq!(got, expect);
    }

    fn subnet(subnet: &str, range: &str, gateway: &str) -> Vec<PoolRequest> {
        vec![PoolRequest { subnet: subnet.into(), range: range.into(), gateway: gateway.into(), ..PoolRequest::default() }]
    }

    #[test]
    fn subnets() {
        check_request(|r| r.pools = subnet("10.9.0.0/24", "", ""), "10.9.0.0/24 10.9.0.1");
        check_request(|r| r.pools = subnet("10.9.0.0/24", "10.9.0.128/25", "10.9.0.254"), "10.9.0.0/24 10.9.0.254");
        check_request(|r| r.pools = subnet("10.9.0.0/24", "10.9.0.128/25", ""), "10.9.0.0/24 10.9.0.128");
        let taken = |address: &str| format!("Internal: failed to allocate gateway ({address}): Address already in use");
        check_request(|r| r.pools = subnet("10.9.0.0/24", "", "10.9.0.0"), &taken("10.9.0.0"));
        check_request(|r| r.pools = subnet("10.9.0.0/24", "", "10.9.0.255"), &taken("10.9.0.255"));
        check_request(|r| r.pools = subnet("10.9.0.0/31", "", "10.9.0.1"), "10.9.0.0/31 10.9.0.1");
        check_request(
            |r| r.pools = [subnet("10.9.0.0/24", "", ""), subnet("10.8.0.0/24", "", "")].concat(),
            "Forbidden: bridge driver doesn't support multiple subnets",
        );
        let aux = |r: &mut NetworkRequest| {
            r.pools = subnet("10.9.0.0/24", "", "");
            r.pools[0].auxiliary = BTreeMap::from([("a".into(), "10.9.0.1".into()), ("b".into(), "10.9.0.2".into())]);
        };
        check_request(aux, "10.9.0.0/24 10.9.0.3");
        check_request(|r| r.pools = subnet("x", "", ""), "Invalid: invalid network config:\ninvalid subnet x: invalid CIDR address");
        check_request(
            |r| r.pools = subnet("10.9.0.0/24", "", "10.8.0.1"),
            "Invalid: invalid network config:\ninvalid gateway 10.8.0.1: parent subnet 10.9.0.0/24 does not contain it",
        );
        check_request(
            |r| r.pools = subnet("10.9.0.7/24", "", ""),
            "Invalid: invalid network config:\ninvalid subnet 10.9.0.7/24: it should be 10.9.0.0/24",
        );
        check_request(
            |r| r.pools = [subnet("10.9.0.0/24", "", ""), subnet("10.9.0.0/25", "", "")].concat(),
            "Forbidden: invalid pool request: Pool overlaps with other one on this address space",
        );
        let six = |r: &mut NetworkRequest| {
            r.ipv6 = true;
            r.pools = [subnet("10.9.0.0/24", "", ""), subnet("fd01::/64", "", "")].concat();
        };
        check_request(six, "10.9.0.0/24 10.9.0.1, fd01::/64 fd01::1");
    }

    #[test]
    fn private_subnets_come_from_ids() {
        assert_eq!(private("0123456789abcdef").unwrap().to_string(), "fd01:2345:6789::/64");
        assert_eq!(private("xy"), None);
        let mut request = NetworkRequest { name: "n".into(), ipv6: true, ipv4: Some(false), ..NetworkRequest::default() };
        request.labels.insert("a".into(), "b".into());
        let network = networks().plan(request).unwrap();
        assert!(network.pools.len() == 1 && network.pools[0].subnet.to_string().starts_with("fd"), "{network:?}");
    }

    #[test]
    fn what_cannot_be() {
        check_request(|r| r.name = "bridge".into(), "Forbidden: operation is not permitted on predefined bridge network ");
        check_request(|r| r.name = " ".into(), "Invalid: invalid network name: name is empty");
        check_request(|r| r.driver = "foo".into(), "NotFound: could not find plugin foo in v1 plugin registry: plugin not found");
        check_request(|r| r.driver = "host".into(), "Forbidden: only one instance of \"host\" network is allowed");
        check_request(
            |r| _ = r.options.insert("com.docker.network.driver.mtu".into(), "x".into()),
            "Invalid: failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing \"x\": invalid syntax)",
        );
        check_request(|r| (r.ipv4, r.ipv6) = (Some(false), false), "Invalid: IPv4 or IPv6 must be enabled");
        let mode = |value: &'static str| {
            move |r: &mut NetworkRequest| _ = r.options.insert("com.docker.network.bridge.gateway_mode_ipv6".into(), value.into())
        };
        check_request(mode("x"), "Invalid: failed to parse com.docker.network.bridge.gateway_mode_ipv6 value: x (unknown gateway mode x)");
        check_request(mode("isolated"), "Internal: gateway mode 'isolated' can only be used for an internal network");
    }
}
