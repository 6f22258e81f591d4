//! `volume create`.

use dhow_api::client::Request;
use dhow_api::types::{Volume, VolumeBody};
use serde_json::{Value, json};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, bytes, list, map, string};
use crate::options::pairs;
use crate::output::say;

/// The command.
pub(in super::super) static COMMAND: Command = Command {
    names: &["volume create"],
    usage: "[OPTIONS] [VOLUME]",
    short: "Create a volume",
    flags: FLAGS,
    arity: Arity::AtMost(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    string("availability", "Whether a volume of a cluster takes work: active, pause or drain").default("active"),
    string("driver", "Driver of the volume").short('d').default("local"),
    string("group", "Group of volumes of a cluster"),
    list("label", "Label (key=value) of the volume"),
    bytes("limit-bytes", "The most bytes that a volume of a cluster may have"),
    string("name", "Name of the volume").hidden(),
    map("opt", "Option (key=value) of the driver").short('o').default("map[]"),
    bytes("required-bytes", "The fewest bytes that a volume of a cluster may have"),
    string("scope", "How many nodes may have a volume of a cluster: single or multi").default("single"),
    map("secret", "Secret (key=value) for a volume of a cluster").default("map[]"),
    string("sharing", "Who may share a volume of a cluster: none, readonly, onewriter or all").default("none"),
    list("topology-preferred", "Where a volume of a cluster would best be"),
    list("topology-required", "Where a volume of a cluster must be"),
    string("type", "How a volume of a cluster is reached: mount or block").default("block"),
];

/// Those that make it a volume of a cluster.
const CLUSTER: [&str; 7] = ["group", "scope", "sharing", "availability", "type", "limit-bytes", "required-bytes"];

/// What a cluster is told of it.
fn cluster(parsed: &Parsed) -> Option<Value> {
    if !CLUSTER.iter().any(|flag| parsed.given(flag)) {
        return None;
    }
    let text = |flag: &str, default: &str| parsed.value(flag).unwrap_or(default).to_owned();
    let mut mode = json!({ "Scope": text("scope", "single"), "Sharing": text("sharing", "none") });
    match text("type", "block").as_str() {
        "mount" => mode["MountVolume"] = json!({}),
        "block" => mode["BlockVolume"] = json!({}),
        _ => {}
    }
    let size = |flag: &str| parsed.value(flag).and_then(|text| dhow_api::size::parse_binary(text).ok()).unwrap_or(0);
    let secrets: Vec<Value> =
        pairs(&parsed.all("secret")).into_iter().map(|(key, secret)| json!({ "Key": key, "Secret": secret })).collect();
    let topologies = |flag: &str| -> Vec<Value> {
        let segments = |one: &String| pairs(&one.split(',').map(str::to_owned).collect::<Vec<_>>());
        parsed.all(flag).iter().map(|one| json!({ "Segments": segments(one) })).collect()
    };
    Some(json!({
        "Group": text("group", ""),
        "AccessMode": mode,
        "Availability": text("availability", "active"),
        "CapacityRange": { "RequiredBytes": size("required-bytes"), "LimitBytes": size("limit-bytes") },
        "Secrets": secrets,
        "AccessibilityRequirements": { "Requisite": topologies("topology-required"), "Preferred": topologies("topology-preferred") },
    }))
}

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let name = match (parsed.args.first(), parsed.text("name")) {
        (Some(_), name) if !name.is_empty() => {
            return Err(Error::new("conflicting options: cannot specify a volume-name through both --name and as a positional arg"));
        }
        (Some(name), _) => name,
        (None, name) => name,
    };
    let body = VolumeBody {
        name: name.to_owned(),
        driver: parsed.text("driver").to_owned(),
        driver_opts: pairs(&parsed.all("opt")),
        labels: pairs(&parsed.all("label")),
        cluster: cluster(parsed),
    };
    let made: Volume =
        app.block_on(async { Ok::<_, Error>(app.client().await?.json(Request::post("/volumes/create").json(&body)?).await?) })?;
    say(&format!("{}\n", made.name))
}
