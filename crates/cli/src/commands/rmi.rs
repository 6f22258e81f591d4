//! `rmi`.

use dhow_api::client::{Request, segment};
use dhow_api::types::ImageDeleteItem;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, special, switch};
use crate::output::{say, warn};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["image rm", "image remove", "rmi"],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    short: "Remove images",
    flags: FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("force", "Remove an image that has several tags or that a stopped container uses").short('f'),
    switch("no-prune", "Keep parents without a tag"),
    special("platform", "strings", "Remove only these platforms of it", |_| Ok(())),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    app.block_on(async {
        let platforms = parsed.all("platform");
        let platforms = platforms.iter().flat_map(|list| list.split(',')).map(|text| super::images::platform_query(text, ""));
        let platforms = platforms.collect::<Result<Vec<_>, _>>()?;
        let client = app.client().await?;
        let mut failures = Vec::new();
        let mut only_missing = true;
        for name in &parsed.args {
            let mut request = Request::delete(format!("/images/{}", segment(name)))
                .flag("force", parsed.is("force"))
                .flag("noprune", parsed.is("no-prune"));
            for platform in &platforms {
                request = request.query("platforms", platform);
            }
            match client.json::<Option<Vec<ImageDeleteItem>>>(request).await {
                Ok(items) => say(&report(&items.unwrap_or_default()))?,
                Err(error) => {
                    only_missing &= error.is_not_found();
                    failures.push(error.to_string());
                }
            }
        }
        // Whoever forces does not mind that it is gone already.
        if parsed.is("force") && only_missing && !failures.is_empty() {
            warn(&failures.join("\n"));
            return Ok(());
        }
        shared::all_said(failures)
    })
}

fn report(items: &[ImageDeleteItem]) -> String {
    let line = |item: &ImageDeleteItem| {
        if item.deleted.is_empty() { format!("Untagged: {}\n", item.untagged) } else { format!("Deleted: {}\n", item.deleted) }
    };
    items.iter().map(line).collect()
}
