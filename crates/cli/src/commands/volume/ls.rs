//! `volume ls`.

use dhow_api::client::Request;
use dhow_api::types::{Volume, VolumeList};
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
    names: &["volume ls", "volume list"],
    usage: "[OPTIONS]",
    short: "List volumes",
    flags: FLAGS,
    arity: Arity::None,
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    filter("Show only what a condition (key=value) holds for"),
    string("format", "table, json, or a Go template"),
    switch("quiet", "Show names only").short('q'),
];

const HEADINGS: &[(&str, &str)] = &[
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Availability", "AVAILABILITY"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
];

static LISTING: Listing =
    Listing { quiet: "{{.Name}}", table: "{{.Driver}}\t{{.Name}}", headings: HEADINGS, kind: "*formatter.volumeContext" };

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let request = Request::get("/volumes").query_opt("filters", filters(&parsed.all("filter")));
    let mut found: VolumeList = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    found.volumes.sort_by(|a, b| natural(&a.name, &b.name));
    things::show(parsed, &LISTING, &app.config()?.volumes_format, found.volumes.iter().map(row).collect())
}

fn row(volume: &Volume) -> Map<String, Value> {
    let value = json!({
        "Availability": "N/A",
        "Driver": volume.driver,
        "Group": "N/A",
        "Labels": things::labels(volume.labels.as_ref()),
        "Links": "N/A",
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": volume.scope,
        "Size": "N/A",
        "Status": "N/A",
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
