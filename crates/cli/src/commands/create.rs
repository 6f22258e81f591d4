//! `create`, and the creating that `run` does.

use std::fs::OpenOptions;
use std::io::Write;

use dhow_api::client::{Answer, Client, Hijacked, Host, Request};
use dhow_api::types::{BindOptions, CreateAnswer, CreateBody, Mount, Version};
use dhow_reference::Reference;
use dhow_reference::platform::Platform;

use super::{pull, shared};
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::Parsed;
use crate::options::{CREATE_FLAGS, Extra, create_body, os_error};
use crate::output::{say, warn};
use crate::terminal;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container create", "create"],
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    short: "Make a container without starting it",
    flags: CREATE_FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: true,
    run,
};

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let refused = |error: Error| error.of_command(app.program, &app.path, 125);
    check_pull_policy(parsed).map_err(refused)?;
    let body = body(app, parsed).map_err(refused)?;
    check_image(&body)?;
    let id = app.block_on(async {
        let client = app.client().await?;
        check_system(client, parsed).await?;
        create(app, client, parsed, &body, &Then::Rest).await
    })?;
    say(&format!("{}\n", id.id))
}

/// The body, with what the surroundings add.
pub(super) fn body(app: &App, parsed: &Parsed) -> Result<CreateBody, Error> {
    let console_size = match terminal::size_of_stdout() {
        Some((rows, columns)) => [rows.into(), columns.into()],
        None => [0, 0],
    };
    let config = app.config()?;
    let proxies = config
        .proxies
        .get("default")
        .map_or_else(Vec::new, |proxies| proxies.variables().into_iter().map(|(name, value)| format!("{name}={value}")).collect());
    let body = create_body(parsed, Extra { variables: proxies, console_size })?;
    for address in parsed.all("dns").iter().filter(|address| is_loopback(address)) {
        warn(&format!("WARNING: Localhost DNS ({address}) may fail in containers."));
    }
    Ok(body)
}

/// Flags of containers on Windows.
const WINDOWS: [&str; 4] = ["cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"];

/// Refuses flags of another system than the engine's.
pub(super) async fn check_system(client: &Client, parsed: &Parsed) -> Result<(), Error> {
    let mut given = WINDOWS.into_iter().filter(|flag| parsed.given(flag)).peekable();
    if given.peek().is_none() {
        return Ok(());
    }
    let engine: Version = client.json(Request::get("/version")).await?;
    if engine.os == "windows" {
        return Ok(());
    }
    let refused = |flag: &str| {
        format!("\"--{flag}\" is only supported on a Docker daemon running on windows, but the Docker daemon is running on {}", engine.os)
    };
    Err(Error::new(given.map(refused).collect::<Vec<_>>().join("\n")))
}

/// An id is not a name; everything else must be one.
pub(super) fn check_image(body: &CreateBody) -> Result<(), Error> {
    if !is_id(&body.config.image) {
        Reference::parse(&body.config.image).map_err(|error| Error::new(error.to_string()))?;
    }
    Ok(())
}

fn is_loopback(address: &str) -> bool {
    address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `--pull` has one of its three values.
pub(super) fn check_pull_policy(parsed: &Parsed) -> Result<(), Error> {
    match parsed.value("pull") {
        None | Some("always" | "missing" | "never" | "") => Ok(()),
        Some(other) => Err(Error::new(format!("invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""))),
    }
}

/// What follows a create.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing.
    Rest,
    /// A start, for which our engine makes ready.
    Start,
    /// Attaching by this query and a start, which our engine does itself.
    Run(String),
}

/// What came of a create.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) id: String,
    /// The attached stream, where the engine has gone on with attaching and starting.
    pub(super) stream: Option<Hijacked>,
}

impl Created {
    fn of(answer: CreateAnswer) -> Self {
        shared::warnings(&answer.warnings);
        Self { id: answer.id, stream: None }
    }
}

/// Creates the container, pulling its image where that is wanted and needed.
pub(super) async fn create(app: &App, client: &Client, parsed: &Parsed, body: &CreateBody, then: &Then) -> Result<Created, Error> {
    let mut id_file = parsed.value("cidfile").filter(|path| !path.is_empty()).map(IdFile::create).transpose()?;
    let platform = platform(parsed)?;
    let policy = parsed.value("pull").filter(|policy| !policy.is_empty()).unwrap_or("missing");
    let name = Reference::parse(&body.config.image).ok().map(Reference::or_latest);
    if let Some(name) = name.as_ref().filter(|_| policy == "always") {
        pull_image(app, client, parsed, name, platform.as_deref()).await?;
    }
    let with_socket;
    let body = if parsed.is("use-api-socket") {
        with_socket = mount_socket(client, body.clone())?;
        &with_socket
    } else {
        body
    };
    let request = || -> Result<Request, Error> {
        let request = Request::post("/containers/create")
            .query_opt("name", parsed.value("name").filter(|name| !name.is_empty()))
            .query_opt("platform", platform.clone());
        let request = match then {
            Then::Rest => request,
            Then::Start => request.header("dhow-starts", "1"),
            Then::Run(attach) => request.header("dhow-run", attach),
        };
        Ok(request.json(body)?)
    };
    let send = async || match then {
        Then::Run(_) => match client.hijack_or_answer(request()?).await? {
            Answer::Stream(stream) => {
                let id = stream.header("dhow-id").map(str::to_owned);
                let id = id.ok_or_else(|| Error::new("the engine has started a container and does not say which"))?;
                Ok::<_, Error>(Created { id, stream: Some(stream) })
            }
            Answer::Plain(answer) => Ok(Created::of(answer.json().await?)),
        },
        _ => Ok(Created::of(client.json(request()?).await?)),
    };
    let created = match send().await {
        Err(Error::Api(error)) if error.is_not_found() && policy == "missing" => {
            let Some(name) = &name else { return Err(error.into()) };
            if !parsed.is("quiet") {
                warn(&format!("Unable to find image '{}' locally", name.familiar()));
            }
            pull_image(app, client, parsed, name, platform.as_deref()).await?;
            send().await?
        }
        other => other?,
    };
    if let Some(file) = &mut id_file {
        file.write(&created.id)?;
    }
    Ok(created)
}

fn platform(parsed: &Parsed) -> Result<Option<String>, Error> {
    let given = parsed.value("platform").map(str::to_owned);
    let given = given.or_else(|| std::env::var("DOCKER_DEFAULT_PLATFORM").ok()).filter(|text| !text.is_empty());
    let parsed = given.map(|text| Platform::parse(&text)).transpose();
    Ok(parsed.map_err(|words| Error::new(format!("error parsing specified platform: {words}")))?.map(|platform| platform.to_string()))
}

async fn pull_image(app: &App, client: &Client, parsed: &Parsed, name: &Reference, platform: Option<&str>) -> Result<(), Error> {
    let mut err = std::io::stderr();
    let out: Option<&mut dyn Write> = if parsed.is("quiet") { None } else { Some(&mut err) };
    let moving = std::io::IsTerminal::is_terminal(&std::io::stderr());
    pull::pull(app, client, name, platform, pull::Progress { out, moving }).await
}

/// Gives the container the engine's socket at Docker's usual place.
fn mount_socket(client: &Client, mut body: CreateBody) -> Result<CreateBody, Error> {
    let Host::Unix(path) = client.host() else {
        return Err(Error::new("flag --use-api-socket can only be used with a unix socket"));
    };
    let host_config = body.host_config.get_or_insert_default();
    host_config.mounts.push(Mount {
        kind: "bind".to_owned(),
        source: path.to_string_lossy().into_owned(),
        target: "/var/run/docker.sock".to_owned(),
        bind_options: Some(BindOptions::default()),
        ..Mount::default()
    });
    Ok(body)
}

/// The file that takes the id; removed again when there is none to take.
struct IdFile {
    path: String,
    file: std::fs::File,
    written: bool,
}

impl IdFile {
    fn create(path: &str) -> Result<Self, Error> {
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => Ok(Self { path: path.to_owned(), file, written: false }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::new(format!("container ID file found, make sure the other container isn't running or delete {path}")))
            }
            Err(error) => Err(Error::new(format!("failed to create the container ID file: open {path}: {}", os_error(&error)))),
        }
    }

    fn write(&mut self, id: &str) -> Result<(), Error> {
        self.file.write_all(id.as_bytes()).map_err(|error| Error::new(format!("failed to write the container ID to the file: {error}")))?;
        self.written = true;
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if !self.written {
            // It is ours and empty. Where it cannot be removed it does no harm.
            let _left = std::fs::remove_file(&self.path);
        }
    }
}
