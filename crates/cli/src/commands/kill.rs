//! `kill`.

use dhow_api::client::Request;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container kill", "kill"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    short: "Send a signal to running containers, KILL unless told",
    flags: FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[string("signal", "Signal to send").short('s')];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    shared::for_each(app, &parsed.args, |name| Request::post(shared::container(name, "/kill")).query_opt("signal", parsed.value("signal")))
}
