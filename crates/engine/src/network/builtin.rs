//! The default network: what the settings make of it.

use super::{DEFAULT, Networks, plain};
use crate::error::{Error, Kind, Result};
use crate::model::network::{Driver, Network, Settings};
use dhow_network::Subnet;
use dhow_network::ipam::Pool;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Docker's names for a gateway that is not the network itself.
pub(super) const GATEWAYS: [&str; 2] = ["DefaultGatewayIPv4", "DefaultGatewayIPv6"];

/// The subnet of one family as the settings ask for it: with its bridge's address, or only the part for containers. `None`: they leave it open.
fn asked(settings: &Settings, six: bool) -> Result<Option<Pool>> {
    let (address, fixed) = if six { (settings.bip6, settings.fixed[1]) } else { (settings.bip, settings.fixed[0]) };
    let pool = |subnet: Subnet, gateway: IpAddr| Pool { subnet, range: None, gateway, auxiliary: BTreeMap::new() };
    let found = match (address, fixed) {
        (Some((gateway, prefix)), _) => Subnet::of(gateway, prefix).map(|subnet| pool(subnet, gateway)),
        (None, Some(fixed)) => Some(pool(fixed, fixed.nth(1).unwrap_or(fixed.address()))),
        (None, None) => None,
    };
    found.map(|pool| complete(settings, pool)).transpose()
}

/// With the part for containers, and the gateway, where the settings name them.
fn complete(settings: &Settings, mut pool: Pool) -> Result<Pool> {
    let six = usize::from(!pool.subnet.is_ipv4());
    let outside =
        |what: String| Error::new(Kind::Invalid, format!("{what} does not lie in {}, the subnet of the default network", pool.subnet));
    pool.range = settings.fixed[six].filter(|range| *range != pool.subnet);
    if let Some(range) = pool.range
        && (range.prefix() < pool.subnet.prefix() || !pool.subnet.contains(range.address()))
    {
        return Err(outside(format!("the range {range}")));
    }
    pool.auxiliary.clear();
    if let Some(gateway) = settings.gateways[six] {
        if !pool.subnet.contains(gateway) {
            return Err(outside(format!("the default gateway {gateway}")));
        }
        pool.auxiliary.insert(GATEWAYS[six].to_owned(), gateway);
    }
    Ok(pool)
}

impl Networks {
    /// The default network, where there is to be one and what the store knows of it is not what the settings ask for.
    pub(super) fn default_network(&self) -> Result<Option<Network>> {
        let known = self.lock().named(DEFAULT).cloned();
        let settings = &self.settings;
        let Some(link) = &settings.bridge else {
            if let Some(known) = known {
                self.lock().by_id.remove(&known.id);
            }
            return Ok(None);
        };
        let fresh = plain(DEFAULT, Driver::Bridge)?;
        let id = known.as_ref().map_or(fresh.id.clone(), |known| known.id.clone());
        // What nobody names stays what it was.
        let kept = |ipv4: bool| {
            let known = known.as_ref().filter(|known| known.link == *link)?;
            known.pools.iter().find(|pool| pool.subnet.is_ipv4() == ipv4).cloned()
        };
        let mut pools = Vec::new();
        for six in [false, true].into_iter().filter(|six| !six || settings.ipv6) {
            let pool = match (asked(settings, six)?, kept(!six)) {
                (Some(pool), _) => pool,
                (None, Some(pool)) => complete(settings, pool)?,
                (None, None) if six => complete(settings, self.free_pool6(&id)?)?,
                (None, None) => complete(settings, self.free_pool(Some(&id))?)?,
            };
            pools.push(pool);
        }
        let option = |name: &str, value: &str| (format!("com.docker.network.{name}"), value.to_owned());
        let options = [
            option("bridge.default_bridge", "true"),
            option("bridge.enable_icc", if settings.no_icc { "false" } else { "true" }),
            option("bridge.enable_ip_masquerade", if settings.no_masquerade { "false" } else { "true" }),
            option("bridge.host_binding_ipv4", &settings.publish_at.map_or_else(|| "0.0.0.0".to_owned(), |at| at.to_string())),
            option("bridge.name", link),
            option("driver.mtu", &settings.mtu.to_string()),
        ];
        let wanted = Network { id, built_in: true, pools, ipv6: settings.ipv6, options: options.into(), link: link.clone(), ..fresh };
        let same = known.is_some_and(|known| {
            (known.link == wanted.link && known.pools == wanted.pools && known.ipv6 == wanted.ipv6) && known.options == wanted.options
        });
        Ok(Some(wanted).filter(|_| !same))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Settings), expect: &str) {
        let mut settings =
            Settings { bridge: Some("b".into()), bases: dhow_network::ipam::default_bases(), mtu: 1500, ..Settings::default() };
        change(&mut settings);
        let shown = Networks::open(settings, "/nowhere".into(), Vec::new()).map(|(networks, _)| {
            let network = networks.get(DEFAULT).unwrap();
            let pool = |pool: &Pool| {
                let range = pool.range.map(|range| format!(" {range}")).unwrap_or_default();
                let auxiliary: String = pool.auxiliary.iter().map(|(name, address)| format!(" {name}={address}")).collect();
                format!("{} {}{range}{auxiliary};", pool.subnet, pool.gateway)
            };
            network.pools.iter().map(pool).collect::<String>()
        });
        assert_eq!(shown.unwrap_or_else(|error| error.message), expect);
    }

    #[test]
    fn what_the_settings_make_of_it() {
        let at = |text: &str| dhow_network::subnet::parse_prefixed(text);
        let subnet = |text: &str| Some(text.parse().unwrap());
        check(|s| s.bip = at("10.9.0.9/24"), "10.9.0.0/24 10.9.0.9;");
        check(|s| (s.bip, s.fixed[0]) = (at("10.9.0.9/24"), subnet("10.9.0.128/25")), "10.9.0.0/24 10.9.0.9 10.9.0.128/25;");
        check(|s| s.fixed[0] = subnet("10.9.0.0/24"), "10.9.0.0/24 10.9.0.1;");
        let gateway = |s: &mut Settings| (s.bip, s.gateways[0]) = (at("10.9.0.9/24"), Some("10.9.0.1".parse().unwrap()));
        check(gateway, "10.9.0.0/24 10.9.0.9 DefaultGatewayIPv4=10.9.0.1;");
        let both = |s: &mut Settings| (s.bip, s.ipv6, s.fixed[1]) = (at("10.9.0.9/24"), true, subnet("fd09::/64"));
        check(both, "10.9.0.0/24 10.9.0.9;fd09::/64 fd09::1;");
        let both = |s: &mut Settings| (s.bip, s.ipv6, s.bip6) = (at("10.9.0.9/24"), true, at("fd09::7/64"));
        check(both, "10.9.0.0/24 10.9.0.9;fd09::/64 fd09::7;");
        let wrong = |s: &mut Settings| (s.bip, s.fixed[0]) = (at("10.9.0.9/24"), subnet("10.8.0.0/25"));
        check(wrong, "the range 10.8.0.0/25 does not lie in 10.9.0.0/24, the subnet of the default network");
    }
}
