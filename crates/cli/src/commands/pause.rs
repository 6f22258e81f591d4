//! `pause`.

use dhow_api::client::Request;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container pause", "pause"],
    usage: "CONTAINER [CONTAINER...]",
    short: "Freeze all processes of containers",
    flags: FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    shared::for_each(app, &parsed.args, |name| Request::post(shared::container(name, "/pause")))
}
