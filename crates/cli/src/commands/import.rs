//! `import`.

use dhow_api::client::{Body, Request};
use dhow_reference::Reference;

use super::load;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, list, string};
use crate::output::progress;
use crate::terminal;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["image import", "import"],
    usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    short: "Make an image from an archive of a filesystem",
    flags: FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    list("change", "Apply a Dockerfile instruction to the image").short('c'),
    string("message", "Message for the image's history").short('m'),
    string("platform", "Platform of the image, os[/arch[/variant]]"),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let source = parsed.args[0].as_str();
    let name = parsed.args.get(1).map_or("", String::as_str);
    let (from, body) = match source {
        "-" => ("-", Some(Body::from_reader(std::io::stdin()))),
        url if is_url(url) => (url, None),
        path => ("-", Some(Body::from_reader(load::open(path)?))),
    };
    if !name.is_empty() {
        Reference::parse(name).map_err(|error| Error::new(error.to_string()))?;
    }
    let mut request = Request::post("/images/create").query("fromSrc", from);
    request = request.query_opt("repo", Some(name).filter(|name| !name.is_empty()));
    request = request.query_opt("message", parsed.value("message")).query_opt("platform", parsed.value("platform"));
    for change in parsed.all("change") {
        request = request.query("changes", change);
    }
    if let Some(body) = body {
        request = request.body("text/plain", body);
    }
    app.block_on(async {
        let mut answer = app.client().await?.send(request).await?;
        progress::show(&mut answer, &mut std::io::stdout(), terminal::stdout_is_terminal()).await
    })
}

/// What the engine fetches by itself.
fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}
