//! `load`.

use std::fs::File;

use dhow_api::client::{Body, Request};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::options::os_error;
use crate::output::progress;
use crate::terminal;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["image load", "load"],
    usage: "[OPTIONS]",
    short: "Load images from a tar archive, a file or standard input",
    flags: FLAGS,
    arity: Arity::None,
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    string("input", "Read from a file instead of standard input").short('i'),
    string("platform", "Load only this platform, os[/arch[/variant]]"),
    switch("quiet", "Show nothing but the names").short('q'),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let body = match parsed.value("input").filter(|path| !path.is_empty()) {
        Some(path) => Body::from_reader(open(path)?),
        None if terminal::stdin_is_terminal() => {
            return Err(Error::new("requested load from stdin, but stdin is empty"));
        }
        None => Body::from_reader(std::io::stdin()),
    };
    let moving = terminal::stdout_is_terminal();
    // The engine is quiet unless it is told otherwise.
    let quiet = if parsed.is("quiet") || !moving { "1" } else { "0" };
    let mut request = Request::post("/images/load").query("quiet", quiet).body("application/x-tar", body);
    if let Some(platform) = parsed.value("platform") {
        request = request.query("platform", super::images::platform_query(platform, "invalid platform: ")?);
    }
    app.block_on(async {
        let mut answer = app.client().await?.send(request).await?;
        progress::show(&mut answer, &mut std::io::stdout(), moving).await
    })
}

/// Opens a file that is sent; a device or pipe is none of ours to judge.
pub(super) fn open(path: &str) -> Result<File, Error> {
    File::open(path).map_err(|error| Error::new(format!("open {path}: {}", os_error(&error))))
}
