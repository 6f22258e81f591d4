//! `network rm`.

use dhow_api::client::Request;

use super::path;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Parsed, switch};
use crate::output::{say, warn};

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
    app.block_on(async {
        let client = app.client().await?;
        let mut failed = false;
        for name in &parsed.args {
            match client.call(Request::delete(path(name, ""))).await {
                Ok(_) => say(&format!("{name}\n"))?,
                Err(error) if parsed.is("force") && error.is_not_found() => {}
                Err(error) => {
                    failed = true;
                    warn(&error.to_string());
                }
            }
        }
        if failed { Err(Error::new("exit status 1")) } else { Ok(()) }
    })
}
