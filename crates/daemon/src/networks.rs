//! `/networks`.

use crate::convert::network;
use crate::error::{Failure, Result};
use crate::flag_values;
use crate::http::{Cx, Reply, reply};
use crate::system::prune::Wanted;
use dhow_api::Filters;
use dhow_api::types::NetworkInspect;
use dhow_api::types::network::{NetworkConnect, NetworkCreate, NetworkCreated, NetworkDisconnect};
use http::StatusCode;
use serde_json::json;

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

/// `GET /networks`.
pub(crate) fn list(cx: &Cx) -> Result<Reply> {
    let filters = Filters::parse(cx.query.get("filters"))?;
    filters.validate(&FILTERS)?;
    if let Some(kind) = filters.values("type").find(|kind| !matches!(*kind, "custom" | "builtin")) {
        return Err(Failure::invalid(format!("invalid filter: 'type'='{kind}'")));
    }
    let containers = cx.app.engine.containers();
    let dangling = filters.contains("dangling").then(|| filters.boolean("dangling", false)).transpose()?;
    let mut all: Vec<NetworkInspect> = Vec::new();
    for found in cx.app.engine.networks() {
        let shown = network::inspect(&found, &cx.app.facts, &containers);
        let used = containers.iter().any(|c| c.networks.values().any(|m| m.network == found.id && m.place.is_some()));
        let wanted = filters.matches_exactly("driver", &shown.driver)
            && filters.matches_prefix("id", &shown.id)
            && filters.matches_pattern("name", &shown.name)
            && filters.matches_exactly("scope", &shown.scope)
            && filters.matches_exactly("type", if found.built_in { "builtin" } else { "custom" })
            && filters.matches_labels("label", &found.labels)
            && dangling.is_none_or(|dangling| dangling == (!used && !found.built_in));
        if wanted {
            // Who is in it is told by inspect alone; lists of old did.
            let containers = if !cx.since(28) { shown.containers } else { Default::default() };
            all.push(NetworkInspect { containers, ..shown });
        }
    }
    reply::json(&all)
}

/// `GET /networks/{name}`.
pub(crate) fn inspect(cx: &Cx, name: &str) -> Result<Reply> {
    // Only a swarm has more to tell.
    let verbose = cx.query.get("verbose");
    if !verbose.is_empty()
        && let Err(error) = flag_values::boolean(verbose)
    {
        return Err(Failure::invalid(format!("invalid value for verbose: {verbose}: {error}")));
    }
    match cx.query.get("scope") {
        "" | "local" => {}
        _ => return Err(Failure::not_found(format!("network {name} not found"))),
    }
    let found = cx.app.engine.network(name)?;
    reply::json(&network::inspect(&found, &cx.app.facts, &cx.app.engine.containers()))
}

/// `POST /networks/create`.
pub(crate) async fn create(cx: Cx) -> Result<Reply> {
    let app = cx.app.clone();
    let body: NetworkCreate = cx.json().await?;
    let (id, warning) = app.engine.network_create(network::request(body)?).await?;
    reply::json_with(StatusCode::CREATED, &NetworkCreated { id, warning })
}

/// `POST /networks/{name}/connect`.
pub(crate) async fn connect(cx: Cx, name: &str) -> Result<Reply> {
    let app = cx.app.clone();
    let body: NetworkConnect = cx.json().await?;
    let network = app.engine.network(name)?;
    let asked = body.endpoint_config.as_ref().map(|endpoint| network::membership(&network.name, endpoint)).transpose()?;
    app.engine.network_connect(&network.id, &body.container, asked.unwrap_or_default()).await?;
    Ok(reply::empty(StatusCode::OK))
}

/// `POST /networks/{name}/disconnect`.
pub(crate) async fn disconnect(cx: Cx, name: &str) -> Result<Reply> {
    let app = cx.app.clone();
    let body: NetworkDisconnect = cx.json().await?;
    app.engine.network_disconnect(name, &body.container, body.force).await?;
    Ok(reply::empty(StatusCode::OK))
}

/// `DELETE /networks/{name}`.
pub(crate) async fn remove(cx: &Cx, name: &str) -> Result<Reply> {
    cx.app.engine.network_remove(name).await?;
    reply::no_content()
}

/// `POST /networks/prune`.
pub(crate) async fn prune(cx: &Cx) -> Result<Reply> {
    let wanted = Wanted::parse(cx, &["label", "label!", "until"])?;
    let removed = cx.app.engine.network_prune(|network| wanted.matches(Some(network.created), &network.labels)).await?;
    let removed = Some(removed).filter(|names| !names.is_empty());
    reply::json(&json!({"NetworksDeleted": removed}))
}
