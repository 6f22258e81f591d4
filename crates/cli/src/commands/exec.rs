//! `exec`.

use dhow_api::client::{Client, Request};
use dhow_api::types::{ExecCreateAnswer, ExecCreateBody, ExecInspect, ExecStartBody};

use super::{run, shared};
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, list, string, switch};
use crate::options::{DetachKeys, check_env, read_environment};
use crate::stream::{self, Ended, Streams};
use crate::terminal;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container exec", "exec"],
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    short: "Run a command in a running container",
    flags: FLAGS,
    arity: Arity::AtLeast(2),
    stop_early: true,
    run,
};

static FLAGS: &[Flag] = &[
    switch("detach", "Do not wait for the command").short('d'),
    string("detach-keys", "Keys that detach"),
    list("env", "Variable; a bare name takes the caller's value").short('e').check(check_env),
    list("env-file", "File of KEY=value lines"),
    switch("interactive", "Keep standard input open").short('i'),
    switch("privileged", "All capabilities"),
    switch("tty", "Give it a terminal").short('t'),
    string("user", "User and group, name or number (user[:group])").short('u'),
    string("workdir", "Working directory").short('w'),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let keys = app.detach_keys(parsed)?;
    let detach = DetachKeys::lenient(keys.as_deref());
    let body = body(parsed, keys.unwrap_or_default())?;
    let name = shared::named(&parsed.args[0])?;
    app.block_on(async {
        let client = app.client().await?;
        let detached = parsed.is("detach");
        if !detached {
            check_terminal(client, name, &body).await?;
        }
        let create = Request::post(shared::container(name, "/exec")).json(&body)?;
        let exec: ExecCreateAnswer = client.json(create).await?;
        if exec.id.is_empty() {
            return Err(Error::new("exec ID empty"));
        }
        let start = ExecStartBody { detach: detached, tty: body.tty, console_size: body.console_size };
        let request = Request::post(format!("/exec/{}/start", exec.id)).json(&start)?;
        if detached {
            client.call(request).await?;
            return Ok(());
        }
        attached(client, &exec.id, request, &body, detach).await
    })
}

/// A missing container is worth more words than a missing terminal.
async fn check_terminal(client: &Client, name: &str, body: &ExecCreateBody) -> Result<(), Error> {
    let checked = run::check_terminal(body.attach_stdin, body.tty);
    if checked.is_err() {
        client.call(Request::get(shared::container(name, "/json"))).await?;
    }
    checked
}

fn body(parsed: &Parsed, detach_keys: String) -> Result<ExecCreateBody, Error> {
    let detached = parsed.is("detach");
    let tty = parsed.is("tty");
    let environment = read_environment(&parsed.all("env-file"), &parsed.all("env"))?;
    let size = if tty { terminal::size_of_stdout() } else { None };
    Ok(ExecCreateBody {
        user: parsed.text("user").to_owned(),
        privileged: parsed.is("privileged"),
        tty,
        console_size: size.map(|(rows, columns)| [rows.into(), columns.into()]),
        attach_stdin: !detached && parsed.is("interactive"),
        attach_stderr: !detached,
        attach_stdout: !detached,
        detach_keys,
        env: if environment.is_empty() { None } else { Some(environment) },
        working_dir: parsed.text("workdir").to_owned(),
        cmd: Some(parsed.args[1..].to_vec()),
    })
}

async fn attached(client: &Client, id: &str, request: Request, body: &ExecCreateBody, detach: DetachKeys) -> Result<(), Error> {
    let streams = Streams { stdin: body.attach_stdin, tty: body.tty, stdout: true, stderr: true, detach };
    let stream = client.hijack(request).await?;
    let sizing = async {
        if body.tty && terminal::stdin_is_terminal() {
            stream::follow_size(client, format!("/exec/{id}")).await;
        }
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        outcome = stream::copy(stream, streams) => outcome,
        () = sizing => Ok(Ended::Closed),
        error = stream::end_on_signal(), if body.tty => Err(error),
    };
    terminal::restore();
    if ended? == Ended::Detached {
        return Err(Error::new("read escape sequence"));
    }
    let exec: ExecInspect = client.json(Request::get(format!("/exec/{id}/json"))).await?;
    run::exit_status(Ok(exec.exit_code.unwrap_or(0)))
}
