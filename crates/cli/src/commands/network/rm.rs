//! `network rm`.

use dhow_api::client::Request;

use super::path;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::commands::things;
use crate::error::Error;
use crate::flags::{Parsed, switch};
use crate::output::warn;

/// The command.
pub(in super::super) static COMMAND: Command = Command {
    names: &["network rm", "network remove"],
    usage: "NETWORK [NETWORK...]",
    short: "Remove networks",
    flags: &[switch("force", "One that is not there is no error").short('f')],
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let forgiven = |error: &dhow_api::client::Error| parsed.is("force") && error.is_not_found();
    let refused = things::remove(app, &parsed.args, |name| Request::delete(path(name, "")), forgiven)?;
    refused.iter().for_each(|text| warn(text));
    if refused.is_empty() { Ok(()) } else { Err(Error::new("exit status 1")) }
}
