//! `run`: create, attach, wait, start, and stay until it ends.

use dhow_api::client::{Client, Hijacked, Request, Response};
use dhow_api::types::{CreateBody, WaitAnswer};

use super::create::{self, Created, Then};
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::Parsed;
use crate::options::{DetachKeys, RUN_FLAGS};
use crate::output::{say, warn};
use crate::stream::{self, Ended, Streams};
use crate::{signals, terminal};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container run", "run"],
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    short: "Make a container from an image and start it",
    flags: RUN_FLAGS,
    arity: Arity::AtLeast(1),
    stop_early: true,
    run,
};

/// What the engine or the client could not do, as opposed to the program inside.
const ENGINE_ERROR: i32 = 125;
const CANNOT_RUN: i32 = 126;
const NOT_FOUND: i32 = 127;

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let refused = |error: Error| error.of_command(app.program, &app.path, ENGINE_ERROR);
    create::check_pull_policy(parsed).map_err(refused)?;
    let body = create::body(app, parsed).map_err(refused)?;
    create::check_image(&body).map_err(refused)?;
    if parsed.is("detach") {
        if parsed.given("attach") {
            return Err(Error::new("conflicting options: cannot specify both --attach and --detach"));
        }
    } else {
        check_terminal(body.config.attach_stdin, body.config.tty)?;
    }
    let detach = DetachKeys::parse(app.detach_keys(parsed)?.as_deref()).map_err(refused)?;
    app.block_on(async {
        let client = app.client().await.map_err(refused)?;
        create::check_system(client, parsed).await?;
        Box::pin(run_container(app, client, parsed, &body, detach)).await
    })
}

/// A terminal inside needs one outside, where somebody types.
pub(super) fn check_terminal(stdin: bool, tty: bool) -> Result<(), Error> {
    if stdin && tty && !terminal::stdin_is_terminal() {
        return Err(Error::new("the input device is not a TTY"));
    }
    Ok(())
}

async fn run_container(app: &App, client: &Client, parsed: &Parsed, body: &CreateBody, detach: DetachKeys) -> Result<(), Error> {
    let config = &body.config;
    let attached = config.attach_stdin || config.attach_stdout || config.attach_stderr;
    let refused = |error: Error| error.of_command(app.program, &app.path, ENGINE_ERROR);
    // While the engine is busy creating.
    let ahead = async {
        if !attached {
            // What the start will need.
            let _not_now = client.preconnect(1).await;
            return None;
        }
        // The request goes first.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        // Signals that come while it is made are kept for it.
        parsed.is_or_default_on("sig-proxy").then(signals::catch_all)
    };
    let streams =
        Streams { stdin: config.attach_stdin, tty: config.tty, stdout: config.attach_stdout, stderr: config.attach_stderr, detach };
    let then = if attached { Then::Run(attach_request("", &streams, parsed.value("detach-keys")).query_text()) } else { Then::Start };
    let (created, caught) = tokio::join!(create::create(app, client, parsed, body, &then), ahead);
    let Created { id, stream } = created.map_err(refused)?;
    let forward = async {
        match caught {
            Some(caught) => stream::forward_signals(client, id.clone(), caught).await,
            None => std::future::pending().await,
        }
    };
    let work = async {
        match stream {
            Some(stream) => follow(app, client, body, &id, streams, stream).await,
            None => attached_run(app, client, parsed, body, &id, streams).await,
        }
    };
    tokio::select! {
        outcome = work => outcome,
        never = forward => match never {},
    }
}

/// Stays with a container that the engine is starting already, attached to it.
async fn follow(app: &App, client: &Client, body: &CreateBody, id: &str, streams: Streams, stream: Hijacked) -> Result<(), Error> {
    let mut waiting = None;
    let start = async {
        waiting = Some(client.send(Request::post(format!("/dhow/runs/{id}"))).await?);
        Ok(())
    };
    let ended = stream::started(stream::copy(stream, streams), start, follow_size(client, body, id)).await;
    terminal::restore();
    match (ended, waiting) {
        (Ok(ended), Some(waiting)) => match ended? {
            Ended::Detached => Ok(()),
            Ended::Closed => exit_status(finish(waiting).await),
        },
        (Err(failed), _) => Err(not_started(app, failed)),
        // An answer is there before the start counts.
        (Ok(_), None) => Err(Error::new("the engine does not say what became of the container")),
    }
}

/// The terminal's size, where the container has one.
async fn follow_size(client: &Client, body: &CreateBody, id: &str) {
    if body.config.tty && terminal::stdout_is_terminal() {
        stream::follow_size(client, format!("/containers/{id}")).await;
    }
}

fn not_started(app: &App, error: Error) -> Error {
    let status = start_status(&error);
    error.of_command(app.program, &app.path, status)
}

async fn attached_run(app: &App, client: &Client, parsed: &Parsed, body: &CreateBody, id: &str, streams: Streams) -> Result<(), Error> {
    let config = &body.config;
    let auto_remove = body.host_config.as_ref().is_some_and(|host| host.auto_remove);
    let attached = config.attach_stdin || config.attach_stdout || config.attach_stderr;
    let refused = |error| not_started(app, error);
    if !attached {
        start(client, id).await.map_err(refused)?;
        return say(&format!("{id}\n"));
    }
    // Waiting begins before the start: a program may be done before another request arrives.
    let wait = Request::post(format!("/containers/{id}/wait")).query("condition", if auto_remove { "removed" } else { "next-exit" });
    let attach = attach_request(id, &streams, parsed.value("detach-keys"));
    let (stream, waiting) = tokio::join!(client.hijack(attach), client.send(wait));
    let stream = stream.map_err(|error| refused(error.into()))?;
    let waiting = waiting.map_err(|error| refused(error.into()))?;
    let ended = stream::started(stream::copy(stream, streams), start(client, id), follow_size(client, body, id)).await;
    terminal::restore();
    match ended {
        Err(failed) => {
            if auto_remove {
                // It removes itself; whoever looks next must not find it.
                waiting.drain().await;
            }
            Err(refused(failed))
        }
        Ok(ended) => match ended? {
            Ended::Detached => Ok(()),
            Ended::Closed => exit_status(finish(waiting).await),
        },
    }
}

/// The request that takes over a connection for a container's streams.
pub(super) fn attach_request(id: &str, streams: &Streams, detach_keys: Option<&str>) -> Request {
    Request::post(format!("/containers/{id}/attach"))
        .query_opt("detachKeys", detach_keys.filter(|keys| !keys.is_empty()))
        .flag("stderr", streams.stderr)
        .flag("stdin", streams.stdin)
        .flag("stdout", streams.stdout)
        .query("stream", "1")
}

async fn start(client: &Client, id: &str) -> Result<(), Error> {
    client.call(Request::post(format!("/containers/{id}/start"))).await?;
    Ok(())
}

/// The exit status that a waiting request brings.
pub(super) async fn finish(waiting: Response) -> Result<i64, Error> {
    let answer: WaitAnswer = waiting.json().await?;
    match answer.error {
        Some(error) if !error.message.is_empty() => {
            warn(&format!("Error waiting for container: {}", error.message));
            Ok(ENGINE_ERROR.into())
        }
        _ => Ok(answer.status_code),
    }
}

/// A container's exit status as the command's.
pub(super) fn exit_status(status: Result<i64, Error>) -> Result<(), Error> {
    match status {
        Ok(0) => Ok(()),
        // What a process can end with fits; anything else is not a status.
        Ok(status) => Err(Error::Exit(i32::try_from(status).unwrap_or(ENGINE_ERROR))),
        Err(error) => {
            warn(&format!("error waiting for container: {error}"));
            Err(Error::Exit(ENGINE_ERROR))
        }
    }
}

/// The status for a program that could not be started, by what the engine says about it.
fn start_status(error: &Error) -> i32 {
    let text = error.to_string();
    let says = |words: &str| text.contains(words);
    if says("executable file not found") || says("no such file or directory") || says("system cannot find the file") {
        NOT_FOUND
    } else if says("permission denied") || says("is a directory") {
        CANNOT_RUN
    } else {
        ENGINE_ERROR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_failed_starts() {
        let check = |text: &str, expect: i32| assert_eq!(start_status(&Error::new(text)), expect, "{text}");
        check("exec: \"nope\": executable file not found in $PATH", 127);
        check("exec: \"/x\": stat /x: no such file or directory", 127);
        check("exec: \"/etc\": permission denied", 126);
        check("exec: \"/etc\": is a directory", 126);
        check("anything else", 125);
    }
}
