//! The packet filter: the engine's table, what is published in it, and the tables of others that stand in its way.

use super::host::failed;
use super::{Driver, Networks, legacy};
use crate::error::{Error, Result};
use dhow_network::linked::{self, LINKED, Linked};
use dhow_network::nft::{self, Family};
use dhow_network::ports::Mapping;
use dhow_network::published::{self, SETS};
use dhow_network::table::{self, Contents};
use dhow_network::{conntrack, cooperate};
use std::net::IpAddr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

impl Networks {
    fn contents(&self) -> Contents {
        let only_ours = [0, 1].map(|family| self.host.forwards[family].load(Ordering::Relaxed));
        let (networks, mappings, linked) = {
            let inner = self.lock();
            let networks: Vec<_> = inner.by_id.values().filter_map(|entry| entry.network.filtered(&self.settings)).collect();
            (networks, inner.published.values().flatten().cloned().collect::<Vec<_>>(), inner.linked.clone())
        };
        let open = opened(&networks, &mappings);
        Contents { networks, mappings, open, linked: Some(linked).filter(|_| self.settings.no_icc), only_ours }
    }

    /// Puts the whole table, in one transaction.
    pub(super) fn put_table(&self) -> Result<()> {
        if self.settings.no_table {
            return Ok(());
        }
        self.host.with_filter(|socket| {
            let name = &self.settings.table;
            nft::commit(socket, nft::put(&table::table(name, &self.contents())), "put the table", name)?;
            self.host.put.store(true, Ordering::Relaxed);
            Ok(())
        })
    }

    /// To hear of what others do to the packet filter.
    pub(crate) fn watch(&self) -> Result<nft::Watch> {
        nft::Watch::new().map_err(|e| Error::internal("watch", "the packet filter", e))
    }

    /// Puts the table again where somebody else has taken from it. True where others have changed what packets go by elsewhere.
    pub(crate) fn restore(&self, watch: &mut nft::Watch) -> Result<bool> {
        let own = self.host.own.load(Ordering::Relaxed);
        let news = watch.news(&self.settings.table, Family::Inet, own).map_err(|e| Error::internal("watch", "the packet filter", e))?;
        let put = self.host.put.load(Ordering::Relaxed);
        if news.lost && put {
            tracing::warn!(table = self.settings.table, "somebody has changed the packet filter's table: it is put again");
            self.put_table()?;
        }
        Ok(news.elsewhere && put)
    }

    /// Sees to it that what our table lets pass is not dropped by somebody else's, or finds out that it is.
    pub(crate) fn cooperate(&self) {
        if self.settings.no_table {
            return;
        }
        let (own, wanted) = (&self.settings.table, self.settings.cooperate);
        match self.host.with_filter(|socket| cooperate::apply(socket, own, wanted)) {
            Ok(found) => {
                let mut known = self.host.obstacles.lock().unwrap_or_else(PoisonError::into_inner);
                for obstacle in found.iter().filter(|obstacle| !known.contains(obstacle)) {
                    match &obstacle.opened {
                        Some(at) => {
                            tracing::info!(chain = obstacle.chain, by = obstacle.by, at, "it drops what it does not know: a rule lets pass")
                        }
                        None => tracing::warn!(chain = obstacle.chain, by = obstacle.by, "it drops what containers send and are sent"),
                    }
                }
                *known = found;
            }
            Err(error) => tracing::warn!(%error, "whether the packet filters of others stand in the way is not known"),
        }
    }

    /// Takes away what an engine before us has put, where the packet filter is to be left alone.
    pub(super) fn leave_alone(&self) {
        self.leave_others();
        let name = &self.settings.table;
        let removed = self.host.with_filter(|socket| match nft::tables(socket, Family::Inet)?.contains(name) {
            true => nft::commit(socket, nft::remove(name, Family::Inet), "remove the table", name),
            false => Ok(()),
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "whether the packet filter has a table of ours is not known");
        }
    }

    /// Takes our rules from the chains of others.
    pub(super) fn leave_others(&self) {
        let left = self.host.with_filter(|socket| cooperate::apply(socket, &self.settings.table, false));
        if let Err(error) = left {
            tracing::warn!(%error, "a rule was left in the chains of others");
        }
        self.host.obstacles.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What of other people's packet filters stands in the way of what containers send and are sent: chains, and whether a rule of ours
    /// lets pass there. Nothing where there are no bridge networks.
    pub(crate) fn obstacles(&self) -> Vec<(String, Option<String>)> {
        if !self.host.put.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let known = self.host.obstacles.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = known.iter().map(|obstacle| (obstacle.chain.clone(), obstacle.opened.clone())).collect();
        drop(known);
        match legacy::obstacles() {
            Ok(programs) => all.extend(programs.into_iter().map(|program| (format!("FORWARD of {program}"), None))),
            Err(error) => tracing::warn!(%error, "whether iptables-legacy stands in the way is not known"),
        }
        all
    }

    /// Publishes ports, or takes them back.
    pub(super) fn change_ports(&self, mappings: &[Mapping], add: bool) -> Result<()> {
        if self.settings.no_table {
            return Ok(());
        }
        let open = {
            let inner = self.lock();
            let networks = inner.by_id.values().filter(|entry| entry.network.driver == Driver::Bridge);
            let opening: Vec<_> =
                networks.filter_map(|entry| entry.network.filtered(&self.settings)).filter(table::Network::opens).collect();
            opened(&opening, mappings)
        };
        let name = &self.settings.table;
        let mut messages = Vec::new();
        for ((kind, elements), open) in SETS.iter().zip(published::elements(mappings)).zip(published::open(&open)) {
            messages.extend(nft::change_elements(Family::Inet, name, kind.name, &elements, add));
            messages.extend(nft::change_elements(Family::Inet, name, kind.name, &open, add));
        }
        if messages.is_empty() {
            return Ok(());
        }
        let operation = if add { "publish ports in the table" } else { "take ports from the table" };
        let done = self.host.with_filter(|socket| nft::commit(socket, messages, operation, name));
        let done = match done {
            // Somebody flushed the table, or took it away: it is put again, with what is published now.
            Err(error) if is_missing(&error) => self.put_table(),
            other => other,
        };
        // Flows of datagrams that were judged before would go on as they did.
        done.and_then(|()| if add { conntrack::forget_ports(mappings).map_err(failed) } else { Ok(()) })
    }

    /// Opens what links open in the default network, and nothing else. `wanted` is sorted.
    pub(crate) fn open_links(&self, wanted: Vec<Linked>) -> Result<()> {
        let name = &self.settings.table;
        let changed = self.host.with_filter(|socket| {
            // Within the filter's lock, so that what is kept and what the table has change in the same order.
            let before = std::mem::replace(&mut self.lock().linked, wanted.clone());
            let but = |of: &[Linked], others: &[Linked]| of.iter().filter(|one| !others.contains(one)).copied().collect::<Vec<_>>();
            let mut messages = Vec::new();
            for (changed, add) in [(but(&before, &wanted), false), (but(&wanted, &before), true)] {
                messages.extend(nft::change_elements(Family::Inet, name, LINKED, &linked::elements(&changed), add));
            }
            match self.host.put.load(Ordering::Relaxed) && !messages.is_empty() {
                true => nft::commit(socket, messages, "open links in the table", name),
                false => Ok(()),
            }
        });
        match changed {
            Err(error) if is_missing(&error) => self.put_table(),
            other => other,
        }
    }

    /// Forgets the connections of addresses that are about to be somebody else's.
    pub(super) fn forget_flows(&self, addresses: &[IpAddr]) {
        if let Err(error) = conntrack::forget_addresses(addresses) {
            tracing::warn!(%error, "connections of a container that is gone may be tracked still");
        }
    }
}

/// Those of these ports that are reached by the containers' own addresses.
fn opened(networks: &[table::Network], mappings: &[Mapping]) -> Vec<Mapping> {
    let of_network = |mapping: &&Mapping| {
        let family = usize::from(mapping.target.is_ipv6());
        networks.iter().any(|network| {
            let opens = network.modes[family] == table::Mode::Routed || !network.trusted.is_empty() || network.direct;
            opens && network.subnets.iter().any(|subnet| subnet.contains(mapping.target))
        })
    };
    mappings.iter().filter(of_network).cloned().collect()
}

fn is_missing(error: &Error) -> bool {
    let source = error.source.as_ref().and_then(|source| source.downcast_ref::<dhow_network::Error>());
    source.is_some_and(|error| error.source.kind() == std::io::ErrorKind::NotFound)
}
