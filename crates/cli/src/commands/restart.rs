//! `restart`.

use super::{shared, stop};
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::Parsed;
use crate::output::say;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container restart", "restart"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    short: "Restart containers",
    flags: stop::FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

/// One after the other: they may depend on each other in the order given.
fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let timeout = stop::timeout(parsed)?;
    app.block_on(async {
        let client = app.client().await?;
        let mut failures = Vec::new();
        for name in &parsed.args {
            match client.call(stop::request(shared::named(name)?, "/restart", parsed, timeout)).await {
                Ok(_) => say(&format!("{name}\n"))?,
                Err(error) => failures.push(error.to_string()),
            }
        }
        shared::all_said(failures)
    })
}
