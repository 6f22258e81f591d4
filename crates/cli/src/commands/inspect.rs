//! `inspect`, of any object or of one kind.

use dhow_api::client::{Client, Request, segment};
use serde_json::Value;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::output::json;
use crate::output::{say, warn};
use crate::template::{Missing, Template, typed};

/// `inspect`: finds out what a name means.
pub(super) static COMMAND: Command = Command {
    names: &["inspect"],
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    short: "Show everything about objects",
    flags: &[FORMAT, SIZE, string("type", "Only look for objects of this type")],
    arity: Arity::AtLeast(1),
    stop_early: false,
    run: run_any,
};

/// `container inspect`.
pub(super) static CONTAINER: Command = Command {
    names: &["container inspect"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    short: "Show everything about containers",
    flags: &[FORMAT, SIZE],
    arity: Arity::AtLeast(1),
    stop_early: false,
    run: |app, parsed| run(app, parsed, &[Kind::Container]),
};

/// `image inspect`.
pub(super) static IMAGE: Command = Command {
    names: &["image inspect"],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    short: "Show everything about images",
    flags: &[FORMAT, string("platform", "Platform of the image to show, os[/arch[/variant]]")],
    arity: Arity::AtLeast(1),
    stop_early: false,
    run: |app, parsed| run(app, parsed, &[Kind::Image]),
};

/// `network inspect`.
pub(super) static NETWORK: Command = Command {
    names: &["network inspect"],
    usage: "[OPTIONS] NETWORK [NETWORK...]",
    short: "Show everything about networks",
    flags: &[FORMAT, switch("verbose", "More about networks of a cluster").short('v')],
    arity: Arity::AtLeast(1),
    stop_early: false,
    run: |app, parsed| run(app, parsed, &[Kind::Network]),
};

/// `volume inspect`.
pub(super) static VOLUME: Command = Command {
    names: &["volume inspect"],
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    short: "Show everything about volumes",
    flags: &[FORMAT],
    arity: Arity::AtLeast(1),
    stop_early: false,
    run: |app, parsed| run(app, parsed, &[Kind::Volume]),
};

const FORMAT: Flag = string("format", "json, or a Go template").short('f');
const SIZE: Flag = switch("size", "Show sizes of containers").short('s');

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
    /// What lives in a cluster or beside the engine: what its API calls it.
    Other(&'static str),
}

/// The kinds that `--type` takes, in the order of the error text.
const KINDS: [(&str, Kind); 10] = [
    ("config", Kind::Other("configs")),
    ("container", Kind::Container),
    ("image", Kind::Image),
    ("network", Kind::Network),
    ("node", Kind::Other("nodes")),
    ("plugin", Kind::Other("plugins")),
    ("secret", Kind::Other("secrets")),
    ("service", Kind::Other("services")),
    ("task", Kind::Other("tasks")),
    ("volume", Kind::Volume),
];

impl Kind {
    fn path(self, name: &str) -> String {
        match self {
            Self::Container => shared::container(name, "/json"),
            Self::Image => format!("/images/{}/json", segment(name)),
            Self::Network => format!("/networks/{}", segment(name)),
            Self::Volume => format!("/volumes/{}", segment(name)),
            Self::Other("plugins") => format!("/plugins/{}/json", segment(name)),
            Self::Other(what) => format!("/{what}/{}", segment(name)),
        }
    }
}

fn run_any(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let Some(given) = parsed.value("type") else {
        return run(app, parsed, &[Kind::Container, Kind::Image, Kind::Network, Kind::Volume]);
    };
    let known = || {
        let names: Vec<String> = KINDS.iter().map(|(name, _)| crate::flags::quote(name)).collect();
        format!("must be one of {}", names.join(", "))
    };
    match KINDS.iter().find(|(name, _)| *name == given) {
        Some((_, kind)) => run(app, parsed, &[*kind]),
        None if given.is_empty() => Err(Error::new(format!("type is empty: {}", known()))),
        None => Err(Error::new(format!("unknown type: {}: {}", crate::flags::quote(given), known()))),
    }
}

fn run(app: &App, parsed: &Parsed, kinds: &[Kind]) -> Result<(), Error> {
    let format = parsed.text("format");
    let template = match format {
        "" | "json" => None,
        text => Some(Template::parse("", text).map_err(|error| Error::with_status(format!("template parsing error: {error}"), 64))?),
    };
    let platform = parsed.value("platform").filter(|platform| !platform.is_empty());
    let platform = platform.map(|text| super::images::platform_query(text, "")).transpose()?;
    let (found, failures) = app.block_on(async {
        let client = app.client().await?;
        let mut found = Vec::new();
        let mut failures = Vec::new();
        for name in &parsed.args {
            match find(client, name, kinds, platform.as_deref(), parsed).await {
                Ok(value) => found.push(value),
                Err(Error::Api(error)) if error.status().is_none() => return Err(Error::Api(error)),
                Err(error) => failures.extend(error.words()),
            }
        }
        Ok((found, failures))
    })?;
    let problem = show(found, format, template.as_ref())?;
    if let Some(problem) = problem {
        warn(&problem);
        return Err(Error::Exit(1));
    }
    shared::all_said(failures)
}

/// Prints what was found; a template that fails ends the list.
fn show(found: Vec<Value>, format: &str, template: Option<&Template>) -> Result<Option<String>, Error> {
    let Some(template) = template else {
        let all = Value::Array(found);
        let text = match &all {
            Value::Array(list) if list.is_empty() => "[]".to_owned(),
            _ if format == "json" => all.to_string(),
            _ => json::pretty(&all),
        };
        say(&format!("{text}\n"))?;
        return Ok(None);
    };
    for value in &found {
        // The typed view first; where it has not what is asked for, the words of the plain object count.
        let outcome = template.render(&typed::view(value), Missing::Entry).or_else(|_| template.render(value, Missing::Entry));
        match outcome {
            Ok(text) => say(&format!("{text}\n"))?,
            Err(error) => {
                say("\n")?;
                return Ok(Some(format!("template parsing error: {error}")));
            }
        }
    }
    if found.is_empty() {
        say("\n")?;
    }
    Ok(None)
}

async fn find(client: &Client, name: &str, kinds: &[Kind], platform: Option<&str>, parsed: &Parsed) -> Result<Value, Error> {
    for kind in kinds {
        let mut request = Request::get(kind.path(name)).flag("size", *kind == Kind::Container && parsed.is("size"));
        if let Some(platform) = platform {
            request = request.query("platform", platform);
        }
        match client.json::<Value>(request).await {
            Ok(value) => return Ok(value),
            // Some refuse a name that cannot be one of theirs: it may be one of the next kind's.
            Err(error) if kinds.len() > 1 && matches!(error.status(), Some(404 | 400 | 501)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::new(format!("Error: No such object: {name}")))
}
