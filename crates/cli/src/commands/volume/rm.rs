//! `volume rm`.

use dhow_api::client::{Request, segment};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::commands::shared;
use crate::error::Error;
use crate::flags::{Parsed, switch};
use crate::output::say;

/// The command.
pub(in super::super) static COMMAND: Command = Command {
    names: &["volume rm", "volume remove"],
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    short: "Remove volumes that nobody uses",
    flags: &[switch("force", "No error for one that is not there").short('f')],
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    app.block_on(async {
        let client = app.client().await?;
        let mut failures = Vec::new();
        for name in &parsed.args {
            match client.call(Request::delete(format!("/volumes/{}", segment(name))).flag("force", parsed.is("force"))).await {
                Ok(_) => say(&format!("{name}\n"))?,
                Err(error) => failures.push(error.to_string()),
            }
        }
        shared::all_said(failures)
    })
}
