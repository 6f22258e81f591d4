//! `search`.

use dhow_api::client::Request;
use dhow_api::filters::{Filters, parse_flag};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, filter, int, string, switch};
use crate::output::table::ellipsis;
use crate::output::{list, say};
use crate::registry_auth;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["search"],
    usage: "[OPTIONS] TERM",
    short: "Look for images on Docker Hub",
    flags: FLAGS,
    arity: Arity::Exactly(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    filter("Only what fits: is-official, stars").short('f'),
    string("format", "table, json, or a Go template"),
    int("limit", "Most results"),
    switch("no-trunc", "Do not cut anything"),
];

const HEADINGS: &[(&str, &str)] =
    &[("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL"), ("IsAutomated", "AUTOMATED")];
const TABLE: &str = "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Found {
    name: String,
    description: String,
    star_count: i64,
    is_official: bool,
    is_automated: bool,
}

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let term = &parsed.args[0];
    let mut filters = Filters::new();
    for text in parsed.all("filter") {
        let (key, value) = parse_flag(&text).map_err(|error| Error::new(error.message))?;
        filters.add(&key, &value);
    }
    let limit = parsed.value("limit").filter(|limit| limit.parse::<i64>().is_ok_and(|limit| limit > 0));
    let request = Request::get("/images/search")
        .query_opt("filters", Some(filters.to_json()).filter(|_| !filters.is_empty()))
        .query_opt("limit", limit)
        .query("term", term)
        .header("x-registry-auth", registry_auth::search_header(app.config()?, term));
    let found: Vec<Found> = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    let whole = parsed.is("no-trunc");
    let rows = found.iter().map(|found| row(found, whole)).collect();
    say(&list::render(list::List { table: TABLE, headings: HEADINGS, kind: "*formatter.searchContext", rows }, parsed.text("format"))?)
}

fn row(found: &Found, whole: bool) -> Map<String, Value> {
    let text = found.description.replace(['\n', '\r'], " ");
    let mark = |yes: bool| if yes { "[OK]" } else { "" };
    let value = json!({
        "Description": if whole { text } else { ellipsis(&text, 45) },
        "IsAutomated": mark(found.is_automated),
        "IsOfficial": mark(found.is_official),
        "Name": found.name,
        "StarCount": found.star_count.to_string(),
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
    fn rows() {
        let found = Found {
            name: "x".into(),
            description: "a\n".to_owned() + &"b".repeat(60),
            star_count: 3,
            is_official: true,
            ..Found::default()
        };
        let short = row(&found, false);
        assert_eq!(
            (short["IsOfficial"].as_str(), short["StarCount"].as_str(), short["IsAutomated"].as_str()),
            (Some("[OK]"), Some("3"), Some(""))
        );
        assert_eq!(short["Description"].as_str().map(|text| text.chars().count()), Some(45));
        assert!(row(&found, true)["Description"].as_str().is_some_and(|text| text.starts_with("a b") && text.len() == 62));
    }
}
