//! `attach`.

use dhow_api::client::Request;
use dhow_api::types::ContainerInspect;

use super::{run, shared};
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::options::DetachKeys;
use crate::stream::{self, Ended, Streams};
use crate::{signals, terminal};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container attach", "attach"],
    usage: "[OPTIONS] CONTAINER",
    short: "Join the streams of a running container",
    flags: FLAGS,
    arity: Arity::Exactly(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    string("detach-keys", "Keys that detach"),
    switch("no-stdin", "Do not attach standard input"),
    switch("sig-proxy", "Forward signals").default("true"),
];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let detach = DetachKeys::lenient(app.detach_keys(parsed)?.as_deref());
    let name = shared::named(&parsed.args[0])?;
    app.block_on(async {
        let client = app.client().await?;
        let container: ContainerInspect = client.json(Request::get(shared::container(name, "/json"))).await?;
        check_state(&container)?;
        let tty = container.config.tty;
        let stdin = !parsed.is("no-stdin") && container.config.open_stdin;
        run::check_terminal(stdin, tty)?;
        let id = container.id;
        let streams = Streams { stdin, tty, stdout: true, stderr: true, detach };
        let forwards = !tty && parsed.is_or_default_on("sig-proxy");
        let caught = forwards.then(signals::catch_all);
        let attach = run::attach_request(&id, &streams, parsed.value("detach-keys"));
        let wait = Request::post(format!("/containers/{id}/wait"));
        let (attached, waiting) = tokio::join!(client.hijack(attach), client.send(wait));
        let (attached, waiting) = (attached?, waiting?);
        let forward = async {
            match caught {
                Some(caught) => stream::forward_signals(client, id.clone(), caught).await,
                None => std::future::pending().await,
            }
        };
        let sizing = async {
            if tty && terminal::stdout_is_terminal() {
                // A program that draws a prompt draws it again when the size changes: so it does for the newcomer.
                stream::nudge_size(client, &format!("/containers/{id}")).await;
                stream::follow_size(client, format!("/containers/{id}")).await;
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            outcome = stream::copy(attached, streams) => outcome,
            never = forward => match never {},
            () = sizing => Ok(Ended::Closed),
            error = stream::end_on_signal(), if !forwards => Err(error),
        };
        terminal::restore();
        match ended? {
            Ended::Detached => Err(Error::new("read escape sequence")),
            Ended::Closed => run::exit_status(run::finish(waiting).await),
        }
    })
}

/// Only a running container has streams to join.
fn check_state(container: &ContainerInspect) -> Result<(), Error> {
    let state = &container.state;
    let problem = if !state.running {
        "You cannot attach to a stopped container, start it first"
    } else if state.paused {
        "You cannot attach to a paused container, unpause it first"
    } else if state.restarting {
        "You cannot attach to a restarting container, wait until it is running"
    } else {
        return Ok(());
    };
    Err(Error::new(problem))
}
