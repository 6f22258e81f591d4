//! Execs: further processes in running containers, known by ids of their own.

use crate::attach;
use crate::client::{Client, ExecStart};
use crate::container::command::{Command, ExecBase};
use crate::container::start::capabilities as start_capabilities;
use crate::error::{Error, Kind, Result};
use crate::model::{Container, ExecRequest, ExecState};
use crate::parts::Parts;
use crate::spec::{self, user};
use crate::{accounts, client, execs, failure, ids, links, policy};
use dhow_shim::config::{AttachConfig, ExecConfig};
use dhow_shim::handle::Shim;
use oci_spec::runtime::Process;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Makes an exec.
pub(crate) async fn create(parts: &Parts, name: &str, request: ExecRequest) -> Result<String> {
    if request.command.is_empty() {
        return Err(Error::new(Kind::Invalid, "No exec command specified"));
    }
    attach::detach_keys(request.detach_keys.as_deref())?;
    user::parse(&request.user)?;
    if let Some(entry) = request.env.iter().find(|e| e.is_empty() || e.starts_with('=') || e.contains('\0')) {
        return Err(Error::new(Kind::Invalid, format!("invalid environment variable: {entry}")));
    }
    let slot = parts.registry.get(name)?;
    let base = slot.ask(Command::ExecBase).await?;
    let id = ids::fresh()?;
    let action = action("exec_create", &request);
    let state = ExecState { id: id.clone(), container: slot.id.clone(), request, running: false, exit_code: None, pid: 0 };
    parts.execs.insert(state)?;
    if let Err(error) = slot.ask(|reply| Command::ExecMade { id: id.clone(), reply }).await {
        parts.execs.forget(&id);
        return Err(error);
    }
    crate::container::tell::tell(parts, &base.container, &action, &[("execID", id.clone())]);
    Ok(id)
}

/// Docker's action: the command's first word, a blank, and the rest.
fn action(name: &str, request: &ExecRequest) -> String {
    let (first, rest) = request.command.split_first().map_or(("", &[][..]), |(f, r)| (f.as_str(), r));
    format!("{name}: {first} {}", rest.join(" "))
}

/// Checks that it may start, and takes it.
pub(crate) async fn claim(parts: &Parts, id: &str) -> Result<Arc<ExecState>> {
    let state = parts.execs.get(id)?;
    let slot = parts.registry.get(&state.container).map_err(|_| execs::no_such(id))?;
    slot.ask(Command::ExecBase).await?;
    parts.execs.claim(id)
}

/// One exec, after everything that its shim has told is dealt with: who saw its output end finds its exit code here.
pub(crate) async fn inspect(parts: &Parts, id: &str) -> Result<Arc<ExecState>> {
    let state = parts.execs.get(id)?;
    // A short program may have ended before its start was even published.
    if parts.execs.is_open(id)
        && let Ok(slot) = parts.registry.get(&state.container)
        && let Ok(shim) = slot.ask(Command::Shim).await
    {
        // An error means that the container's end is near, which is told too.
        if let Err(error) = shim.sync().await {
            tracing::debug!(exec = id, %error, "not in step with the shim");
        }
        slot.ask(Command::Settle).await.ok();
    }
    // Read anew in any case: it may have ended since the first look.
    parts.execs.get(id)
}

/// Starts a claimed exec.
pub(crate) async fn start(parts: Arc<Parts>, id: String, mut start: ExecStart) -> Result<()> {
    let raw = start.raw;
    if let Some(Err(error)) = start.client.as_mut().map(Client::greet) {
        tracing::debug!(exec = id, %error, "the client did not take its answer");
    }
    let state = parts.execs.get(&id)?;
    let keep = match &start.client {
        Some(client) => Some(client.socket.try_clone().map_err(|e| Error::internal("keep the client of exec", &id, e))?),
        None => None,
    };
    let begun = begin(&parts, &state, start).await;
    let Err(why) = begun else { return Ok(()) };
    parts.execs.finish(&id, why.code);
    if let Ok(slot) = parts.registry.get(&state.container) {
        slot.send(Command::ExecEnded(id.clone())).await.ok();
    }
    match keep {
        Some(socket) if state.request.attach_stdout || state.request.attach_stderr || state.request.attach_stdin => {
            let text = format!("{}\r\n", why.message);
            let bytes = if raw { text.into_bytes() } else { client::frame(1, text.as_bytes()) };
            if let Err(error) = client::write_all(&socket, &bytes).await {
                tracing::debug!(exec = id, %error, "the client did not take the reason");
            }
            Ok(())
        }
        _ => Err(why.error()),
    }
}

async fn begin(parts: &Parts, state: &ExecState, start: ExecStart) -> std::result::Result<(), failure::NotRun> {
    let refuse = |e: Error| failure::NotRun { message: e.message, code: 126, kind: e.kind };
    let slot = parts.registry.get(&state.container).map_err(refuse)?;
    let base = slot.ask(Command::ExecBase).await.map_err(refuse)?;
    let user = find_user(&base, &state.request).await.map_err(refuse)?;
    if state.request.user.is_empty() && base.user.is_none() {
        slot.send(Command::KnownUser(user.clone())).await.map_err(refuse)?;
    }
    let config = config(parts, state, &base.container, &user, &start).map_err(refuse)?;
    crate::container::tell::tell(parts, &base.container, &action("exec_start", &state.request), &[("execID", state.id.clone())]);
    if let Some(Err(error)) = settled(start.client.as_ref()).await {
        tracing::debug!(exec = state.id, %error, "whether the client has read its answer is not known");
    }
    let pid = base.shim.exec(config, start.client.map(|c| c.socket)).await.map_err(|e| failure::of_exec(&e))?;
    parts.execs.started(&state.id, pid);
    Ok(())
}

async fn settled(client: Option<&Client>) -> Option<std::io::Result<()>> {
    Some(client?.settled().await)
}

/// Whom it runs as: the container's user where it says nothing, else looked up in the container as it is now.
async fn find_user(base: &ExecBase, request: &ExecRequest) -> Result<user::Resolved> {
    let container = &base.container.request;
    if request.user.is_empty()
        && let Some(user) = &base.user
    {
        return Ok(user.clone());
    }
    let text = if request.user.is_empty() { &container.user } else { &request.user };
    user::parse(text)?;
    let accounts = accounts::running(root(&base.shim, &base.container.id).await?).await?;
    user::resolve(text, &container.host.group_add, &accounts)
}

async fn root(shim: &Shim, id: &str) -> Result<OwnedFd> {
    shim.root().await.map_err(|e| Error::internal("reach the root filesystem of container", id, e))
}

fn config(parts: &Parts, state: &ExecState, container: &Container, user: &user::Resolved, start: &ExecStart) -> Result<ExecConfig> {
    let request = &state.request;
    let size = start.console_size.or(request.console_size);
    let own = start_capabilities(container)?;
    let seccomp = if request.privileged {
        None
    } else {
        parts.filters.get(&container.request.host.seccomp, container.request.host.privileged, &own, &parts.host)?
    };
    let attach = match &start.client {
        Some(client) => Some(AttachConfig {
            stdin: request.attach_stdin,
            stdout: request.attach_stdout,
            stderr: request.attach_stderr,
            framed: !start.raw,
            detach_keys: if request.tty { attach::detach_keys(request.detach_keys.as_deref())? } else { Vec::new() },
            early: client.early.clone(),
            replay: false,
            stream: true,
        }),
        None => None,
    };
    let linked = links::environment(&parts.registry, container, false)?;
    let mut process = process(container, request, user, &own, &linked);
    if let Some((height, width)) = size.filter(|_| request.tty) {
        process.set_console_size(spec::console_size(height, width));
    }
    process.set_apparmor_profile(policy::apparmor::profile(&container.request.host, parts.host.apparmor));
    Ok(ExecConfig {
        id: state.id.clone(),
        process,
        seccomp: seccomp.map(|program| (*program).clone()),
        tty: request.tty,
        console_size: size,
        attach,
    })
}

fn process(
    container: &Container,
    request: &ExecRequest,
    user: &user::Resolved,
    own: &[oci_spec::runtime::Capability],
    linked: &[String],
) -> Process {
    let all = policy::capabilities::all();
    let capabilities = if request.privileged { &all[..] } else { own };
    let mut process = spec::common_process(&container.request, user, capabilities);
    let dir = if request.working_dir.is_empty() { &container.request.working_dir } else { &request.working_dir };
    process
        .set_terminal(Some(request.tty))
        .set_args(Some(request.command.clone()))
        .set_env(Some(spec::env::exec(&container.request, linked, request.tty, &request.env, &user.home)))
        .set_cwd(spec::working_dir(dir));
    process
}

/// Resizes its terminal.
pub(crate) async fn resize(parts: &Parts, id: &str, height: u16, width: u16) -> Result<()> {
    let state = parts.execs.get(id)?;
    let slot = parts.registry.get(&state.container).map_err(|_| execs::no_such(id))?;
    let shim = slot.ask(Command::Shim).await?;
    shim.resize(Some(id), height, width).await.map_err(|e| Error::internal("resize exec", id, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_end_with_a_blank_where_there_are_no_words() {
        let request = |words: &[&str]| ExecRequest { command: words.iter().map(|w| (*w).to_owned()).collect(), ..ExecRequest::default() };
        assert_eq!(action("exec_create", &request(&["ls"])), "exec_create: ls ");
        assert_eq!(action("exec_start", &request(&["ls", "-l", "/"])), "exec_start: ls -l /");
    }
}
