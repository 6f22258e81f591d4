//! `save`.

use dhow_api::client::Request;

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string};
use crate::output::file;
use crate::terminal;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["image save", "save"],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    short: "Save images to a tar archive, on standard output or in a file",
    flags: FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    string("output", "Write to a file instead of standard output").short('o'),
    string("platform", "Save only this platform, os[/arch[/variant]]"),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let path = parsed.value("output").filter(|path| !path.is_empty());
    match path {
        None if terminal::stdout_is_terminal() => {
            return Err(Error::new("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
        }
        None => {}
        Some(path) => file::check(path).map_err(|problem| Error::new(format!("failed to save image: {problem}")))?,
    }
    let mut request = Request::get("/images/get");
    for name in &parsed.args {
        request = request.query("names", name);
    }
    if let Some(platform) = parsed.value("platform").filter(|platform| !platform.is_empty()) {
        request = request.query("platform", super::images::platform_query(platform, "invalid platform: ")?);
    }
    app.block_on(async {
        let mut answer = app.client().await?.send(request).await?;
        file::receive(&mut answer, path).await
    })
}
