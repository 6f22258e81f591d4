//! A container's places in networks, changed between its start and its end.

use super::actor::Actor;
use super::machine::is_active;
use crate::error::{Error, Kind, Result};
use crate::model::network::{Driver, Membership, Network};
use crate::model::{NetworkMode, Status};
use crate::network::{Published, Relay};
use crate::{network, sandbox};
use dhow_shim::handle;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Actor {
    /// Gives it a place in a network: now where it runs, at its next start where it does not.
    pub(super) async fn connect(&mut self, wanted: Arc<Network>, asked: Membership) -> Result<()> {
        network::check_connect(&self.container, &wanted)?;
        let asked = Membership { network: wanted.id.clone(), place: None, ..asked };
        if !self.has_process() {
            self.container.networks.insert(wanted.name.clone(), asked);
            return self.networks_changed().await;
        }
        self.pinned().await?;
        let (parts, container, at) = (self.parts.clone(), self.container.clone(), wanted.clone());
        let connected = tokio::task::spawn_blocking(move || network::connect(&parts.networks, &container, &at, asked)).await;
        let membership = connected.map_err(|e| Error::internal("connect", &self.container.name, e))??;
        let before = self.container.networks.clone();
        self.container.networks.insert(wanted.name.clone(), membership);
        let moved = self.move_ports(&before).await;
        self.networks_changed().await?;
        self.serve_names().await;
        network::tell(&self.parts.events, &wanted, "connect", Some(&self.container.id));
        moved
    }

    /// Takes its place in a network away. `gone`: the network's name, where there is no such network any more.
    pub(super) async fn disconnect(&mut self, wanted: Option<Arc<Network>>, name: &str) -> Result<()> {
        if self.has_process()
            && self.container.request.host.network == NetworkMode::Host
            && wanted.as_ref().is_some_and(|network| network.driver == Driver::Host)
        {
            let text = "container cannot be connected to host network with other networks, or disconnected from it";
            return Err(Error::new(Kind::Forbidden, text));
        }
        let key = wanted.as_ref().map_or(name, |network| network.name.as_str()).to_owned();
        let Some(membership) = self.container.networks.get(&key).cloned() else {
            let the = if self.has_process() { "" } else { "the " };
            return Err(Error::new(Kind::Internal, format!("container {} is not connected to {the}network {key}", self.container.id)));
        };
        if self.has_process() && membership.place.is_some() {
            self.pinned().await?;
            let (parts, container, old) = (self.parts.clone(), self.container.clone(), membership.clone());
            let done = tokio::task::spawn_blocking(move || network::disconnect(&parts.networks, &container, &old)).await;
            done.map_err(|e| Error::internal("disconnect", &self.container.name, e))??;
        }
        let before = self.container.networks.clone();
        self.container.networks.remove(&key);
        let moved = self.move_ports(&before).await;
        self.networks_changed().await?;
        if let Some(network) = &wanted {
            network::tell(&self.parts.events, network, "disconnect", Some(&self.container.id));
        }
        moved
    }

    /// Published ports lead to the network that has the way to everywhere: where that is another one now than with the places `before`,
    /// they are published anew, under the same numbers where they may be.
    async fn move_ports(&mut self, before: &BTreeMap<String, Membership>) -> Result<()> {
        let networks = &self.parts.networks;
        let asks = !self.container.request.network.ports.is_empty();
        let Some(shim) = self.live.as_ref().filter(|_| asks).map(|live| live.shim.clone()) else { return Ok(()) };
        if !self.has_process() || !network::moves(networks, before, &self.container.networks) {
            return Ok(());
        }
        let refused = |e: handle::Error| Error::internal("move the ports of", &self.container.name, e);
        // The sockets first: their numbers are free then.
        shim.relays(Vec::new(), Vec::new(), true).await.map_err(refused)?;
        let (parts, mut container) = (self.parts.clone(), self.container.clone());
        let old = std::mem::take(&mut container.published);
        let published = tokio::task::spawn_blocking(move || {
            network::withdraw(&parts.networks, &container.id, &old);
            network::publish(&parts.networks, &container, &container.networks, &old)
        });
        let published = published.await.map_err(|e| Error::internal("move the ports of", &self.container.name, e))?;
        self.container.published.clear();
        let Published { mappings, relays } = published?;
        self.container.published = mappings;
        self.send_relays(relays).await;
        Ok(())
    }

    /// Gives the shim sockets of published ports. Without them the packet filter still translates.
    pub(super) async fn send_relays(&mut self, relays: Vec<Relay>) {
        let Some(shim) = self.live.as_ref().map(|live| live.shim.clone()) else { return };
        let mut rest = relays.into_iter().peekable();
        while rest.peek().is_some() {
            let (configs, sockets) = rest.by_ref().take(dhow_sys::fdpass::MAX_FDS).map(|relay| (relay.config, relay.socket)).unzip();
            match shim.relays(configs, sockets, false).await {
                Ok(()) => {}
                // It has ended: nobody asks any more.
                Err(handle::Error::Gone { .. }) => return,
                Err(handle::Error::Refused(failure)) if failure.kind == dhow_runtime::Kind::NotRunning => return,
                Err(error) => return tracing::warn!(container = self.container.id, %error, "its ports are not held"),
            }
        }
    }

    /// Waits until its namespace has its name: the shim gives it one only after it has told of the start.
    async fn pinned(&self) -> Result<()> {
        let Some(live) = &self.live else { return Ok(()) };
        live.shim.sync().await.map_err(|e| Error::internal("find the network namespace of", &self.container.name, e))
    }

    fn has_process(&self) -> bool {
        is_active(self.container.state.status) && self.container.state.status != Status::Restarting && self.live.is_some()
    }

    async fn networks_changed(&mut self) -> Result<()> {
        let saved = self.parts.store.update(&self.container).await;
        self.publish();
        self.refresh_files(None);
        super::links::moved(&self.parts, &self.container.id);
        saved
    }

    /// Writes its files anew while it runs. `gone`: the name of a link that it has no more.
    pub(super) fn refresh_files(&self, gone: Option<&str>) {
        if self.has_process()
            && let Err(error) = sandbox::refresh(&self.parts, &self.container, gone)
        {
            tracing::warn!(container = self.container.id, %error, "its hosts file was not written anew");
        }
    }

    /// Takes a link away.
    pub(super) async fn unlink(&mut self, alias: &str) -> Result<()> {
        let before = self.container.request.network.links.clone();
        self.container.request.network.links.retain(|link| link.alias != alias);
        if let Err(error) = self.parts.store.update(&self.container).await {
            self.container.request.network.links = before;
            return Err(error);
        }
        self.publish();
        self.refresh_files(Some(alias));
        super::links::open(&self.parts, None)
    }

    /// Sees to it that its questions for names are answered, where it is in a network that has names.
    pub(super) async fn serve_names(&mut self) {
        let Some(live) = self.live.as_mut().filter(|live| live.names.is_none()) else { return };
        if !network::has_names(&self.container) {
            return;
        }
        let shim = live.shim.clone();
        let sockets = async { Ok::<_, handle::Error>((shim.resolver(false).await?, shim.resolver(true).await?)) };
        let served = match sockets.await {
            Ok((udp, tcp)) => {
                network::serve_names(udp, tcp, sandbox::names_source(&self.parts, &self.container)).map_err(|error| error.to_string())
            }
            // It has ended: nobody asks any more.
            Err(handle::Error::Gone { .. }) => return,
            Err(handle::Error::Refused(failure)) if failure.kind == dhow_runtime::Kind::NotRunning => return,
            Err(error) => Err(error.to_string()),
        };
        match served {
            Ok(served) => live.names = Some(served),
            Err(error) => tracing::warn!(container = self.container.id, error, "its questions for names are not answered"),
        }
    }
}
