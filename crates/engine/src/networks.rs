//! Networks made, removed and pruned: in the books, on the host, in the store.

use crate::error::{Error, Kind, Result};
use crate::model::network::{Network, NetworkRequest};
use crate::network::{self, Networks};
use crate::parts::Parts;
use crate::store::NetworkChange;
use crate::turn::Turn;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes a network. A failure takes all of it back. What is in the store is put on the host by the next engine, should this one die here.
/// Answers its id, and what somebody should know of it.
pub(crate) async fn create(parts: &Arc<Parts>, request: NetworkRequest) -> Result<(String, String)> {
    if !request.config_only {
        parts.networks.check()?;
    }
    let network = parts.networks.add(request)?;
    // Before its own route is there.
    let warning = parts.networks.warning(&network);
    if let Err(error) = parts.store.network(NetworkChange::Put(Box::new(network.clone()))).await {
        parts.networks.forget(&network.id);
        return Err(error);
    }
    if let Err(error) = on_host(parts, &network, Networks::raise).await {
        parts.networks.forget(&network.id);
        lower(parts, &network).await;
        parts.store.network(NetworkChange::Delete(network.id.clone())).await?;
        return Err(error);
    }
    network::tell(&parts.events, &network, "create", None);
    Ok((network.id, warning))
}

/// Does something on the host, on a thread that may wait.
async fn on_host(parts: &Arc<Parts>, network: &Network, act: fn(&Networks, &Network) -> Result<()>) -> Result<()> {
    let (work, copy) = (parts.clone(), network.clone());
    let done = tokio::task::spawn_blocking(move || act(&work.networks, &copy)).await;
    done.map_err(|e| Error::internal("set up network", &network.name, e))?
}

/// Takes what a network, which the books do not know any more, has on the host. Goes on after errors.
async fn lower(parts: &Arc<Parts>, network: &Network) {
    if let Err(error) = on_host(parts, network, Networks::lower).await {
        tracing::warn!(network = network.name, %error, "not all of it was removed");
    }
}

/// Removes a network that nobody is in.
pub(crate) async fn remove(parts: &Arc<Parts>, name: &str) -> Result<()> {
    let network = parts.networks.get(name)?;
    if network.built_in {
        return Err(Error::new(Kind::Forbidden, format!("{} is a pre-defined network and cannot be removed", network.name)));
    }
    parts.networks.check_unused(&network)?;
    // From here on nobody gets a place in it.
    if let Err(members) = parts.networks.take_out(&network.id) {
        return Err(in_use(parts, &network, &members));
    }
    // The store last: what is there when the engine dies is put on the host again by the next one, and what is not is on no host.
    lower(parts, &network).await;
    if let Err(error) = parts.store.network(NetworkChange::Delete(network.id.clone())).await {
        parts.networks.put_back(&network);
        on_host(parts, &network, Networks::raise).await?;
        return Err(error);
    }
    network::tell(&parts.events, &network, "destroy", None);
    Ok(())
}

fn in_use(parts: &Parts, network: &Network, members: &[String]) -> Error {
    let shown = members.iter().filter_map(|id| {
        let container = parts.registry.get(id).ok()?.get();
        let place = container.networks.values().find(|m| m.network == network.id)?.place.clone()?;
        Some(format!("name:\"{}\" id:\"{}\"", container.name, crate::ids::short(&place.endpoint)))
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    let text = format!("error while removing network: network {} has active endpoints ({})", network.name, shown.join(", "));
    Error::new(Kind::Forbidden, text)
}

/// Removes the networks that no running container is in and that are wanted. Answers their names.
pub(crate) async fn prune(parts: &Arc<Parts>, wanted: impl Fn(&Network) -> bool) -> Result<Vec<String>> {
    let _turn = Turn::take(&parts.prunes.containers)?;
    let mut removed = Vec::new();
    for network in parts.networks.all().iter().filter(|network| !network.built_in && wanted(network)) {
        match remove(parts, &network.id).await {
            Ok(()) => removed.push(network.name.clone()),
            Err(error) if error.kind == Kind::Forbidden => {}
            Err(error) => tracing::warn!(network = network.name, %error, "it was not pruned"),
        }
    }
    parts.events.tell("network", "prune", "", BTreeMap::from([("reclaimed".to_owned(), "0".to_owned())]));
    Ok(removed)
}
