//! `rm`.

use dhow_api::client::Request;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, switch};
use crate::output::{say, warn};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container rm", "container remove", "rm"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    short: "Remove containers",
    flags: FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("force", "Kill a running container first").short('f'),
    switch("link", "Remove the link, not the container").short('l'),
    switch("volumes", "Remove its anonymous volumes too").short('v'),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    app.block_on(async {
        let client = app.client().await?;
        client.negotiate().await?;
        let mut failures = Vec::new();
        let requests = parsed.args.iter().map(|name| {
            let path = name.trim_matches('/');
            let request = shared::named(path).map(|path| {
                Request::delete(shared::container(path, ""))
                    .flag("force", parsed.is("force"))
                    .flag("link", parsed.is("link"))
                    .flag("v", parsed.is("volumes"))
            });
            async move { (name, async { Ok::<_, Error>(client.call(request?).await?) }.await) }
        });
        for (name, outcome) in futures_util::future::join_all(requests).await {
            match outcome {
                Ok(_) => say(&format!("{name}\n"))?,
                // Whoever forces does not mind that it is gone already.
                Err(Error::Api(error)) if parsed.is("force") && error.is_not_found() => warn(&error.to_string()),
                Err(error) => failures.extend(error.words()),
            }
        }
        failures.dedup();
        shared::all_said(failures)
    })
}
