//! Networks as objects, and the places of containers in them: who has which address and which port of the host. What is done about it on the
//! host is in `host.rs` and, for a container's own links, in the shim.

mod attach;
mod builtin;
mod config;
mod events;
mod firewall;
mod host;
mod legacy;
mod live;
mod names;
mod nameservers;
mod options;
mod plan;
mod pool;
mod publish;
mod resolver;
mod sharing;

pub use crate::model::network::dns_names;
pub use crate::model::network::{Driver, Link, Membership, Network, NetworkRequest, Place, PoolRequest, Settings, Wishes};
pub(crate) use attach::{adopt, attach, detach, forget};
pub(crate) use events::{tell, tell_all, tell_left};
pub(crate) use live::{check_connect, connect, disconnect};
pub(crate) use names::has_names;
pub(crate) use nameservers::host_resolv_conf;
pub use options::PlaceOptions;
pub(crate) use publish::{ONE_MESSAGE, Published, Relay, joined, moves, publish, withdraw};
pub(crate) use resolver::{Served, Source, serve as serve_names};

use crate::error::{Error, Kind, Result};
use crate::{clock, ids};
use dhow_network::ipam::{self, Addresses};
// What front ends configure with.
pub use dhow_network::Subnet;
pub use dhow_network::ipam::{Base, Pool, default_bases};
use dhow_network::linked::Linked;
use dhow_network::ports::Taken;
pub use dhow_network::ports::{Mapping, Protocol, Wanted};
pub use dhow_network::subnet::parse_prefixed;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Name of the default network.
pub(crate) const DEFAULT: &str = "bridge";

/// All networks of an engine.
#[derive(Debug)]
pub(crate) struct Networks {
    pub(crate) settings: Settings,
    /// A file that is there while forwarding is on because of us.
    mark: PathBuf,
    inner: Mutex<Inner>,
    host: host::Host,
}

/// Guarded for moments only, never across a system call.
#[derive(Debug, Default)]
struct Inner {
    by_id: BTreeMap<String, Entry>,
    ports: Taken,
    /// What each container publishes.
    published: BTreeMap<String, Vec<Mapping>>,
    /// What links open in the default network, sorted, where its containers are kept apart.
    linked: Vec<Linked>,
    /// Why there can be no bridges here.
    problem: Option<String>,
    /// Why there can be no bridge of a network, by its id.
    broken: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Entry {
    network: Arc<Network>,
    addresses: Vec<Addresses>,
    /// Ids of containers that have a place in it.
    members: Vec<String>,
}

impl Entry {
    fn new(network: Network) -> Self {
        let addresses = network.pools.iter().cloned().map(Addresses::new).collect();
        Self { network: Arc::new(network), addresses, members: Vec::new() }
    }
}

/// Docker's words for a network that is not there.
pub(crate) fn no_such(name: &str) -> Error {
    Error::new(Kind::NotFound, format!("network {name} not found"))
}

impl Networks {
    /// Takes up what the store knows. Nothing on the host is touched yet. Answers the networks that are new and must be saved.
    pub(crate) fn open(settings: Settings, mark: PathBuf, known: Vec<Network>) -> Result<(Self, Vec<Network>)> {
        let mut inner = Inner::default();
        for network in known {
            inner.by_id.insert(network.id.clone(), Entry::new(network));
        }
        let mut fresh = Vec::new();
        for (name, driver) in [("host", Driver::Host), ("none", Driver::Null)] {
            if inner.named(name).is_none() {
                fresh.push(Network { built_in: true, ..plain(name, driver)? });
            }
        }
        let networks = Self { settings, mark, inner: Mutex::new(inner), host: host::Host::default() };
        fresh.extend(networks.default_network()?);
        let mut inner = networks.lock();
        for network in &fresh {
            inner.by_id.insert(network.id.clone(), Entry::new(network.clone()));
        }
        drop(inner);
        Ok((networks, fresh))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A subnet that no other network and no route of the host overlaps.
    fn free_pool(&self, but: Option<&str>) -> Result<Pool> {
        let mut taken = self.host.routes();
        taken.extend(nameservers::subnets());
        let inner = self.lock();
        let others = inner.by_id.values().filter(|entry| Some(entry.network.id.as_str()) != but);
        taken.extend(others.flat_map(|entry| entry.network.pools.iter().map(|pool| pool.subnet)));
        let subnet = ipam::free_subnet(&self.settings.bases, true, &taken);
        let subnet = subnet.ok_or_else(|| Error::new(Kind::Invalid, "all predefined address pools have been fully subnetted"))?;
        Ok(Pool { subnet, range: None, gateway: subnet.nth(1).unwrap_or(subnet.address()), auxiliary: BTreeMap::new() })
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Network>> {
        let mut all: Vec<_> = self.lock().by_id.values().map(|entry| entry.network.clone()).collect();
        all.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// By id, name, or the start of an id that only one has.
    pub(crate) fn get(&self, text: &str) -> Result<Arc<Network>> {
        self.lock().find(text)
    }

    /// What a new container asks for, under the names of its networks where they are there. What is not there is found missing at the start.
    /// Fails where one that is there has no such addresses.
    pub(crate) fn resolve(&self, asked: BTreeMap<String, Membership>) -> Result<BTreeMap<String, Membership>> {
        let inner = self.lock();
        let one = |(key, membership): (String, Membership)| match inner.find(&key) {
            Ok(network) => {
                let wrong = [membership.ipv4, membership.ipv6].into_iter().flatten().filter_map(|a| network.check_address(a).err());
                let wrong: Vec<String> = wrong.collect();
                if !wrong.is_empty() {
                    let text = format!("invalid config for network {key}: invalid endpoint settings:\n{}", wrong.join("\n"));
                    return Err(Error::new(Kind::Invalid, text));
                }
                Ok((network.name.clone(), Membership { network: network.id.clone(), ..membership }))
            }
            Err(_) => Ok((key, membership)),
        };
        asked.into_iter().map(one).collect()
    }

    /// The addresses by which containers reach the host, `host-gateway`.
    pub(crate) fn host_gateways(&self) -> Vec<IpAddr> {
        if !self.settings.host_gateways.is_empty() {
            return self.settings.host_gateways.clone();
        }
        self.lock().named(DEFAULT).map(|network| network.pools.iter().map(|pool| pool.gateway).collect()).unwrap_or_default()
    }
}

impl Inner {
    fn named(&self, name: &str) -> Option<&Arc<Network>> {
        self.by_id.values().map(|entry| &entry.network).find(|network| network.name == name)
    }

    fn find(&self, text: &str) -> Result<Arc<Network>> {
        if let Some(entry) = self.by_id.get(text) {
            return Ok(entry.network.clone());
        }
        if let Some(network) = self.named(text) {
            return Ok(network.clone());
        }
        let mut found = self.by_id.range(text.to_owned()..).take_while(|(id, _)| !text.is_empty() && id.starts_with(text));
        match (found.next(), found.next()) {
            (Some((_, entry)), None) => Ok(entry.network.clone()),
            (Some(_), Some(_)) => {
                let count = self.by_id.keys().filter(|id| id.starts_with(text)).count();
                Err(Error::new(Kind::Invalid, format!("network {text} is ambiguous ({count} matches found based on ID prefix)")))
            }
            (None, _) => Err(no_such(text)),
        }
    }
}

impl Networks {
    /// Makes a network in the books.
    pub(crate) fn add(&self, request: NetworkRequest) -> Result<Network> {
        let network = self.plan(request)?;
        let mut inner = self.lock();
        // Another one may have been as fast.
        inner.check_new(&network)?;
        inner.by_id.insert(network.id.clone(), Entry::new(network.clone()));
        Ok(network)
    }

    /// Forgets one.
    pub(crate) fn forget(&self, id: &str) {
        let mut inner = self.lock();
        inner.by_id.remove(id);
        inner.broken.remove(id);
    }

    /// Forgets one that nobody has a place in, or answers who has.
    pub(crate) fn take_out(&self, id: &str) -> std::result::Result<(), Vec<String>> {
        let mut inner = self.lock();
        match inner.by_id.get(id) {
            Some(entry) if !entry.members.is_empty() => Err(entry.members.clone()),
            _ => {
                inner.by_id.remove(id);
                Ok(())
            }
        }
    }

    /// Takes one back that was forgotten just now.
    pub(crate) fn put_back(&self, network: &Network) {
        self.lock().by_id.insert(network.id.clone(), Entry::new(network.clone()));
    }
}

/// A network without anything.
fn plain(name: &str, driver: Driver) -> Result<Network> {
    Ok(Network {
        id: ids::fresh()?,
        name: name.to_owned(),
        created: clock::now(),
        driver,
        built_in: false,
        internal: false,
        attachable: false,
        ipv4: true,
        ipv6: false,
        pools: Vec::new(),
        chosen: false,
        ipam_options: None,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        link: String::new(),
        made_link: false,
        config_only: false,
        config_from: String::new(),
        asked: Vec::new(),
    })
}
