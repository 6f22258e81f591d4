//! `commit`.

use dhow_api::client::Request;
use dhow_api::types::IdAnswer;
use dhow_reference::Reference;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, list, string, switch};
use crate::output::say;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container commit", "commit"],
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    short: "Make an image from a container's files as they are now",
    flags: FLAGS,
    arity: Arity::Between(1, 2),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    string("author", "Who made the image (e.g., \"Ada <ada@example.com>\")").short('a'),
    list("change", "Apply a Dockerfile instruction to the image").short('c'),
    string("message", "Message for the image's history").short('m'),
    switch("pause", "Freeze the container meanwhile").short('p').default("true"),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let name = parsed.args[0].as_str();
    let mut request = Request::post("/commit").query("container", name).query("comment", parsed.text("message"));
    request = request.query("author", parsed.text("author"));
    if let Some(target) = parsed.args.get(1).filter(|target| !target.is_empty()) {
        let reference = Reference::parse(target).map_err(|error| Error::new(error.to_string()))?;
        if reference.digest().is_some() {
            return Err(Error::new("refusing to create a tag with a digest reference"));
        }
        let reference = reference.or_latest();
        request = request.query("repo", reference.familiar_name()).query("tag", reference.tag().unwrap_or_default());
    }
    for change in parsed.all("change") {
        request = request.query("changes", change);
    }
    if !parsed.is_or_default_on("pause") {
        request = request.query("pause", "0");
    }
    let answer: IdAnswer = app.block_on(async {
        shared::named(name)?;
        Ok::<_, Error>(app.client().await?.json(request).await?)
    })?;
    say(&format!("{}\n", answer.id))
}
