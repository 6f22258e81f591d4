//! `pull`, and the pulling that `run` and `create` do.

use std::io::Write;

use dhow_api::client::{Client, Request};
use dhow_reference::Reference;

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::output::progress;
use crate::output::say;
use crate::{registry_auth, terminal};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["image pull", "pull"],
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    short: "Fetch an image from a registry",
    flags: FLAGS,
    arity: Arity::Exactly(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("all-tags", "Every tag of the repository").short('a'),
    switch("disable-content-trust", "Do not verify signatures").default("true"),
    string("platform", "Platform of the image, os[/arch[/variant]]"),
    switch("quiet", "Show no progress").short('q'),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let name = Reference::parse(&parsed.args[0]).map_err(|error| Error::new(error.to_string()))?;
    let all = parsed.is("all-tags");
    if all && (name.tag().is_some() || name.digest().is_some()) {
        return Err(Error::new("tag can't be used with --all-tags/-a"));
    }
    let name = if all { name } else { name.or_latest() };
    let quiet = parsed.is("quiet");
    if !all && !parsed.args[0].contains('@') && !quiet && !has_tag(&parsed.args[0]) {
        say("Using default tag: latest\n")?;
    }
    app.block_on(async {
        let client = app.client().await?;
        let mut out = std::io::stdout();
        let moving = terminal::stdout_is_terminal();
        pull(app, client, &name, parsed.value("platform"), Progress { out: (!quiet).then_some(&mut out), moving }).await
    })?;
    say(&format!("{name}\n"))
}

fn has_tag(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(_, tag)| !tag.contains('/'))
}

/// Where progress goes, if anywhere.
pub(super) struct Progress<'a> {
    /// The output.
    pub(super) out: Option<&'a mut dyn Write>,
    /// It is a terminal.
    pub(super) moving: bool,
}

/// Lets the engine pull an image.
pub(super) async fn pull(
    app: &App,
    client: &Client,
    name: &Reference,
    platform: Option<&str>,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let request = Request::post("/images/create")
        .query("fromImage", format!("{}/{}", name.domain(), name.path()))
        .query_opt("platform", platform.filter(|platform| !platform.is_empty()))
        .query_opt("tag", name.digest().or(name.tag()))
        .header("x-registry-auth", registry_auth::header(app.config()?, name.domain()));
    let mut answer = client.send(request).await?;
    match progress.out {
        Some(out) => progress::show(&mut answer, out, progress.moving).await,
        None => progress::discard(&mut answer).await,
    }
}
