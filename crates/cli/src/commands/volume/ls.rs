//! `volume ls`.

use dhow_api::client::Request;
use dhow_api::types::{Volume, VolumeList};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, filter, string, switch};
use crate::options::filters;
use crate::output::{list, say};

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

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let request = Request::get("/volumes").query_opt("filters", filters(&parsed.all("filter")));
    let mut found: VolumeList = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    let config = app.config()?;
    let format = match (parsed.value("format").unwrap_or_default(), parsed.is("quiet")) {
        ("", true) => "{{.Name}}",
        ("", false) => &config.volumes_format,
        (given, _) => given,
    };
    found.volumes.sort_by(|a, b| natural(&a.name, &b.name));
    let rows = found.volumes.iter().map(row).collect();
    let table = list::List { table: "{{.Driver}}\t{{.Name}}", headings: HEADINGS, kind: "*formatter.volumeContext", rows };
    say(&list::render(table, format)?)
}

/// Numbers in names count as numbers: `v2` comes before `v10`.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    pieces(a).cmp(pieces(b)).then_with(|| a.cmp(b))
}

/// Runs of digits by length and digits, all else by its bytes.
fn pieces(text: &str) -> impl Iterator<Item = (u8, usize, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.as_bytes().first()?;
        let length = if first.is_ascii_digit() {
            rest.bytes().take_while(u8::is_ascii_digit).count()
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        let (piece, after) = rest.split_at(length);
        rest = after;
        let number = piece.trim_start_matches('0');
        Some(if first.is_ascii_digit() { (b'0', number.len(), number) } else { (first, 0, piece) })
    })
}

fn row(volume: &Volume) -> Map<String, Value> {
    let labels: Vec<String> = volume.labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let value = json!({
        "Availability": "N/A",
        "Driver": volume.driver,
        "Group": "N/A",
        "Labels": labels.join(","),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = ["v10", "v2", "v1b", "v1", "a", "v1a10", "v1a9", "10", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "a", "v1", "v1a9", "v1a10", "v1b", "v2", "v10"]);
    }
}
