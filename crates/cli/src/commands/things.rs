//! What networks and volumes have in common: how they are listed and removed.

use std::collections::BTreeMap;

use dhow_api::client::{Error as Refusal, Request};
use serde_json::{Map, Value};

use crate::app::App;
use crate::error::Error;
use crate::flags::Parsed;
use crate::output::{list, say};

/// A list of things of one kind.
pub(super) struct Listing {
    /// The template of `--quiet`.
    pub(super) quiet: &'static str,
    /// The columns of the table.
    pub(super) table: &'static str,
    /// What may be a column, with its heading.
    pub(super) headings: &'static [(&'static str, &'static str)],
    /// Their kind, for errors of templates.
    pub(super) kind: &'static str,
}

/// Prints a list by `--format`, by `--quiet`, or as the person's configuration says.
pub(super) fn show(parsed: &Parsed, listing: &Listing, configured: &str, rows: Vec<Map<String, Value>>) -> Result<(), Error> {
    let format = match (parsed.value("format").unwrap_or_default(), parsed.is("quiet")) {
        ("" | "table", true) => listing.quiet,
        ("", false) => configured,
        (given, _) => given,
    };
    let Listing { table, headings, kind, .. } = listing;
    say(&list::render(list::List { table, headings, kind, rows }, format)?)
}

/// Labels in one cell.
pub(super) fn labels(labels: Option<&BTreeMap<String, String>>) -> String {
    labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Sends a request for each name, one after the other, and prints the names of those that it removed. Answers what was refused, but for what
/// is forgiven.
pub(super) fn remove(
    app: &App,
    names: &[String],
    request: impl Fn(&str) -> Request,
    forgiven: impl Fn(&Refusal) -> bool,
) -> Result<Vec<String>, Error> {
    app.block_on(async {
        let client = app.client().await?;
        let mut refused = Vec::new();
        for name in names {
            match client.call(request(name)).await {
                Ok(_) => say(&format!("{name}\n"))?,
                Err(error) if forgiven(&error) => {}
                Err(error) => refused.push(error.to_string()),
            }
        }
        Ok(refused)
    })
}
