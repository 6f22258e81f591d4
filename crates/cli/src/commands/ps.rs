//! `ps`.

use dhow_api::client::Request;
use dhow_api::size::human_with;
use dhow_api::types::{ContainerSummary, Port};
use serde_json::{Map, Value, json};

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, filter, int, string, switch};
use crate::options::filters;
use crate::output::table::ellipsis;
use crate::output::{list, time};
use crate::output::{say, warn};
use crate::template::{Missing, Template};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container ls", "container list", "container ps", "ps"],
    usage: "[OPTIONS]",
    short: "List containers",
    flags: FLAGS,
    arity: Arity::None,
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("all", "All containers, not only running ones").short('a'),
    filter("Show only what a condition (key=value) holds for"),
    string("format", "table, json, or a Go template"),
    int("last", "The newest containers, so many, in any state").short('n').default("-1"),
    switch("latest", "The newest container, in any state").short('l'),
    switch("no-trunc", "Do not cut anything"),
    switch("quiet", "Show ids only").short('q'),
    switch("size", "Show sizes").short('s'),
];

pub(super) const HEADINGS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

/// What Go calls the type of a row.
const KIND: &str = "*formatter.ContainerContext";

const TABLE: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let config = app.config()?;
    let mut format = parsed.value("format").unwrap_or(&config.ps_format).to_owned();
    if parsed.is("quiet") {
        if parsed.given("format") {
            warn("WARNING: Ignoring custom format, because both --format and --quiet are set.");
        }
        format = "{{.ID}}".to_owned();
    }
    let asked = check_format(&format)?;
    let size = parsed.is("size");
    let last = parsed.int("last").unwrap_or(-1);
    let last = if parsed.is("latest") && !parsed.given("last") { 1 } else { last };
    let request = Request::get("/containers/json")
        .flag("all", parsed.is("all"))
        .query_opt("filters", filters(&parsed.all("filter")))
        .query_opt("limit", (last > 0).then(|| last.to_string()))
        .flag("size", size || asked);
    let containers: Vec<ContainerSummary> = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    let no_trunc = parsed.is("no-trunc");
    let rows = containers.iter().map(|container| row(container, no_trunc)).collect();
    let table = if size { format!("{TABLE}\t{{{{.Size}}}}") } else { TABLE.to_owned() };
    let list = list::List { table: &table, headings: HEADINGS, kind: KIND, rows };
    say(&list::render(list, &format)?)
}

pub(super) fn row(container: &ContainerSummary, no_trunc: bool) -> Map<String, Value> {
    let cut = |text: &str, columns| if no_trunc { text.to_owned() } else { ellipsis(text, columns) };
    let command = crate::flags::quote(&cut(&container.command, 20));
    let volumes = container.mounts.iter().filter(|mount| mount.driver == "local").count();
    let value = json!({
        "Command": command,
        "CreatedAt": time::show_seconds(container.created),
        "ID": if no_trunc { container.id.clone() } else { shared::short_id(&container.id) },
        "Image": image(container, no_trunc),
        "Labels": joined(container.labels.iter().map(|(key, value)| format!("{key}={value}"))),
        "LocalVolumes": volumes.to_string(),
        "Mounts": joined(container.mounts.iter().map(|mount| {
            cut(if mount.name.is_empty() { &mount.source } else { &mount.name }, 15)
        })),
        "Names": names(&container.names, no_trunc),
        "Networks": joined(container.network_settings.networks.iter().flatten().map(|(name, _)| name.clone())),
        "Platform": Value::Null,
        "Ports": ports(&container.ports),
        "RunningFor": time::ago(container.created),
        "Size": sizes(container),
        "State": container.state.clone(),
        "Status": container.status.clone(),
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A template is tried before the engine is asked, also where there will be nothing to show. Tells whether it looks at sizes, which are
/// dear.
fn check_format(format: &str) -> Result<bool, Error> {
    if format.is_empty() || format == "json" {
        return Ok(false);
    }
    let template = Template::parse("", format).map_err(|error| Error::new(format!("failed to parse template: {error}")))?;
    let nothing = row(&ContainerSummary::default(), false);
    let tried = template.touches(&Value::Object(nothing), Missing::Type(KIND), "Size");
    tried.map_err(|error| Error::new(format!("failed to execute template: {error}")))
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(",")
}

/// What the container was made from; an id is cut, and so is the digest behind a name.
fn image(container: &ContainerSummary, no_trunc: bool) -> String {
    if container.image.is_empty() {
        return "<no image>".to_owned();
    }
    if no_trunc {
        return container.image.clone();
    }
    if shared::short_id(&container.image_id) == shared::short_id(&container.image) {
        return shared::short_id(&container.image_id);
    }
    match container.image.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => container.image.clone(),
    }
}

/// Without links: a name with a slash inside is another container's name for this one.
fn names(names: &[String], no_trunc: bool) -> String {
    let bare = names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
    let own: Vec<&str> = bare.filter(|name| no_trunc || !name.contains('/')).collect();
    own.join(",")
}

fn sizes(container: &ContainerSummary) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let size = |bytes: i64| human_with(bytes as f64, 3);
    let own = size(container.size_rw);
    match container.size_root_fs {
        all if all > 0 => format!("{own} (virtual {})", size(all)),
        _ => own,
    }
}

/// `0.0.0.0:80->80/tcp`, runs of ports joined: `80-82/tcp`.
fn ports(ports: &[Port]) -> String {
    let mut sorted: Vec<&Port> = ports.iter().collect();
    sorted.sort_by(|a, b| (a.private_port, &a.ip, a.public_port, &a.kind).cmp(&(b.private_port, &b.ip, b.public_port, &b.kind)));
    let mut out = Vec::new();
    let mut mapped = Vec::new();
    let mut runs: Vec<Run> = Vec::new();
    for port in sorted {
        let key = if port.ip.is_empty() { port.kind.clone() } else { format!("{}/{}", port.ip, port.kind) };
        // A port that is reached by another number stands alone.
        if port.public_port != 0 && port.public_port != port.private_port {
            mapped.push(format!("{}:{}->{}/{}", bracketed(&port.ip), port.public_port, port.private_port, port.kind));
            continue;
        }
        match runs.iter_mut().find(|run| run.key == key) {
            Some(run) if port.private_port == run.last + 1 => run.last = port.private_port,
            Some(run) => {
                let done = std::mem::replace(run, Run::new(key, port));
                out.push(done.show());
            }
            None => runs.push(Run::new(key, port)),
        }
    }
    runs.sort_by(|a, b| (a.first, &a.key).cmp(&(b.first, &b.key)));
    out.extend(runs.iter().map(Run::show));
    out.extend(mapped);
    out.join(", ")
}

struct Run {
    key: String,
    ip: String,
    kind: String,
    first: u16,
    last: u16,
}

impl Run {
    fn new(key: String, port: &Port) -> Self {
        Self { key, ip: port.ip.clone(), kind: port.kind.clone(), first: port.private_port, last: port.private_port }
    }
    fn show(&self) -> String {
        let range = if self.first == self.last { self.first.to_string() } else { format!("{}-{}", self.first, self.last) };
        if self.ip.is_empty() {
            format!("{range}/{}", self.kind)
        } else {
            format!("{}:{range}->{range}/{}", bracketed(&self.ip), self.kind)
        }
    }
}

fn bracketed(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, private_port: u16, public_port: u16, kind: &str) -> Port {
        Port { ip: ip.to_owned(), private_port, public_port, kind: kind.to_owned() }
    }

    #[test]
    fn sizes_are_asked_for_where_they_are_shown() {
        let check = |format: &str, expect: bool| assert_eq!(check_format(format).unwrap(), expect, "{format}");
        check("", false);
        check("json", false);
        check("{{json .}}", true);
        check("{{ .Size }}", true);
        check("table {{.Names}}\t{{upper .Size}}", true);
        check("{{with .}}{{.Size}}{{end}}", true);
        check("{{json .Names}} Size", false);
    }

    #[test]
    fn published_ports() {
        let list =
            [port("0.0.0.0", 80, 8080, "tcp"), port("::", 80, 8080, "tcp"), port("", 90, 0, "udp"), port("0.0.0.0", 81, 8081, "tcp")];
        assert_eq!(ports(&list), "90/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 0.0.0.0:8081->81/tcp");
        let run = [port("0.0.0.0", 82, 82, "tcp"), port("0.0.0.0", 80, 80, "tcp"), port("0.0.0.0", 81, 81, "tcp")];
        assert_eq!(ports(&run), "0.0.0.0:80-82->80-82/tcp");
        assert_eq!(ports(&[port("", 80, 0, "tcp"), port("", 90, 0, "tcp")]), "80/tcp, 90/tcp");
    }

    #[test]
    fn texts_of_a_row() {
        let container = ContainerSummary {
            id: "a".repeat(64),
            names: vec!["/web".into(), "/other/web".into()],
            image: format!("sha256:{}", "b".repeat(64)),
            image_id: format!("sha256:{}", "b".repeat(64)),
            command: "sh -c 'echo hello world this is long'".into(),
            size_rw: 1_234_567,
            size_root_fs: 9_999_999,
            ..ContainerSummary::default()
        };
        let short = row(&container, false);
        assert_eq!(short["Command"], "\"sh -c 'echo hello w…\"");
        assert_eq!(short["Image"], "bbbbbbbbbbbb");
        assert_eq!(short["Names"], "web");
        assert_eq!(short["Size"], "1.23MB (virtual 10MB)");
        assert_eq!(row(&container, true)["Names"], "web,other/web");
    }
}
