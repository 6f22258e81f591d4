//! `volume create`.

use dhow_api::client::Request;
use dhow_api::types::{Volume, VolumeBody};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, list, map, string};
use crate::options::pairs;
use crate::output::say;

/// The command.
pub(in super::super) static COMMAND: Command = Command {
    names: &["volume create"],
    usage: "[OPTIONS] [VOLUME]",
    short: "Create a volume",
    flags: FLAGS,
    arity: Arity::AtMost(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    string("driver", "Driver of the volume").short('d').default("local"),
    list("label", "Label (key=value) of the volume"),
    map("opt", "Option (key=value) of the driver").short('o'),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let body = VolumeBody {
        name: parsed.args.first().cloned().unwrap_or_default(),
        driver: parsed.text("driver").to_owned(),
        driver_opts: pairs(&parsed.all("opt")),
        labels: pairs(&parsed.all("label")),
    };
    let made: Volume =
        app.block_on(async { Ok::<_, Error>(app.client().await?.json(Request::post("/volumes/create").json(&body)?).await?) })?;
    say(&format!("{}\n", made.name))
}
