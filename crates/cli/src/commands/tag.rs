//! `tag`.

use dhow_api::client::{Request, segment};
use dhow_reference::Reference;

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::Parsed;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["image tag", "tag"],
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    short: "Give an image another name",
    flags: &[],
    arity: Arity::Exactly(2),
    stop_early: false,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let [source, target] = parsed.args.as_slice() else { return Ok(()) };
    let problem = |error: dhow_reference::Error, text: &str| {
        Error::new(format!("Error parsing reference: {} is not a valid repository/tag: {error}", crate::flags::quote(text)))
    };
    let name = Reference::parse(target).map_err(|error| problem(error, target))?;
    if name.digest().is_some() {
        return Err(Error::new("refusing to create a tag with a digest reference"));
    }
    app.block_on(async {
        let request = Request::post(format!("/images/{}/tag", segment(source)))
            .query("repo", format!("{}/{}", name.domain(), name.path()))
            .query("tag", name.tag().unwrap_or("latest"));
        app.client().await?.call(request).await?;
        Ok(())
    })
}
