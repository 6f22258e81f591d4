//! `events`.

use std::io::Write;

use dhow_api::client::Request;
use dhow_api::types::EventMessage;
use serde_json::{Value, json};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, filter, string};
use crate::options::filters;
use crate::output::time;
use crate::template::{Missing, Template, typed};

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
    let template = template(parsed.text("format"))?;
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
            let (used, text, failure) = show_all(&pending, template.as_ref());
            std::io::stdout().write_all(text.as_bytes()).map_err(Error::output)?;
            if let Some(failure) = failure {
                return Err(failure);
            }
            pending.drain(..used);
            if pending.len() > MAX_EVENT {
                return Err(Error::new("event stream: event too long"));
            }
        }
        Ok(())
    })
}

/// Reads the template and tries it on an event that says nothing, so that a field that there is not ends the command before it begins.
fn template(format: &str) -> Result<Option<Template>, Error> {
    let text = match format {
        "" => return Ok(None),
        "json" => "{{json .}}",
        text => text,
    };
    let wrong = |error| Error::with_status(format!("Error parsing format: {error}"), 64);
    let template = Template::parse("", text).map_err(wrong)?;
    template.render(&view(&EventMessage::default(), "*events.Message"), Missing::Value).map_err(wrong)?;
    Ok(Some(template))
}

/// Shows the whole events at the beginning of `bytes`: how many bytes they are, their text, and what ended it before its end.
fn show_all(bytes: &[u8], template: Option<&Template>) -> (usize, String, Option<Error>) {
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<EventMessage>();
    let (mut used, mut text) = (0, String::new());
    while let Some(event) = stream.next() {
        let event = match event {
            Ok(event) => event,
            Err(error) if error.is_eof() => break,
            Err(error) => return (used, text, Some(Error::new(format!("event stream: {error}")))),
        };
        used = stream.byte_offset();
        match template.map(|template| template.render(&view(&event, "events.Message"), Missing::Value)) {
            None => text.push_str(&line(&event)),
            Some(Ok(shown)) => text.push_str(&(shown + "\n")),
            // Its line ends all the same.
            Some(Err(error)) => return (used, text + "\n", Some(Error::new(error))),
        }
    }
    (used, text, None)
}

/// An event as templates see it.
fn view(event: &EventMessage, kind: &str) -> Value {
    let (attributes, json) = (json!(event.actor.attributes), json!(event));
    let actor = typed::own("events.Actor", [("ID", json!(event.actor.id)), ("Attributes", attributes)], None);
    let fields = [
        ("Status", json!(event.status)),
        ("ID", json!(event.id)),
        ("From", json!(event.from)),
        ("Type", json!(event.kind)),
        ("Action", json!(event.action)),
        ("Actor", actor),
        ("Scope", json!(event.scope)),
        ("Time", json!(event.time)),
        ("TimeNano", json!(event.time_nano)),
    ];
    typed::own(kind, fields, Some(&json))
}

fn line(message: &EventMessage) -> String {
    let when = if message.time_nano != 0 { message.time_nano } else { message.time.saturating_mul(1_000_000_000) };
    let time = if when == 0 { String::new() } else { time::show_nanos(when) + " " };
    let mut out = format!("{time}{} {} {}", message.kind, message.action, message.actor.id);
    let attributes: Vec<String> = message.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !attributes.is_empty() {
        out.push_str(&format!(" ({})", attributes.join(", ")));
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"status":"start","id":"abc","from":"busybox","Type":"container","Action":"start","Actor":{"ID":"abc","Attributes":{"a":"<b>","name":"web"}},"scope":"local","time":1700000000,"timeNano":1700000000000000001}"#;

    #[test]
    fn templates() {
        let check = |format: &str, expect: &str| {
            let (used, text, failure) = show_all(EVENT.as_bytes(), template(format).unwrap().as_ref());
            assert_eq!((used, text.as_str(), failure.is_none()), (EVENT.len(), expect, true), "{format}");
        };
        check("json", &format!("{EVENT}\n"));
        check("{{json .}}", &format!("{EVENT}\n"));
        check("{{json .Actor}}", "{\"ID\":\"abc\",\"Attributes\":{\"a\":\"<b>\",\"name\":\"web\"}}\n");
        check("{{.}}", "{start abc busybox container start {abc map[a:<b> name:web]} local 1700000000 1700000000000000001}\n");
        check(
            "{{.ID}} {{.Status}} {{.From}} {{.Type}} {{.Time}} {{.TimeNano}}",
            "abc start busybox container 1700000000 1700000000000000001\n",
        );
        check("{{.Actor.Attributes.name}} {{.Actor.Attributes.nope}}", "web <no value>\n");
        check("{{index .Actor.Attributes \"a\"}}{{len .Actor.Attributes}}", "<b>2\n");
        check("{{index .Actor.Attributes \"nope\"}}", "\n");
        check("a\\t", "a\\t\n");
        check("table {{.ID}}", "table abc\n");
    }

    #[test]
    fn wrong_templates_in_docker_words() {
        let check = |format: &str, expect: &str| {
            let error = template(format).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.status()), (expect, 64), "{format}");
        };
        let field = |place, field: &str, name: &str, kind: &str| {
            format!("Error parsing format: template: :1:{place}: executing \"\" at <{field}>: can't evaluate field {name} in type {kind}")
        };
        check("{{.Nope}}", &field(2, ".Nope", "Nope", "*events.Message"));
        check("{{.id}}", &field(2, ".id", "id", "*events.Message"));
        check("{{.Actor.Nope}}", &field(8, ".Actor.Nope", "Nope", "events.Actor"));
        check("{{", "Error parsing format: template: :1: unclosed action");
        check("{{nofunc .Type}}", "Error parsing format: template: :1: function \"nofunc\" not defined");
    }

    #[test]
    fn a_template_that_fails_on_the_way() {
        let (_, text, failure) = show_all(EVENT.as_bytes(), template("{{.Actor.Attributes.name.x}}").unwrap().as_ref());
        assert_eq!(text, "\n");
        assert!(failure.unwrap().to_string().ends_with("can't evaluate field x in type string"));
    }

    #[test]
    fn lines() {
        let (used, text, _) = show_all(&EVENT.as_bytes()[..20], None);
        assert_eq!((used, text.as_str()), (0, ""));
        let (_, text, _) = show_all(br#"{"Type":"container","Action":"prune","Actor":{"ID":"","Attributes":{"reclaimed":"0"}}}"#, None);
        assert_eq!(text, "container prune  (reclaimed=0)\n");
    }
}
