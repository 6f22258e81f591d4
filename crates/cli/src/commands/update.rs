//! `update`.

use dhow_api::client::Request;
use dhow_api::types::WarningsAnswer;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::Parsed;
use crate::options::{UPDATE_FLAGS, update_body};
use crate::output::say;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container update", "update"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    short: "Change the limits of containers",
    flags: UPDATE_FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    if !parsed.any_given() {
        return Err(Error::new("you must provide one or more flags when using this command"));
    }
    let body = update_body(parsed)?;
    app.block_on(async {
        let client = app.client().await?;
        let mut warnings = Vec::new();
        let mut failures = Vec::new();
        for name in &parsed.args {
            let request = Request::post(shared::container(shared::named(name)?, "/update")).json(&body)?;
            match client.json::<WarningsAnswer>(request).await {
                Ok(answer) => {
                    say(&format!("{name}\n"))?;
                    warnings.extend(answer.warnings.unwrap_or_default());
                }
                Err(error) => failures.push(error.to_string()),
            }
        }
        if !warnings.is_empty() {
            // Where Docker's client says them.
            say(&format!("{}\n", warnings.join("\n")))?;
        }
        shared::all_said(failures)
    })
}
