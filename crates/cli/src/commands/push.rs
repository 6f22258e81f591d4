//! `push`.

use dhow_api::client::{Request, segment};
use dhow_reference::Reference;
use serde_json::Value;

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::output::{progress, say, warn};
use crate::{registry_auth, terminal};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["image push", "push"],
    usage: "[OPTIONS] NAME[:TAG]",
    short: "Send an image to a registry",
    flags: FLAGS,
    arity: Arity::Exactly(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("all-tags", "Every tag of the repository that is here").short('a'),
    switch("disable-content-trust", "Do not sign").default("true"),
    string("platform", "Only the image for this platform, os[/arch[/variant]]"),
    switch("quiet", "Show nothing but the name").short('q'),
];

/// What Docker says of `--platform`.
const ONE_ONLY: &str = "
 Info -> Using --platform pushes only the specified platform manifest of a multi-platform image index.
         Other components, like attestations, will not be included.
         To push the complete multi-platform image, remove the --platform flag.
         \n";

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let platform = parsed.value("platform").filter(|platform| !platform.is_empty());
    let platform = platform.map(|text| super::images::platform_query(text, &format!("Invalid platform {text}"))).transpose()?;
    if platform.is_some() {
        say(ONE_ONLY)?;
    }
    let name = Reference::parse(&parsed.args[0]).map_err(|error| Error::new(error.to_string()))?;
    let (all, quiet) = (parsed.is("all-tags"), parsed.is("quiet"));
    if all && !name.is_name_only() {
        return Err(Error::new("tag can't be used with --all-tags/-a"));
    }
    let bare = name.is_name_only();
    let name = if all { name } else { name.or_latest() };
    if bare && !all && !quiet {
        say("Using default tag: latest\n")?;
    }
    if name.digest().is_some() {
        return Err(Error::new("cannot push a digest reference"));
    }
    let request = Request::post(format!("/images/{}/push", segment(&name.familiar_name())))
        .query_opt("platform", platform)
        .query_opt("tag", name.tag())
        .header("x-registry-auth", registry_auth::header(app.config()?, name.domain()));
    let mut notes = Vec::new();
    let shown = app.block_on(async {
        let mut answer = app.client().await?.send(request).await?;
        if quiet {
            return progress::discard(&mut answer).await;
        }
        let mut beside = |aux: &Value| notes.extend(note(aux));
        progress::show_with(&mut answer, &mut std::io::stdout(), terminal::stdout_is_terminal(), &mut beside).await
    });
    notes.iter().for_each(|note| warn(note));
    shown?;
    if quiet { say(&format!("{name}\n")) } else { Ok(()) }
}

/// What a person should know: one image was pushed where the name stands for several.
fn note(aux: &Value) -> Option<String> {
    let digest = |key: &str| aux[key]["digest"].as_str().unwrap_or_default();
    (aux["manifestPushedInsteadOfIndex"] == true).then(|| {
        let (index, selected) = (digest("originalIndex"), digest("selectedManifest"));
        format!("\n i Info → Not all multiplatform-content is present and only the available single-platform image was pushed\n          {index} -> {selected}")
    })
}
