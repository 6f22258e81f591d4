//! `GET /containers/json`.

use crate::app::App;
use crate::convert::document::Document;
use crate::convert::{inspect, links};
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use dhow_api::version::Shape;
use dhow_api::{ApiError, Filters};
use dhow_engine::model::{Container, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const FILTERS: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

/// The list, newest first.
pub(crate) async fn get(cx: &Cx) -> Result<Reply> {
    let wanted = Wanted::parse(cx).await?;
    let now = crate::system::now();
    let mut images = Names::default();
    let mut list = Vec::new();
    let all = cx.app.engine.containers();
    let linked = links::names(&all);
    for container in all {
        if wanted.limit.is_some_and(|limit| list.len() >= limit) {
            break;
        }
        if wanted.before.as_ref().is_some_and(|before| container.created >= before.created) {
            continue;
        }
        if wanted.since.as_ref().is_some_and(|since| container.created <= since.created) {
            break;
        }
        let document = Document::of(&container);
        if !wanted.matches(&container, &document) {
            continue;
        }
        let moved = images.moved(&cx.app, &container).await;
        let mut summary = inspect::summary(&container, &document, now, moved);
        summary.names.extend(linked.get(container.id.as_str()).into_iter().flatten().cloned());
        if cx.query.boolean("size") {
            let (own, all) = cx.app.engine.sizes(&container.id).await?;
            summary.size_rw = i64::try_from(own).unwrap_or(i64::MAX);
            summary.size_root_fs = i64::try_from(all).unwrap_or(i64::MAX);
        }
        list.push(summary);
    }
    reply::shaped_list(Shape::ContainerSummary, cx.version, &list)
}

/// What image each name means now, asked once per list.
#[derive(Default)]
struct Names(BTreeMap<String, Option<String>>);

impl Names {
    /// True where the name that a container was made from means another image now, or none.
    async fn moved(&mut self, app: &App, container: &Container) -> bool {
        let name = &container.request.image;
        if !self.0.contains_key(name) {
            let id = app.engine.image(name).await.ok().map(|image| image.id.clone());
            self.0.insert(name.clone(), id);
        }
        self.0.get(name).is_none_or(|id| id.as_ref() != Some(&container.image_id))
    }
}

/// The query, understood.
struct Wanted {
    filters: Filters,
    all: bool,
    limit: Option<usize>,
    exited: Vec<i32>,
    before: Option<Arc<Container>>,
    since: Option<Arc<Container>>,
    /// Ids of the images that `ancestor` names.
    ancestors: Option<BTreeSet<String>>,
}

impl Wanted {
    async fn parse(cx: &Cx) -> Result<Self> {
        let filters = Filters::parse(cx.query.get("filters"))?;
        filters.validate(&FILTERS)?;
        check_words(&filters, "status", "state", &STATES)?;
        check_words(&filters, "health", "health", &HEALTH)?;
        filters.boolean("is-task", false)?;
        for key in ["expose", "publish"] {
            check_ports(&filters, key)?;
        }
        let limit = cx.query.integer("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        let find = |key: &str| filters.values(key).last().map(|name| cx.app.engine.container(name)).transpose();
        let exited: Vec<i32> = filters
            .values("exited")
            .map(|code| {
                code.parse().map_err(|_| {
                    Failure::invalid(format!("invalid filter 'exited={code}': strconv.Atoi: parsing {code:?}: invalid syntax"))
                })
            })
            .collect::<Result<_>>()?;
        let ancestors = if filters.contains("ancestor") { Some(ancestors(cx, &filters).await?) } else { None };
        let (before, since) = (find("before")?, find("since")?);
        let all = cx.query.boolean("all") || limit.is_some() || filters.contains("status");
        Ok(Self { all, limit, exited, before, since, ancestors, filters })
    }

    fn matches(&self, container: &Container, document: &Document) -> bool {
        let filters = &self.filters;
        let status = container.state.status;
        let running = matches!(status, Status::Running | Status::Paused | Status::Restarting);
        let name = format!("/{}", container.name);
        (self.all || running)
            && (filters.matches_pattern("name", &name) || filters.matches_pattern("name", &container.name))
            && filters.matches_prefix("id", &container.id)
            && filters.matches_exactly("status", status.as_str())
            && filters.matches_labels("label", &container.request.labels)
            && filters.matches_exactly("health", crate::convert::status::health(&container.state).unwrap_or("none"))
            && filters.matches_exactly("isolation", "default")
            && !filters.boolean("is-task", false).unwrap_or(false)
            && (self.exited.is_empty() || (status == Status::Exited && self.exited.contains(&container.state.exit_code)))
            && self.ancestors.as_ref().is_none_or(|ids| ids.contains(&container.image_id))
            && self.in_network(container, document)
            && self.has_volume(container, document)
            && self.has_port(container, document)
    }

    fn in_network(&self, container: &Container, document: &Document) -> bool {
        if !self.filters.contains("network") {
            return true;
        }
        let mode = document.host_config.network_mode.as_str();
        let networks = crate::convert::network::endpoints(container, mode, &document.networking);
        self.filters.values("network").any(|wanted| {
            networks.iter().any(|(name, endpoint)| {
                let id = endpoint.as_ref().map_or("", |endpoint| endpoint.network_id.as_str());
                wanted == name || (!wanted.is_empty() && id.starts_with(wanted))
            })
        })
    }

    fn has_volume(&self, container: &Container, document: &Document) -> bool {
        if !self.filters.contains("volume") {
            return true;
        }
        let points = crate::convert::mounts::points(&document.host_config, container);
        self.filters.values("volume").any(|wanted| points.iter().any(|p| p.name == wanted || p.source == wanted || p.destination == wanted))
    }

    /// Both filters look at the ports that the list shows, which a container has through its networks: without networks
    /// there are none.
    fn has_port(&self, container: &Container, document: &Document) -> bool {
        if !self.filters.contains("publish") && !self.filters.contains("expose") {
            return true;
        }
        let listed = crate::convert::ports::listed(container, &document.config);
        let any = |key: &str, of: fn(&dhow_api::types::list::Port) -> u16| {
            !self.filters.contains(key)
                || self.filters.values(key).any(|text| {
                    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
                    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
                    let range = first.parse().unwrap_or(1)..=last.parse().unwrap_or(0);
                    listed.iter().any(|port| port.kind == protocol && range.contains(&of(port)))
                })
        };
        any("publish", |port| port.public_port) && any("expose", |port| port.private_port)
    }
}

/// An ancestor is the image itself, by name or id, and what it was made of is one too.
async fn ancestors(cx: &Cx, filters: &Filters) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for name in filters.values("ancestor") {
        match cx.app.engine.image(name).await {
            Ok(image) => {
                ids.insert(image.id.clone());
            }
            Err(error) => tracing::debug!(%error, "an ancestor that is no image"),
        }
    }
    if ids.is_empty() {
        return Ok(ids);
    }
    let images = cx.app.engine.images().await?;
    // Those made of what is known already, until there are none.
    loop {
        let made_of = |id: &Option<String>| id.as_ref().is_some_and(|id| ids.contains(id));
        let next: Vec<String> =
            images.iter().filter(|image| made_of(&image.parent) && !ids.contains(&image.id)).map(|image| image.id.clone()).collect();
        if next.is_empty() {
            return Ok(ids);
        }
        ids.extend(next);
    }
}

/// The values of `expose` and `publish`: ports and ranges, with or without a protocol.
fn check_ports(filters: &Filters, key: &str) -> Result<(), ApiError> {
    for value in filters.values(key) {
        if value.contains(':') {
            return Err(ApiError::invalid(format!("filter for '{key}' should not contain ':': {value}")));
        }
        let ports = value.split_once('/').map_or(value, |(ports, _)| ports);
        if ports.is_empty() {
            return Err(ApiError::invalid(format!("error while looking up for {key} {value}: empty string specified for ports")));
        }
        let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
        for port in [from, to] {
            if port.parse::<u16>().is_err() {
                let why = if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
                    "value out of range"
                } else {
                    "invalid syntax"
                };
                return Err(ApiError::invalid(format!(
                    "error while looking up for {key} {value}: strconv.ParseUint: parsing {port:?}: {why}"
                )));
            }
        }
    }
    Ok(())
}

fn check_words(filters: &Filters, key: &str, what: &str, known: &[&str]) -> Result<(), ApiError> {
    match filters.values(key).find(|value| !known.contains(value)) {
        Some(value) => Err(ApiError::invalid(format!(
            "invalid filter '{key}={value}': invalid value for {what} ({value}): must be one of {}",
            known.join(", ")
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_filters() {
        let check = |value: &str, expect: &str| {
            let mut filters = Filters::new();
            filters.add("expose", value);
            let got = check_ports(&filters, "expose").map_or_else(|error| error.message, |()| String::new());
            assert_eq!(got, expect, "{value}");
        };
        check("80", "");
        check("80-90/udp", "");
        check("80:80", "filter for 'expose' should not contain ':': 80:80");
        check("x", "error while looking up for expose x: strconv.ParseUint: parsing \"x\": invalid syntax");
        check("99999/tcp", "error while looking up for expose 99999/tcp: strconv.ParseUint: parsing \"99999\": value out of range");
    }

    #[test]
    fn unknown_states_in_docker_words() {
        let filters = Filters::parse(r#"{"status":["weird"]}"#).unwrap();
        assert_eq!(
            check_words(&filters, "status", "state", &STATES).unwrap_err().message,
            "invalid filter 'status=weird': invalid value for state (weird): must be one of created, running, paused, restarting, removing, exited, dead"
        );
    }
}
