//! `/networks`.

use crate::convert::network;
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use dhow_api::types::NetworkInspect;
use dhow_api::{ApiError, Filters};
use dhow_engine::network::Driver;
use serde::Deserialize;

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
            // Who is in it is told by inspect alone.
            all.push(NetworkInspect { containers: Default::default(), ..shown });
        }
    }
    reply::json(&all)
}

/// `GET /networks/{name}`.
pub(crate) fn inspect(cx: &Cx, name: &str) -> Result<Reply> {
    let found = cx.app.engine.network(name)?;
    reply::json(&network::inspect(&found, &cx.app.facts, &cx.app.engine.containers()))
}

/// `POST /networks/create`.
pub(crate) async fn create(cx: Cx) -> Result<Reply> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "Name", default)]
        name: String,
    }
    let body: Body = cx.json().await?;
    if matches!(body.name.as_str(), "bridge" | "host" | "none" | "default") {
        return Err(Failure(ApiError::new(403, format!("operation is not permitted on predefined {} network ", body.name))));
    }
    Err(Failure::unsupported("creating a network"))
}

/// `POST /networks/{name}/connect` and `disconnect`.
pub(crate) fn connect(cx: &Cx, name: &str) -> Result<Reply> {
    let network = cx.app.engine.network(name)?;
    Err(match network.driver {
        Driver::Host => {
            Failure(ApiError::new(403, "container cannot be connected to host network with other networks, or disconnected from it"))
        }
        Driver::Null => Failure(ApiError::new(
            403,
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        )),
        Driver::Bridge => Failure::unsupported("connecting a container to a network"),
    })
}

/// `DELETE /networks/{name}`.
pub(crate) fn remove(cx: &Cx, name: &str) -> Result<Reply> {
    let network = cx.app.engine.network(name)?;
    Err(Failure(ApiError::new(403, format!("{} is a pre-defined network and cannot be removed", network.name))))
}
