//! The two networks there are without a bridge: `host` and `none`.

use crate::convert::network::{self, BuiltIn};
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use dhow_api::types::NetworkInspect;
use dhow_api::{ApiError, Filters};
use serde::Deserialize;

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

/// `GET /networks`.
pub(crate) fn list(cx: &Cx) -> Result<Reply> {
    let filters = Filters::parse(cx.query.get("filters"))?;
    filters.validate(&FILTERS)?;
    let wanted = |network: &NetworkInspect| {
        filters.matches_exactly("driver", &network.driver)
            && filters.matches_prefix("id", &network.id)
            && filters.matches_pattern("name", &network.name)
            && filters.matches_exactly("scope", &network.scope)
            && filters.matches_exactly("type", "builtin")
            && !filters.contains("label")
            && (!filters.contains("dangling") || !filters.boolean("dangling", false).unwrap_or(false))
    };
    let all: Vec<NetworkInspect> = BuiltIn::ALL.iter().map(|n| network::inspect(*n, &cx.app.facts, &[])).filter(wanted).collect();
    reply::json(&all)
}

/// `GET /networks/{name}`.
pub(crate) fn inspect(cx: &Cx, name: &str) -> Result<Reply> {
    reply::json(&network::inspect(find(cx, name)?, &cx.app.facts, &cx.app.engine.containers()))
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
    let network = find(cx, name)?;
    Err(Failure(ApiError::new(
        403,
        match network {
            BuiltIn::Host => "container cannot be connected to host network with other networks, or disconnected from it",
            BuiltIn::None => "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        },
    )))
}

/// `DELETE /networks/{name}`.
pub(crate) fn remove(cx: &Cx, name: &str) -> Result<Reply> {
    let network = find(cx, name)?;
    Err(Failure(ApiError::new(403, format!("{} is a pre-defined network and cannot be removed", network.name()))))
}

fn find(cx: &Cx, name: &str) -> Result<BuiltIn> {
    let matches = |network: &&BuiltIn| {
        let id = network::id(**network, &cx.app.facts.id);
        network.name() == name || (!name.is_empty() && id.starts_with(name))
    };
    BuiltIn::ALL.iter().find(matches).copied().ok_or_else(|| Failure::not_found(format!("network {name} not found")))
}
