//! Networks whose containers share the wire of a link of the host: macvlan and ipvlan.

use super::Networks;
use super::host::failed;
use crate::error::{Error, Kind, Result};
use crate::ids;
use crate::model::network::{Driver, Network};
use dhow_network::link::{self, Sharing};
use dhow_network::netlink::Socket;
use std::collections::BTreeMap;

fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::Invalid, message))
}

/// The mode that the options ask for.
fn sharing(driver: Driver, options: &BTreeMap<String, String>) -> Result<Option<Sharing>> {
    let option = |name: &str| options.get(name).map(String::as_str).unwrap_or_default();
    match driver {
        Driver::Macvlan => Ok(Some(Sharing::Macvlan(match option("macvlan_mode") {
            "private" => 1,
            "vepa" => 2,
            "" | "bridge" => 4,
            PASSTHRU => 8,
            mode => {
                return invalid(format!("requested macvlan mode '{mode}' is not valid, 'bridge' mode is the macvlan driver default"));
            }
        }))),
        Driver::Ipvlan => {
            let mode = match option("ipvlan_mode") {
                "" | "l2" => 0,
                "l3" => 1,
                "l3s" => 2,
                mode => return invalid(format!("requested ipvlan mode '{mode}' is not valid, 'l2' mode is the ipvlan driver default")),
            };
            let flags = match option("ipvlan_flag") {
                "" | "bridge" => 0,
                "private" => 1,
                "vepa" => 2,
                flag => {
                    return invalid(format!("requested ipvlan flag '{flag}' is not valid, 'bridge' is the ipvlan driver default"));
                }
            };
            Ok(Some(Sharing::Ipvlan(mode, flags)))
        }
        _ => Ok(None),
    }
}

/// The mode of macvlan in which one container has the parent alone.
const PASSTHRU: &str = "passthru";

impl Network {
    /// How its containers share the wire of its link; `None`: they do not.
    pub(crate) fn sharing(&self) -> Option<Sharing> {
        sharing(self.driver, &self.options).ok().flatten()
    }

    /// Everything is reached by the link itself: the kernel routes at layer 3.
    pub(crate) fn by_link(&self) -> bool {
        matches!(self.sharing(), Some(Sharing::Ipvlan(1 | 2, _)))
    }

    /// Its containers have the hardware address of their parent.
    pub(crate) fn has_parents_mac(&self) -> bool {
        matches!(self.sharing(), Some(Sharing::Ipvlan(..) | Sharing::Macvlan(8)))
    }
}

/// A VLAN's link by its name: the other link, and the number.
fn vlan(name: &str) -> std::result::Result<(&str, u16), String> {
    if !name.contains('.') {
        return Err(format!("invalid subinterface vlan name {name}, example formatting is eth0.10"));
    }
    let mut parts = name.split('.');
    let (Some(parent), Some(id), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received {name}"));
    };
    let id: i64 = id.parse().map_err(|_| format!("unable to parse a valid vlan id from: {id} (ex. eth0.10 for vlan 10)"))?;
    match u16::try_from(id).ok().filter(|id| (1..=4094).contains(id)) {
        Some(id) => Ok((parent, id)),
        None => Err(format!("vlan id must be between 1-4094, received: {id}")),
    }
}

/// The name of a link that leads nowhere, for a network without a parent.
fn dummy(driver: Driver, id: &str) -> String {
    format!("{}-{}", if driver == Driver::Ipvlan { "di" } else { "dm" }, ids::short(id))
}

/// The parent link of a network that is about to be, and whether it goes with the network. `there`: the link is on the host.
fn parent(network: &Network, others: &[&Network], there: bool) -> Result<(String, bool)> {
    let Some(own) = sharing(network.driver, &network.options)? else { return Ok((String::new(), false)) };
    let name = network.option("parent").unwrap_or_default();
    if name.is_empty() {
        return Ok((dummy(network.driver, &network.id), true));
    }
    if name == "lo" {
        return invalid(format!("loopback interface is not a valid {} parent link", network.driver.as_str()));
    }
    if name.len() > link::NAME_MAX || name.contains('/') {
        return invalid(format!("invalid parent interface name: {name:?}"));
    }
    let beside: Vec<&&Network> = others.iter().filter(|other| other.driver.shares() && other.link == name).collect();
    for other in &beside {
        // Several may share a wire in the same way, but not one that somebody wants alone.
        let alone = |of: Option<Sharing>| of == Some(Sharing::Macvlan(8));
        let fits = match (own, other.sharing()) {
            (Sharing::Macvlan(_), Some(Sharing::Macvlan(_))) => !alone(Some(own)) && !alone(other.sharing()),
            (own, other) => other == Some(own),
        };
        if !fits {
            let text = format!("network {} is already using parent interface {name}", dummy(other.driver, &other.id));
            return Err(Error::new(Kind::Forbidden, text));
        }
    }
    if !there && beside.is_empty() {
        vlan(name).map_err(|text| Error::new(Kind::Invalid, text))?;
    }
    Ok((name.to_owned(), !there || beside.iter().any(|other| other.made_link)))
}

fn route() -> Result<Socket> {
    Socket::route().map_err(|e| Error::internal("open", "a netlink socket", e))
}

impl Networks {
    /// Finds the parent link of a network that is about to be.
    pub(super) fn plan_parent(&self, network: &mut Network) -> Result<()> {
        let name = network.option("parent").unwrap_or_default();
        let there = !name.is_empty() && link::find(&mut route()?, name).map_err(failed)?.is_some();
        let inner = self.lock();
        let others: Vec<&Network> = inner.by_id.values().map(|entry| entry.network.as_ref()).collect();
        let (link, made) = parent(network, &others, there)?;
        drop(inner);
        (network.link, network.made_link) = (link, made);
        Ok(())
    }

    /// Makes the parent link, where it goes with the network and is not there. Fails where the kernel knows no such networks.
    pub(super) fn make_parent(&self, network: &Network) -> Result<()> {
        let mut socket = route()?;
        let kind = network.driver.as_str();
        if !link::knows(&mut socket, kind).map_err(failed)? {
            return Err(Error::new(
                Kind::NotImplemented,
                format!("the kernel of this host has no {kind}, which the network {} needs", network.name),
            ));
        }
        let name = &network.link;
        if !network.made_link || link::find(&mut socket, name).map_err(failed)?.is_some() {
            return Ok(());
        }
        if *name == dummy(network.driver, &network.id) {
            return link::add_dummy(&mut socket, name).map_err(failed);
        }
        let (parent, id) = vlan(name).map_err(|text| Error::new(Kind::Invalid, text))?;
        let found = link::find(&mut socket, parent).map_err(failed)?;
        let found =
            found.ok_or_else(|| Error::new(Kind::Invalid, format!("-o parent interface does was not found on the host: {parent}")))?;
        link::add_vlan(&mut socket, name, found.index, id).map_err(failed)
    }

    /// Takes the parent link away, where it goes with the network and no other one needs it.
    pub(super) fn delete_parent(&self, network: &Network) -> Result<()> {
        let shared = self.lock().by_id.values().any(|entry| entry.network.id != network.id && entry.network.link == network.link);
        if !network.made_link || shared {
            return Ok(());
        }
        link::delete(&mut route()?, &network.link).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(driver: Driver, options: &[(&str, &str)]) -> Network {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Network { id: "0123456789abcdef".into(), options, ..super::super::plain("n", driver).unwrap() }
    }

    fn check(driver: Driver, options: &[(&str, &str)], others: &[&Network], there: bool, expect: &str) {
        let got = parent(&network(driver, options), others, there);
        let got = got.map_or_else(|error| error.message, |(name, made)| format!("{name} {made}"));
        assert_eq!(got, expect, "{options:?}");
    }

    #[test]
    fn parents() {
        let mac = |options: &[(&str, &str)], there, expect: &str| check(Driver::Macvlan, options, &[], there, expect);
        mac(&[], false, "dm-0123456789ab true");
        check(Driver::Ipvlan, &[("foo", "bar")], &[], false, "di-0123456789ab true");
        mac(&[("parent", "eth0")], true, "eth0 false");
        mac(&[("parent", "eth0.10")], true, "eth0.10 false");
        mac(&[("parent", "eth0.10")], false, "eth0.10 true");
        mac(&[("parent", "eth0")], false, "invalid subinterface vlan name eth0, example formatting is eth0.10");
        mac(&[("parent", "lo")], true, "loopback interface is not a valid macvlan parent link");
        mac(&[("parent", "eth0.x")], false, "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)");
        mac(&[("parent", "eth0.9999")], false, "vlan id must be between 1-4094, received: 9999");
        mac(
            &[("parent", "a.1.2")],
            false,
            "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received a.1.2",
        );
        mac(&[("macvlan_mode", "foo")], false, "requested macvlan mode 'foo' is not valid, 'bridge' mode is the macvlan driver default");
        check(
            Driver::Ipvlan,
            &[("ipvlan_mode", "l9")],
            &[],
            false,
            "requested ipvlan mode 'l9' is not valid, 'l2' mode is the ipvlan driver default",
        );
        check(
            Driver::Ipvlan,
            &[("ipvlan_flag", "x")],
            &[],
            false,
            "requested ipvlan flag 'x' is not valid, 'bridge' is the ipvlan driver default",
        );
    }

    #[test]
    fn several_on_one_wire() {
        let on = |driver, options: &[(&str, &str)]| {
            let made_link = options.contains(&("made", ""));
            Network { id: "fedcba9876543210".into(), link: "eth0.10".into(), made_link, ..network(driver, options) }
        };
        let taken = "network dm-fedcba987654 is already using parent interface eth0.10";
        let plain = on(Driver::Macvlan, &[("made", "")]);
        check(Driver::Macvlan, &[("parent", "eth0.10")], &[&plain], true, "eth0.10 true");
        check(Driver::Macvlan, &[("parent", "eth0.10"), ("macvlan_mode", "passthru")], &[&plain], true, taken);
        check(Driver::Ipvlan, &[("parent", "eth0.10")], &[&plain], true, taken);
        check(Driver::Macvlan, &[("parent", "eth0.10")], &[&on(Driver::Macvlan, &[("macvlan_mode", "passthru")])], true, taken);
        let l3 = on(Driver::Ipvlan, &[("ipvlan_mode", "l3")]);
        check(Driver::Ipvlan, &[("parent", "eth0.10"), ("ipvlan_mode", "l3")], &[&l3], true, "eth0.10 false");
        let other = "network di-fedcba987654 is already using parent interface eth0.10";
        check(Driver::Ipvlan, &[("parent", "eth0.10"), ("ipvlan_mode", "l2")], &[&l3], true, other);
    }
}
