//! `logs`.

use dhow_api::client::Request;
use dhow_api::types::ContainerInspect;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::output::time;
use crate::stream::Sink;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container logs", "logs"],
    usage: "[OPTIONS] CONTAINER",
    short: "Show what a container wrote",
    flags: FLAGS,
    arity: Arity::Exactly(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("details", "Show the attributes that belong to the log"),
    switch("follow", "Go on as it writes").short('f'),
    string("since", "From this time on (2013-01-02T13:23:37Z) or from so long ago (42m)"),
    string("tail", "So many lines from the end").short('n').default("all"),
    switch("timestamps", "Show times").short('t'),
    string("until", "Up to this time (2013-01-02T13:23:37Z) or up to so long ago (42m)"),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let name = shared::named(&parsed.args[0])?;
    let moment = |flag: &str| -> Result<Option<String>, Error> {
        let given = parsed.value(flag).filter(|text| !text.is_empty());
        let moment = given.map(time::given).transpose();
        moment.map_err(|error| Error::new(format!("invalid value for {}: {error}", crate::flags::quote(flag))))
    };
    let (since, until) = (moment("since")?, moment("until")?);
    app.block_on(async {
        let client = app.client().await?;
        // Whether there are frames to take apart depends on the terminal.
        let container: ContainerInspect = client.json(Request::get(shared::container(name, "/json"))).await?;
        let tty = container.config.tty;
        let request = Request::get(format!("/containers/{}/logs", container.id))
            .flag("stdout", true)
            .flag("stderr", true)
            .query_opt("since", since)
            .query_opt("until", until)
            .flag("timestamps", parsed.is("timestamps"))
            .flag("follow", parsed.is("follow"))
            .query("tail", parsed.value("tail").unwrap_or("all"))
            .flag("details", parsed.is("details"));
        let mut answer = client.send(request).await?;
        let mut sink = Sink::new(tty, true, true);
        while let Some(piece) = answer.chunk().await? {
            sink.take(&piece).await?;
        }
        Ok(())
    })
}
