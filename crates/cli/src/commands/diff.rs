//! `diff`.

use dhow_api::client::Request;
use dhow_api::types::FilesystemChange;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::Parsed;
use crate::output::say;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container diff", "diff"],
    usage: "CONTAINER",
    short: "Show which files of a container differ from its image",
    flags: &[],
    arity: Arity::Exactly(1),
    stop_early: false,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let name = shared::named(&parsed.args[0])?;
    let changes: Option<Vec<FilesystemChange>> =
        app.block_on(async { Ok::<_, Error>(app.client().await?.json(Request::get(shared::container(name, "/changes"))).await?) })?;
    say(&changes.unwrap_or_default().iter().map(line).collect::<String>())
}

fn line(change: &FilesystemChange) -> String {
    let letter = match change.kind {
        0 => "C",
        1 => "A",
        2 => "D",
        _ => "",
    };
    format!("{letter} {}\n", change.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (kind, expect) in [(0, "C /x\n"), (1, "A /x\n"), (2, "D /x\n"), (7, " /x\n")] {
            assert_eq!(line(&FilesystemChange { kind, path: "/x".into() }), expect);
        }
    }
}
