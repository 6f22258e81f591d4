//! Networks on the host: bridges, forwarding, the packet filter's table.

use super::{DEFAULT, Driver, Network, Networks, Pool};
use crate::error::{Error, Kind, Result};
use dhow_network::cooperate::Obstacle;
use dhow_network::netlink::Socket;
use dhow_network::nft::{self, Family};
use dhow_network::{Subnet, endpoint, forward, limits, link, linked};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// What the engine has of the host.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// One transaction after the other: each is computed from what the one before left. Held for microseconds, as the kernel holds its own.
    filter: Mutex<Option<Socket>>,
    /// Its number; 0 before it was opened.
    pub(super) own: AtomicU32,
    /// The table is there.
    pub(super) put: AtomicBool,
    /// We switched forwarding on, of IPv4 and of IPv6.
    pub(super) forwards: [AtomicBool; 2],
    /// What of others' stands in the way of what is forwarded.
    pub(super) obstacles: Mutex<Vec<Obstacle>>,
}

pub(super) fn failed(error: dhow_network::Error) -> Error {
    Error { kind: Kind::Internal, message: error.to_string(), source: Some(Box::new(error)) }
}

impl Host {
    /// Where the host's routes lead.
    pub(super) fn routes(&self) -> Vec<Subnet> {
        let routes = Socket::route().map_err(|e| e.to_string()).and_then(|mut socket| link::routes(&mut socket).map_err(|e| e.to_string()));
        match routes {
            Ok(routes) => routes.into_iter().map(|(subnet, _)| subnet).collect(),
            Err(error) => {
                tracing::warn!(error, "the host's routes are unknown: a network may overlap one");
                Vec::new()
            }
        }
    }

    /// The route of the host that a subnet overlaps, with the link that it leads to.
    pub(super) fn route_beside(&self, subnet: &Subnet) -> Option<(Subnet, String)> {
        let mut socket = Socket::route().ok()?;
        let (route, index) = link::routes(&mut socket).ok()?.into_iter().find(|(route, _)| route.overlaps(subnet))?;
        let links = link::all(&mut socket).ok()?;
        Some((route, links.into_iter().find(|link| link.index == index).map(|link| link.name).unwrap_or_default()))
    }

    pub(super) fn with_filter<T>(&self, act: impl FnOnce(&mut Socket) -> dhow_network::Result<T>) -> Result<T> {
        let mut filter = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = match filter.take() {
            Some(socket) => filter.insert(socket),
            None => {
                let open = |e| Error::internal("open", "a netlink socket of the packet filter", e);
                let socket = Socket::netfilter().map_err(open)?;
                self.own.store(socket.port().map_err(open)?, Ordering::Relaxed);
                filter.insert(socket)
            }
        };
        act(socket).map_err(failed)
    }
}

impl Networks {
    /// Makes the host what the networks need: bridges with their addresses, forwarding, the table. Removes links that nobody has. Done once
    /// all running containers were taken up.
    /// `known` are the names of the links that containers have.
    pub(crate) fn bring_up(&self, known: &HashSet<String>) {
        self.bring_parents_up();
        let bridges: Vec<_> = self.all().into_iter().filter(|network| network.driver == Driver::Bridge).collect();
        if bridges.is_empty() {
            return;
        }
        // One that cannot be here is no hindrance to the others.
        for network in &bridges {
            if let Err(error) = self.make_bridge(network) {
                tracing::warn!(network = network.name, %error, "this network is not possible here");
                self.lock().broken.insert(network.id.clone(), error.message);
            }
        }
        if self.settings.no_table {
            self.leave_alone();
        }
        let done = (|| {
            self.forward(false)?;
            if bridges.iter().any(|network| network.ipv6) {
                self.forward(true)?;
            }
            self.put_table()
        })();
        let problem = done.err().map(|error| error.message);
        if let Some(problem) = &problem {
            tracing::warn!(problem, "there are no bridge networks");
        }
        self.lock().problem = problem;
        self.cooperate();
        self.sweep_ports(&bridges, known);
        self.sweep_limits(known);
    }

    /// Makes the links again that networks have of their own, after a restart of the machine.
    fn bring_parents_up(&self) {
        for network in self.all().into_iter().filter(|network| network.driver.shares()) {
            if let Err(error) = self.make_parent(&network) {
                tracing::warn!(network = network.name, %error, "its parent link is missing");
            }
        }
    }

    /// The table that limits what comes from a port. No name of an engine's own table has such a line in it.
    pub(super) fn limits_table(&self, port: &str) -> String {
        format!("{}_{port}", self.settings.table)
    }

    /// Takes the limits of a place away, where it has such that do not go with its link.
    pub(super) fn unlimit(&self, membership: &super::Membership) {
        let Some(place) = &membership.place else { return };
        if super::PlaceOptions::of(membership).bandwidth[1] > 0
            && let Err(error) = limits::remove(&self.limits_table(&place.port))
        {
            tracing::warn!(port = place.port, %error, "its limits were left behind");
        }
    }

    fn sweep_limits(&self, known: &HashSet<String>) {
        if let Err(error) = limits::sweep(&self.limits_table(""), &|port| known.contains(port)) {
            tracing::debug!(%error, "limits of containers that are gone may be left");
        }
    }

    /// Tries again to make a network that was not possible when the engine came up.
    pub(super) fn mend(&self, network: &Network) -> Result<()> {
        if !self.lock().broken.contains_key(&network.id) {
            return Ok(());
        }
        self.make_bridge(network).map_err(|error| error.prefixed(&format!("network {} is not possible here: ", network.name)))?;
        self.lock().broken.remove(&network.id);
        Ok(())
    }

    /// Sees to it that the host forwards. That it was we who switched it on is kept for the engine after us: what is no network's is not
    /// forwarded then.
    fn forward(&self, ipv6: bool) -> Result<()> {
        let mark = self.mark(ipv6);
        if self.settings.no_forwarding {
            return if mark.exists() { self.stop_forwarding(ipv6) } else { Ok(()) };
        }
        if forward::enable(ipv6).map_err(failed)? {
            std::fs::write(&mark, "").map_err(|e| Error::internal("write", mark.display(), e))?;
        }
        self.host.forwards[usize::from(ipv6)].store(mark.exists(), Ordering::Relaxed);
        Ok(())
    }

    fn mark(&self, ipv6: bool) -> std::path::PathBuf {
        if ipv6 { self.mark.with_extension("6") } else { self.mark.clone() }
    }

    /// Puts what a new network needs on the host; takes it back where that fails.
    pub(crate) fn raise(&self, network: &Network) -> Result<()> {
        if network.driver != Driver::Bridge {
            return if network.driver.shares() { self.make_parent(network) } else { Ok(()) };
        }
        self.make_bridge(network)?;
        let rest = if network.ipv6 { self.forward(true) } else { Ok(()) }.and_then(|()| self.put_table());
        self.cooperate();
        rest.inspect_err(|_| {
            if let Err(error) = self.delete_bridge(network) {
                tracing::warn!(network = network.name, %error, "its bridge was left behind");
            }
        })
    }

    /// Takes away what a network, forgotten by now, has on the host. Goes on after errors.
    pub(crate) fn lower(&self, network: &Network) -> Result<()> {
        if network.driver != Driver::Bridge {
            return if network.driver.shares() { self.delete_parent(network) } else { Ok(()) };
        }
        let table = self.put_table();
        self.delete_bridge(network).and(table)
    }

    /// Switches forwarding off, where we switched it on and nobody else filters what is forwarded.
    fn stop_forwarding(&self, ipv6: bool) -> Result<()> {
        let others = self
            .host
            .with_filter(|socket| Ok(!nft::tables(socket, Family::Inet)?.is_empty() || !nft::tables(socket, Family::Ip)?.is_empty()));
        if !others? {
            forward::disable(ipv6).map_err(failed)?;
        }
        let mark = self.mark(ipv6);
        std::fs::remove_file(&mark).map_err(|e| Error::internal("remove", mark.display(), e))
    }

    /// Fails where bridges cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.lock().problem {
            Some(problem) => Err(Error::new(Kind::Internal, format!("bridge networks are not possible here: {problem}"))),
            None => Ok(()),
        }
    }

    /// Makes a bridge what its network says.
    pub(super) fn make_bridge(&self, network: &Network) -> Result<()> {
        let mut socket = Socket::route().map_err(|e| Error::internal("open", "a netlink socket", e))?;
        let name = &network.link;
        let index = match link::find(&mut socket, name).map_err(failed)? {
            Some(found) if found.kind == "bridge" => {
                link::set_up(&mut socket, found.index).map_err(failed)?;
                found.index
            }
            Some(found) => {
                return Err(Error::new(Kind::Conflict, format!("the link {name} is there and is no bridge, but {}", found.kind)));
            }
            None => {
                let mac = match network.pools.iter().map(|pool| pool.gateway).next() {
                    Some(std::net::IpAddr::V4(v4)) => endpoint::mac_of(v4),
                    _ => [0x02, 0x42, 0, 0, 0, 1],
                };
                link::add_bridge(&mut socket, name, mac, network.mtu().unwrap_or(self.settings.mtu)).map_err(failed)?;
                link::find(&mut socket, name).map_err(failed)?.map(|link| link.index).unwrap_or_default()
            }
        };
        guard_bridge(name, network.ipv6)?;
        if network.name == DEFAULT {
            linked::answer_for_neighbours(name, !network.icc()).map_err(failed)?;
        }
        let has_host = |pool: &&Pool| network.has_host(pool.subnet.is_ipv4());
        let wanted: Vec<_> = network.pools.iter().filter(has_host).map(|pool| (pool.gateway, pool.subnet.prefix())).collect();
        for (address, prefix) in link::addresses(&mut socket, index).map_err(failed)? {
            let foreign = address.is_ipv4() && !wanted.contains(&(address, prefix));
            if foreign {
                link::delete_address(&mut socket, index, address, prefix).map_err(failed)?;
            }
        }
        wanted.iter().try_for_each(|(address, prefix)| link::add_address(&mut socket, index, *address, *prefix)).map_err(failed)
    }

    /// Takes a bridge away. Another link of its name is not ours.
    pub(super) fn delete_bridge(&self, network: &Network) -> Result<()> {
        let mut socket = Socket::route().map_err(|e| Error::internal("open", "a netlink socket", e))?;
        match link::find(&mut socket, &network.link).map_err(failed)? {
            Some(found) if found.kind == "bridge" => link::delete(&mut socket, &network.link).map_err(failed),
            _ => Ok(()),
        }
    }

    /// Removes ports of our bridges that no container has: their namespace may live on without one.
    fn sweep_ports(&self, bridges: &[std::sync::Arc<Network>], known: &HashSet<String>) {
        let swept = Socket::route().map_err(|e| e.to_string()).and_then(|mut socket| {
            let links = link::all(&mut socket).map_err(|e| e.to_string())?;
            let masters: HashSet<u32> =
                links.iter().filter(|link| bridges.iter().any(|network| network.link == link.name)).map(|link| link.index).collect();
            let stale = links.iter().filter(|link| link.kind == "veth" && masters.contains(&link.master) && !known.contains(&link.name));
            for link in stale {
                link::delete(&mut socket, &link.name).map_err(|e| e.to_string())?;
            }
            Ok(())
        });
        if let Err(error) = swept {
            tracing::warn!(error, "links of containers that are gone may be left");
        }
    }

    /// Takes away all that the networks have on the host, when no container runs. Goes on after errors.
    pub(crate) fn take_down(&self) {
        if self.host.put.swap(false, Ordering::Relaxed) {
            self.leave_others();
            let name = &self.settings.table;
            let removed = self.host.with_filter(|socket| nft::commit(socket, nft::remove(name, Family::Inet), "remove the table", name));
            if let Err(error) = removed {
                tracing::warn!(%error, "the packet filter's table was not removed");
            }
        }
        for network in self.all().iter().filter(|network| network.driver == Driver::Bridge || network.made_link) {
            if let Err(error) = self.delete_bridge(network) {
                tracing::warn!(network = network.name, %error, "its bridge was not removed");
            }
        }
        for ipv6 in [false, true] {
            if self.host.forwards[usize::from(ipv6)].swap(false, Ordering::Relaxed)
                && let Err(error) = self.stop_forwarding(ipv6)
            {
                tracing::warn!(%error, ipv6, "forwarding was not switched off again");
            }
        }
    }
}

/// The host believes nothing that containers tell of routers (CVE-2020-13401), and has no address of its own making in a network without
/// IPv6. A kernel without IPv6 has no such files.
fn guard_bridge(name: &str, ipv6: bool) -> Result<()> {
    for (setting, value) in [("accept_ra", "0"), ("disable_ipv6", if ipv6 { "0" } else { "1" })] {
        let path = format!("/proc/sys/net/ipv6/conf/{name}/{setting}");
        match std::fs::write(&path, value) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::internal("write", path, error)),
            _ => {}
        }
    }
    Ok(())
}
