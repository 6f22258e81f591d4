//! `history`.

use dhow_api::client::{Request, segment};
use dhow_api::size::human_with;
use dhow_api::types::ImageHistoryItem;
use serde_json::{Map, Value, json};

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::output::say;
use crate::output::table::ellipsis;
use crate::output::{list, time};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["image history", "history"],
    usage: "[OPTIONS] IMAGE",
    short: "Show the steps that an image was made in",
    flags: FLAGS,
    arity: Arity::Exactly(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    string("format", "table, json, or a Go template"),
    switch("human", "Sizes and times for people").short('H').default("true"),
    switch("no-trunc", "Do not cut anything"),
    string("platform", "History for this platform, os[/arch[/variant]]"),
    switch("quiet", "Show ids only").short('q'),
];

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// 2000-01-01: what is not younger has no honest age.
const EPOCH: i64 = 946_684_800;

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let mut request = Request::get(format!("/images/{}/history", segment(&parsed.args[0])));
    if let Some(platform) = parsed.value("platform").filter(|platform| !platform.is_empty()) {
        request = request.query("platform", super::images::platform_query(platform, "invalid platform: ")?);
    }
    let steps: Vec<ImageHistoryItem> = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    let human = parsed.is_or_default_on("human");
    let mut format = parsed.text("format");
    if parsed.is("quiet") && matches!(format, "" | "table") {
        format = "{{.ID}}";
    }
    let at = if human { "CreatedSince" } else { "CreatedAt" };
    let table = format!("{{{{.ID}}}}\t{{{{.{at}}}}}\t{{{{.CreatedBy}}}}\t{{{{.Size}}}}\t{{{{.Comment}}}}");
    let rows = steps.iter().map(|step| row(step, parsed.is("no-trunc"), human)).collect();
    say(&list::render(list::List { table: &table, headings: HEADINGS, kind: "*image.historyContext", rows }, format)?)
}

fn row(step: &ImageHistoryItem, no_trunc: bool, human: bool) -> Map<String, Value> {
    let at = time::show_rfc3339(step.created);
    let since = match (human, step.created > EPOCH) {
        (false, _) => at.clone(),
        (true, true) => time::ago(step.created),
        (true, false) => String::new(),
    };
    let by = step.created_by.replace('\t', " ");
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let size = if human { human_with(step.size as f64, 3) } else { step.size.to_string() };
    let value = json!({
        "Comment": step.comment,
        "CreatedAt": at,
        "CreatedBy": if no_trunc { by } else { ellipsis(&by, 45) },
        "CreatedSince": since,
        "ID": if no_trunc { step.id.clone() } else { shared::short_id(&step.id) },
        "Size": size,
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
        let step = ImageHistoryItem {
            id: format!("sha256:{}", "a".repeat(64)),
            created: 0,
            created_by: "/bin/sh -c #(nop)\t".to_owned() + &"x".repeat(60),
            size: 4_261_502,
            ..ImageHistoryItem::default()
        };
        let short = row(&step, false, true);
        assert_eq!((short["ID"].as_str(), short["Size"].as_str()), (Some("aaaaaaaaaaaa"), Some("4.26MB")));
        assert_eq!((short["CreatedSince"].as_str(), short["CreatedBy"].as_str().map(|t| t.chars().count())), (Some(""), Some(45)));
        let whole = row(&step, true, false);
        assert_eq!(whole["Size"], "4261502");
        assert_eq!(whole["CreatedSince"], whole["CreatedAt"]);
        assert_eq!(row(&ImageHistoryItem { id: "<missing>".into(), ..step }, false, true)["ID"], "<missing>");
    }
}
