//! `rename`.

use dhow_api::client::Request;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::Parsed;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container rename", "rename"],
    usage: "CONTAINER NEW_NAME",
    short: "Give a container another name",
    flags: &[],
    arity: Arity::Exactly(2),
    stop_early: false,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let [old, new] = parsed.args.as_slice() else { return Ok(()) };
    if old.trim().is_empty() || new.trim().is_empty() {
        return Err(Error::new("Error: Neither old nor new names may be empty"));
    }
    app.block_on(async {
        let request = Request::post(shared::container(old.trim(), "/rename")).query("name", new.trim());
        match app.client().await?.call(request).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::new(format!("{error}\nError: failed to rename container named {}", old.trim()))),
        }
    })
}
