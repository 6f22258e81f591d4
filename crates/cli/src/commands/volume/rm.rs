//! `volume rm`.

use dhow_api::client::{Request, segment};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::commands::{shared, things};
use crate::error::Error;
use crate::flags::{Parsed, switch};

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
    let request = |name: &str| Request::delete(format!("/volumes/{}", segment(name))).flag("force", parsed.is("force"));
    shared::all_said(things::remove(app, &parsed.args, request, |_| false)?)
}
