//! `wait`.

use dhow_api::client::Request;
use dhow_api::types::WaitAnswer;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::Parsed;
use crate::output::say;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container wait", "wait"],
    usage: "CONTAINER [CONTAINER...]",
    short: "Wait until containers end, and print their exit codes",
    flags: &[],
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    app.block_on(async {
        let client = app.client().await?;
        let mut failures = Vec::new();
        for name in &parsed.args {
            let request = Request::post(shared::container(shared::named(name)?, "/wait"));
            match client.json::<WaitAnswer>(request).await {
                Ok(answer) => say(&format!("{}\n", answer.status_code))?,
                Err(error) => failures.push(error.to_string()),
            }
        }
        shared::all_said(failures)
    })
}
