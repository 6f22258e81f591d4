//! `events`.

use std::io::Write;

use dhow_api::client::Request;
use dhow_api::types::EventMessage;
use serde_json::Value;

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, filter, string};
use crate::options::filters;
use crate::output::time;
use crate::template::{Missing, Template};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["system events", "events"],
    usage: "[OPTIONS]",
    short: "Show what happens, as it happens",
    flags: FLAGS,
    arity: Arity::None,
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    filter("Show only what a condition (key=value) holds for"),
    string("format", "json, or a Go template"),
    string("since", "From this time on"),
    string("until", "Up to this time"),
];

/// A single event is far shorter than this.
const MAX_EVENT: usize = 4 * 1024 * 1024;

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let template = match parsed.text("format") {
        "" | "json" => None,
        text => {
            let text = text.replace("\\t", "\t").replace("\\n", "\n");
            Some(
                Template::parse("", &text)
                    .map_err(|error| Error::with_status(format!("Error parsing format: template parsing error: {error}"), 64))?,
            )
        }
    };
    let moment = |flag: &str| -> Result<Option<String>, Error> {
        let given = parsed.value(flag).filter(|text| !text.is_empty());
        given.map(time::given).transpose().map_err(Error::new)
    };
    let request = Request::get("/events")
        .query_opt("filters", filters(&parsed.all("filter")))
        .query_opt("since", moment("since")?)
        .query_opt("until", moment("until")?);
    app.block_on(async {
        let mut answer = app.client().await?.send(request).await?;
        let mut pending = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            pending.extend_from_slice(&piece);
            let mut stream = serde_json::Deserializer::from_slice(&pending).into_iter::<Value>();
            let mut used = 0;
            let mut text = String::new();
            while let Some(event) = stream.next() {
                match event {
                    Ok(event) => {
                        used = stream.byte_offset();
                        text.push_str(&show(&event, template.as_ref(), parsed.text("format"))?);
                    }
                    Err(error) if error.is_eof() => break,
                    Err(error) => return Err(Error::new(format!("event stream: {error}"))),
                }
            }
            pending.drain(..used);
            if pending.len() > MAX_EVENT {
                return Err(Error::new("event stream: event too long"));
            }
            std::io::stdout().write_all(text.as_bytes()).map_err(Error::output)?;
        }
        Ok(())
    })
}

fn show(event: &Value, template: Option<&Template>, format: &str) -> Result<String, Error> {
    if format == "json" || format == "{{json .}}" {
        return Ok(format!("{event}\n"));
    }
    if let Some(template) = template {
        let text = template.render(&complete(event), Missing::Type("*events.Message")).map_err(Error::new)?;
        return Ok(text + "\n");
    }
    let message: EventMessage = serde_json::from_value(event.clone()).map_err(|error| Error::new(format!("event stream: {error}")))?;
    Ok(line(&message))
}

/// Fields that an event may leave out are empty for a template.
fn complete(event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(map) = event.as_object_mut() {
        for key in ["status", "id", "from", "scope", "Type", "Action"] {
            map.entry(key).or_insert_with(|| Value::String(String::new()));
        }
    }
    event
}

fn line(message: &EventMessage) -> String {
    let when = if message.time_nano != 0 { message.time_nano } else { message.time.saturating_mul(1_000_000_000) };
    let mut out = format!("{} {} {} {}", time::show_nanos(when), message.kind, message.action, message.actor.id);
    let attributes: Vec<String> = message.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !attributes.is_empty() {
        out.push_str(&format!(" ({})", attributes.join(", ")));
    }
    out + "\n"
}
