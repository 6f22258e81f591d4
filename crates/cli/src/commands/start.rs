//! `start`.

use dhow_api::client::{Client, Request};
use dhow_api::types::ContainerInspect;

use super::{run, shared};
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::options::DetachKeys;
use crate::output::say;
use crate::stream::{self, Ended, Streams};
use crate::{signals, terminal};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container start", "start"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    short: "Start stopped containers",
    flags: FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("attach", "Attach output and forward signals").short('a'),
    string("checkpoint", "Go on from this checkpoint").hidden(),
    string("checkpoint-dir", "Where checkpoints are").hidden(),
    string("detach-keys", "Keys that detach"),
    switch("interactive", "Attach standard input").short('i'),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let attach = parsed.is("attach") || parsed.is("interactive");
    if attach && parsed.args.len() > 1 {
        return Err(Error::new("you cannot start and attach multiple containers at once"));
    }
    app.block_on(async {
        let client = app.client().await?;
        if attach {
            let detach = DetachKeys::parse(app.detach_keys(parsed)?.as_deref())?;
            return start_attached(client, parsed, detach).await;
        }
        let mut failures = Vec::new();
        let mut failed = Vec::new();
        for name in &parsed.args {
            let started = match shared::named(name) {
                Ok(known) => client.call(request(known, parsed)).await.map_err(Error::Api),
                Err(error) => Err(error),
            };
            match started {
                Ok(_) => say(&format!("{name}\n"))?,
                Err(error) => {
                    failures.extend(error.words());
                    failed.push(name.as_str());
                }
            }
        }
        if failures.is_empty() {
            return Ok(());
        }
        failures.push(format!("Error: failed to start containers: {}", failed.join(", ")));
        shared::all_said(failures)
    })
}

fn request(name: &str, parsed: &Parsed) -> Request {
    Request::post(shared::container(name, "/start"))
        .query_opt("checkpoint", parsed.value("checkpoint"))
        .query_opt("checkpoint-dir", parsed.value("checkpoint-dir"))
}

async fn start_attached(client: &Client, parsed: &Parsed, detach: DetachKeys) -> Result<(), Error> {
    let name = shared::named(&parsed.args[0])?;
    let container: ContainerInspect = client.json(Request::get(shared::container(name, "/json"))).await?;
    let (id, tty) = (container.id, container.config.tty);
    let streams = Streams { stdin: parsed.is("interactive") && container.config.open_stdin, tty, stdout: true, stderr: true, detach };
    let caught = (!tty).then(signals::catch_all);
    let condition = if container.host_config.auto_remove { "removed" } else { "next-exit" };
    let wait = Request::post(format!("/containers/{id}/wait")).query("condition", condition);
    let attach = run::attach_request(&id, &streams, parsed.value("detach-keys"));
    let (attached, waiting) = tokio::join!(client.hijack(attach), client.send(wait));
    let (attached, waiting) = (attached?, waiting?);
    let size = async {
        if tty && terminal::stdout_is_terminal() {
            stream::follow_size(client, format!("/containers/{id}")).await;
        }
    };
    let start = async {
        client.call(request(&id, parsed)).await?;
        Ok(())
    };
    let forward = async {
        match caught {
            Some(caught) => stream::forward_signals(client, id.clone(), caught).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        outcome = stream::started(stream::copy(attached, streams), start, size) => outcome,
        never = forward => match never {},
        error = stream::end_on_signal(), if tty => Err(error),
    };
    terminal::restore();
    match ended?? {
        Ended::Detached => Ok(()),
        Ended::Closed => run::exit_status(run::finish(waiting).await),
    }
}
