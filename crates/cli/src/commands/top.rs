//! `top`.

use dhow_api::client::Request;
use dhow_api::types::Top;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::Parsed;
use crate::output::say;
use crate::output::table;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container top", "top"],
    usage: "CONTAINER [ps OPTIONS]",
    short: "Show a container's processes",
    flags: &[],
    arity: Arity::AtLeast(1),
    stop_early: true,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let name = shared::named(&parsed.args[0])?;
    let options = parsed.args[1..].join(" ");
    let request = Request::get(shared::container(name, "/top")).query_opt("ps_args", Some(options).filter(|text| !text.is_empty()));
    let top: Top = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    say(&show(&top))
}

/// Columns of at least twenty letters, as Docker's people know them.
fn show(top: &Top) -> String {
    let rows = std::iter::once(&top.titles).chain(&top.processes);
    table::align_with(&rows.map(|row| row.join("\t") + "\n").collect::<String>(), 20, 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let top = Top { titles: words("PID CMD"), processes: vec![vec!["1".into(), "sleep 10".into()]] };
        assert_eq!(show(&top), "PID                 CMD\n1                   sleep 10\n");
    }
}
