//! `stats`.

use std::cell::RefCell;
use std::io::Write;
use std::time::Duration;

use dhow_api::client::{Client, Request, segment};
use dhow_api::size::{human_binary, human_with};
use dhow_api::types::{ContainerSummary, EventMessage, Stats};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Map, Value, json};
use tokio::time::MissedTickBehavior;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::output::list;
use crate::output::say;
use crate::terminal;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container stats", "stats"],
    usage: "[OPTIONS] [CONTAINER...]",
    short: "Show what containers use, as it changes",
    flags: FLAGS,
    arity: Arity::AtLeast(0),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("all", "All containers, not only running ones").short('a'),
    string("format", "table, json, or a Go template"),
    switch("no-stream", "Show one result and end"),
    switch("no-trunc", "Do not cut anything"),
];

const HEADINGS: &[(&str, &str)] = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

const TABLE: &str = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";

/// Between two pictures.
const REDRAW: Duration = Duration::from_millis(500);
/// A container that sends nothing for so long is shown without values.
const SILENT: Duration = Duration::from_secs(6);
/// One sample is far shorter than this.
const MAX_SAMPLE: usize = 4 * 1024 * 1024;

/// One container on the screen.
#[derive(Debug, Default)]
struct Row {
    /// As it was asked for.
    container: String,
    /// The newest sample; `None` before the first and after an error.
    stats: Option<Stats>,
    /// The first sample, or an error, has come.
    known: bool,
    error: Option<Error>,
}

/// All rows, in the order in which they are shown.
type Rows = RefCell<Vec<Row>>;

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let config = app.config()?;
    let format = parsed.value("format").filter(|text| !text.is_empty()).unwrap_or(&config.stats_format).to_owned();
    let show = Show { format, no_trunc: parsed.is("no-trunc") };
    app.block_on(async {
        let client = app.client().await?;
        client.negotiate().await?;
        let all = parsed.is("all");
        if parsed.is("no-stream") {
            return once(client, parsed, all, &show).await;
        }
        watch(client, parsed, all, &show).await
    })
}

fn path(name: &str) -> String {
    format!("/containers/{}/stats", segment(name.trim_start_matches('/')))
}

async fn listed(client: &Client, all: bool) -> Result<Vec<String>, Error> {
    let found: Vec<ContainerSummary> = client.json(Request::get("/containers/json").flag("all", all)).await?;
    Ok(found.iter().map(|container| shared::short_id(&container.id)).collect())
}

/// One sample of each, all asked for at once.
async fn once(client: &Client, parsed: &Parsed, all: bool, show: &Show) -> Result<(), Error> {
    let named = !parsed.args.is_empty();
    let names = if named { parsed.args.clone() } else { listed(client, all).await? };
    let asked = names.iter().map(|name| client.json::<Stats>(Request::get(path(name)).query("stream", "0")));
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for (name, answer) in names.iter().zip(join_all(asked).await) {
        match answer {
            Ok(stats) => rows.push(Row { container: name.clone(), stats: Some(stats), known: true, error: None }),
            // One that ended or was removed meanwhile is no failure where nobody asked for it by name.
            Err(dhow_api::client::Error::Daemon { .. }) if !named => {}
            Err(error) => failures.extend(Error::from(error).words()),
        }
    }
    shared::all_said(failures)?;
    say(&show.text(&rows)?)
}

/// Pictures until nothing is left to show.
async fn watch(client: &Client, parsed: &Parsed, all: bool, show: &Show) -> Result<(), Error> {
    let named = !parsed.args.is_empty();
    let rows = Rows::default();
    let mut follows = FuturesUnordered::new();
    // Told of newcomers before the list is read, so that none falls between.
    let mut events = if named { None } else { Some(Events::open(client, all).await?) };
    let names = if named { parsed.args.clone() } else { listed(client, all).await? };
    for name in names {
        if begin(&rows, &name) {
            follows.push(follow(client, &rows, name));
        }
    }
    let mut tick = tokio::time::interval(REDRAW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawn = false;
    loop {
        tokio::select! {
            Some(name) = follows.next(), if !follows.is_empty() => {
                if !named {
                    rows.borrow_mut().retain(|row| row.container != name);
                }
            }
            change = next_change(&mut events) => match change? {
                Change::Came(id) => if begin(&rows, &id) {
                    follows.push(follow(client, &rows, id));
                },
                Change::Went(id) => rows.borrow_mut().retain(|row| row.container != id),
            },
            _ = tick.tick() => {
                if !drawn && rows.borrow().iter().any(|row| !row.known) {
                    continue;
                }
                if !drawn && named {
                    first_errors(&rows)?;
                }
                drawn = true;
                draw(&rows.borrow(), show)?;
                rows.borrow_mut().retain(|row| row.error.is_none());
                if named && rows.borrow().is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

/// What was asked for by name must be there at the beginning.
fn first_errors(rows: &Rows) -> Result<(), Error> {
    let failures = rows.borrow_mut().iter_mut().filter_map(|row| row.error.take()).flat_map(|error| error.words()).collect();
    shared::all_said(failures)
}

/// Adds a row, unless there is one.
fn begin(rows: &Rows, name: &str) -> bool {
    let mut rows = rows.borrow_mut();
    if rows.iter().any(|row| row.container == name) {
        return false;
    }
    rows.push(Row { container: name.to_owned(), ..Row::default() });
    true
}

/// Keeps one row up to date until its container is gone; gives its name.
async fn follow(client: &Client, rows: &Rows, name: String) -> String {
    let failed = samples(client, rows, &name).await.err();
    if let Some(row) = rows.borrow_mut().iter_mut().find(|row| row.container == name) {
        row.known = true;
        row.stats = None;
        row.error = Some(failed.unwrap_or_else(|| Error::new(format!("{name} is gone"))));
    }
    name
}

async fn samples(client: &Client, rows: &Rows, name: &str) -> Result<(), Error> {
    let mut answer = client.send(Request::get(path(name)).query("stream", "1")).await?;
    let mut pending = Vec::new();
    loop {
        let piece = match tokio::time::timeout(SILENT, answer.chunk()).await {
            Ok(piece) => piece?,
            Err(_) => {
                set(rows, name, None);
                continue;
            }
        };
        let Some(piece) = piece else { return Ok(()) };
        pending.extend_from_slice(&piece);
        if pending.len() > MAX_SAMPLE {
            return Err(Error::new("stats stream: sample too long"));
        }
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let stats = serde_json::from_slice(&line).map_err(|error| Error::new(format!("stats stream: {error}")))?;
            set(rows, name, Some(stats));
        }
    }
}

fn set(rows: &Rows, name: &str, stats: Option<Stats>) {
    if let Some(row) = rows.borrow_mut().iter_mut().find(|row| row.container == name) {
        row.known = true;
        row.stats = stats;
    }
}

/// Containers that come and go.
enum Change {
    Came(String),
    Went(String),
}

/// The engine's events about containers.
struct Events {
    answer: dhow_api::client::Response,
    pending: Vec<u8>,
    all: bool,
}

impl Events {
    async fn open(client: &Client, all: bool) -> Result<Self, Error> {
        let filters = if all {
            json!({"type": ["container"], "event": ["create", "destroy"]})
        } else {
            json!({"type": ["container"], "event": ["start", "die"]})
        };
        let answer = client.send(Request::get("/events").query("filters", filters.to_string())).await?;
        Ok(Self { answer, pending: Vec::new(), all })
    }

    async fn next(&mut self) -> Result<Change, Error> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let event: EventMessage = serde_json::from_slice(&line).map_err(|error| Error::new(format!("event stream: {error}")))?;
                let id = shared::short_id(&event.actor.id);
                let came = event.action == if self.all { "create" } else { "start" };
                return Ok(if came { Change::Came(id) } else { Change::Went(id) });
            }
            match self.answer.chunk().await? {
                Some(piece) => self.pending.extend_from_slice(&piece),
                None => return Err(Error::new("the engine has ended the stream of events")),
            }
            if self.pending.len() > MAX_SAMPLE {
                return Err(Error::new("event stream: event too long"));
            }
        }
    }
}

async fn next_change(events: &mut Option<Events>) -> Result<Change, Error> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

fn draw(rows: &[Row], show: &Show) -> Result<(), Error> {
    let text = show.text(rows)?;
    if !terminal::stdout_is_terminal() {
        return say(&text);
    }
    // Over the picture before, and away with what is left of it: clearing first would flicker.
    let mut out = String::from("\x1b[H");
    for line in text.lines() {
        out.push_str(line);
        out.push_str("\x1b[K\n");
    }
    out.push_str("\x1b[J");
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::output)
}

/// How rows are shown.
struct Show {
    format: String,
    no_trunc: bool,
}

impl Show {
    fn text(&self, rows: &[Row]) -> Result<String, Error> {
        let rows = rows.iter().map(|row| self.row(row)).collect();
        list::render(list::List { table: TABLE, headings: HEADINGS, kind: "*container.statsContext", rows }, &self.format)
    }

    fn row(&self, row: &Row) -> Map<String, Value> {
        let missing = || "--".to_owned();
        let value = match &row.stats {
            Some(stats) => {
                let id = if self.no_trunc { stats.id.clone() } else { shared::short_id(&stats.id) };
                let ((read, written), (received, sent)) = (stats.io(), stats.traffic());
                json!({
                    "BlockIO": pair(read, written),
                    "CPUPerc": format!("{:.2}%", stats.cpu_percent()),
                    "Container": row.container,
                    "ID": id,
                    "MemPerc": format!("{:.2}%", stats.memory_percent()),
                    "MemUsage": format!("{} / {}", binary(stats.memory_used()), binary(stats.memory.limit)),
                    "Name": stats.name.strip_prefix('/').unwrap_or(&stats.name),
                    "NetIO": pair(received, sent),
                    "PIDs": stats.pids.current.to_string(),
                })
            }
            None => json!({
                "BlockIO": missing(), "CPUPerc": missing(), "Container": row.container, "ID": missing(), "MemPerc": missing(),
                "MemUsage": "-- / --", "Name": missing(), "NetIO": missing(), "PIDs": missing(),
            }),
        };
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn pair(first: u64, second: u64) -> String {
    format!("{} / {}", human_with(first as f64, 3), human_with(second as f64, 3))
}

#[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
fn binary(bytes: u64) -> String {
    human_binary(bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> Stats {
        let mut stats = Stats { name: "/web".into(), id: "a".repeat(64), ..Stats::default() };
        stats.memory.usage = 516 * 1024;
        stats.memory.limit = 25_276_502_016;
        stats.pids.current = 2;
        stats
    }

    #[test]
    fn the_table() {
        let show = Show { format: String::new(), no_trunc: false };
        let rows = [
            Row { container: "web".into(), stats: Some(stats()), known: true, error: None },
            Row { container: "new".into(), ..Row::default() },
        ];
        insta::assert_snapshot!(show.text(&rows).unwrap(), @r"
        CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O   BLOCK I/O   PIDS
        aaaaaaaaaaaa   web       0.00%     516KiB / 23.54GiB   0.00%     0B / 0B   0B / 0B     2
        --             --        --        -- / --             --        --        --          --
        ");
    }

    #[test]
    fn json_has_dockers_keys() {
        let show = Show { format: "json".into(), no_trunc: true };
        let row = Row { container: "web".into(), stats: Some(stats()), known: true, error: None };
        let text = show.text(&[row]).unwrap();
        assert!(text.starts_with(r#"{"BlockIO":"0B / 0B","CPUPerc":"0.00%","Container":"web","ID":"aaaaaaaaaaaaa"#), "{text}");
        assert!(text.trim_end().ends_with(r#""MemUsage":"516KiB / 23.54GiB","Name":"web","NetIO":"0B / 0B","PIDs":"2"}"#), "{text}");
    }
}
