//! `logout`.

use crate::app::App;
use crate::command::{Arity, Command};
use crate::credentials;
use crate::error::Error;
use crate::flags::Parsed;
use crate::output::{say, warn};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["logout"],
    usage: "[SERVER]",
    short: "Log out from a registry, Docker Hub if none is named",
    flags: &[],
    arity: Arity::AtMost(1),
    stop_early: false,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let key = credentials::key(parsed.args.first().map_or("", String::as_str));
    say(&format!("Removing login credentials for {key}\n"))?;
    if let Err(error) = credentials::erase(app.config()?, &key) {
        warn(&format!("WARNING: could not erase credentials:\n{key}: {error}"));
    }
    Ok(())
}
