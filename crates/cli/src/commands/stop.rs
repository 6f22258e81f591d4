//! `stop`.

use dhow_api::client::Request;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, int, string};
use crate::output::say;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container stop", "stop"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    short: "Stop running containers",
    flags: FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

/// Also those of `restart`.
pub(super) static FLAGS: &[Flag] = &[
    string("signal", "Signal to send").short('s'),
    int("time", "Old name of --timeout").hidden(),
    int("timeout", "Seconds to wait before the container is killed").short('t'),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let timeout = timeout(parsed)?;
    shared::for_each(app, &parsed.args, |name| request(name, "/stop", parsed, timeout))
}

/// The request of `stop` and `restart`.
pub(super) fn request(name: &str, action: &str, parsed: &Parsed, timeout: Option<i64>) -> Request {
    Request::post(shared::container(name, action))
        .query_opt("signal", parsed.value("signal").filter(|signal| !signal.is_empty()))
        .query_opt("t", timeout.map(|seconds| seconds.to_string()))
}

/// Seconds to wait, by the new or the old name.
pub(super) fn timeout(parsed: &Parsed) -> Result<Option<i64>, Error> {
    if !parsed.given("time") {
        return Ok(parsed.int("timeout"));
    }
    // On standard output, where Docker's flags say it.
    say("Flag --time has been deprecated, use --timeout instead\n")?;
    if parsed.given("timeout") {
        return Err(Error::new("conflicting options: cannot specify both --timeout and --time"));
    }
    Ok(parsed.int("time"))
}
