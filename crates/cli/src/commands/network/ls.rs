//! `network ls`.

use dhow_api::client::Request;
use dhow_api::types::NetworkInspect;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::commands::things::{self, Listing};
use crate::error::Error;
use crate::flags::{Flag, Parsed, filter, string, switch};
use crate::options::filters;
use crate::output::natural;

/// The command.
pub(in super::super) static COMMAND: Command = Command {
    names: &["network ls", "network list"],
    usage: "[OPTIONS]",
    short: "List networks",
    flags: FLAGS,
    arity: Arity::None,
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    filter("Show only what a condition (key=value) holds for"),
    string("format", "table, json, or a Go template"),
    switch("no-trunc", "Do not cut ids"),
    switch("quiet", "Show ids only").short('q'),
];

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

static LISTING: Listing =
    Listing { quiet: "{{.ID}}", table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}", headings: HEADINGS, kind: "*network.networkContext" };

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let request = Request::get("/networks").query_opt("filters", filters(&parsed.all("filter")));
    let mut networks: Vec<NetworkInspect> = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    networks.sort_by(|a, b| natural(&a.name, &b.name));
    let rows = networks.iter().map(|network| fields(network, parsed.is("no-trunc"))).collect();
    things::show(parsed, &LISTING, &app.config()?.networks_format, rows)
}

fn fields(network: &NetworkInspect, no_trunc: bool) -> Map<String, Value> {
    let id = if no_trunc { network.id.clone() } else { network.id.chars().take(12).collect() };
    let created = network.created.replacen('T', " ", 1).replacen('Z', " +0000 UTC", 1);
    let value = json!({
        "CreatedAt": created,
        "Driver": network.driver,
        "ID": id,
        "IPv4": network.enable_ipv4.to_string(),
        "IPv6": network.enable_ipv6.to_string(),
        "Internal": network.internal.to_string(),
        "Labels": things::labels(network.labels.as_ref()),
        "Name": network.name,
        "Scope": network.scope,
    });
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
