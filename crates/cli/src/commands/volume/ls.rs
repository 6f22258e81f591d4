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
    switch("cluster", "Show only volumes of a cluster, with what is theirs"),
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

static CLUSTER: Listing = Listing { table: "{{.Name}}\t{{.Group}}\t{{.Driver}}\t{{.Availability}}\t{{.Status}}", ..LISTING };

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let request = Request::get("/volumes").query_opt("filters", filters(&parsed.all("filter")));
    let mut found: VolumeList = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    found.volumes.sort_by(|a, b| natural(&a.name, &b.name));
    if parsed.is("cluster") {
        found.volumes.retain(|volume| volume.cluster.is_some());
        return things::show(parsed, &CLUSTER, "table", found.volumes.iter().map(row).collect());
    }
    things::show(parsed, &LISTING, &app.config()?.volumes_format, found.volumes.iter().map(row).collect())
}

/// How far a volume of a cluster is.
fn status(cluster: &Value) -> String {
    if cluster.pointer("/Info/VolumeID").and_then(Value::as_str).is_none_or(str::is_empty) {
        return "pending creation".to_owned();
    }
    match cluster.get("PublishStatus").and_then(Value::as_array).map_or(0, Vec::len) {
        0 => "created".to_owned(),
        1 => "in use (1 node)".to_owned(),
        nodes => format!("in use ({nodes} nodes)"),
    }
}

fn row(volume: &Volume) -> Map<String, Value> {
    let cluster = volume.cluster.as_ref();
    let of_cluster = |path: &str| cluster.map_or("N/A", |c| c.pointer(path).and_then(Value::as_str).unwrap_or_default());
    let value = json!({
        "Availability": of_cluster("/Spec/Availability"),
        "Driver": volume.driver,
        "Group": of_cluster("/Spec/Group"),
        "Labels": things::labels(volume.labels.as_ref()),
        "Links": "N/A",
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": volume.scope,
        "Size": "N/A",
        "Status": cluster.map_or_else(|| "N/A".to_owned(), status),
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
