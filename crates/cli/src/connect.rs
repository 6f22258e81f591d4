//! Which engine to talk to, and starting ours when nobody named one and it does not run.
//!
//! The order: `-H`, `--context`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the configuration's current context, our own socket.
//! When nothing was named and our socket does not answer:
//!
//! - root gets our daemon started. A live socket of another engine is no reason not to: the person called this program.
//! - others, who cannot start a daemon, get Docker's socket if it answers.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dhow_api::ApiVersion;
use dhow_api::client::{Client, Host, Negotiation};

use crate::error::Error;
use crate::globals::{Globals, VERSION};
use crate::output::warn;
use crate::tls;

/// Where our daemon listens when it is not told otherwise.
const OUR_SOCKET: &str = "/run/dhow/dhow.sock";
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// How long a daemon may take to answer after it was started.
const START_LIMIT: Duration = Duration::from_secs(15);

/// How long another daemon, which holds the lock that ours wanted, may take.
const RIVAL_LIMIT: Duration = Duration::from_secs(5);

/// What a daemon says that finds the lock held.
const LOCK_HELD: &str = "another engine holds";

/// The name of the context that stands for no context.
const DEFAULT_CONTEXT: &str = "default";

/// Finds the engine and connects to it.
pub(crate) async fn connect(globals: &Globals) -> Result<Client, Error> {
    match named_host(globals)? {
        Some((text, tls)) => {
            let host = Host::parse_for(&text, tls.is_some()).map_err(|error| unresolved(&error.to_string()))?;
            // Engines on this machine are most likely of this client's age; across the network, ask. A socket on this machine has no use for
            // TLS, as with Docker.
            let (negotiation, tls) = match host {
                Host::Unix(_) => (Negotiation::Assume, None),
                Host::Tcp { .. } => (Negotiation::Ping, tls),
            };
            let client = client(globals, host, negotiation)?;
            Ok(match tls {
                Some(options) => client.with_tls(options.config()?),
                None => client,
            })
        }
        None => connect_default(globals).await,
    }
}

/// The name of the context in use, for `version` and `info`.
pub(crate) fn context_name(globals: &Globals) -> Result<String, Error> {
    Ok(match choice(globals)? {
        Choice::Context(name) => name,
        _ => DEFAULT_CONTEXT.to_owned(),
    })
}

enum Choice {
    Host(String),
    Context(String),
    Nothing,
}

fn choice(globals: &Globals) -> Result<Choice, Error> {
    let hosts = globals.all("host");
    let context = globals.value("context").filter(|name| !name.is_empty());
    match (hosts.as_slice(), context) {
        ([], None) => {}
        ([], Some(name)) => return Ok(by_context(name)),
        ([host], None) => return Ok(Choice::Host(host.clone())),
        ([_], Some(_)) => return Err(Error::new("conflicting options: cannot specify both --host and --context")),
        _ => return Err(unresolved("Specify only one -H")),
    }
    if let Some(host) = variable("DOCKER_HOST") {
        return Ok(Choice::Host(host));
    }
    if let Some(name) = variable("DOCKER_CONTEXT") {
        return Ok(by_context(&name));
    }
    let current = &globals.config()?.current_context;
    Ok(if current.is_empty() { Choice::Nothing } else { by_context(current) })
}

fn by_context(name: &str) -> Choice {
    if name == DEFAULT_CONTEXT { Choice::Nothing } else { Choice::Context(name.to_owned()) }
}

/// The address that somebody named, and the TLS that belongs to it.
fn named_host(globals: &Globals) -> Result<Option<(String, Option<tls::Options>)>, Error> {
    Ok(match choice(globals)? {
        Choice::Host(host) => Some((host, encrypted(globals)?)),
        Choice::Context(name) => Some(globals.config()?.context(&name).map_err(|error| unresolved(&error.to_string()))?),
        Choice::Nothing => None,
    })
}

fn unresolved(why: &str) -> Error {
    Error::new(format!("Failed to initialize: unable to resolve docker endpoint: {why}"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn client(globals: &Globals, host: Host, negotiation: Negotiation) -> Result<Client, Error> {
    let negotiation = match variable("DOCKER_API_VERSION") {
        Some(text) => {
            let version = ApiVersion::parse(&text);
            Negotiation::Fixed(version.ok_or_else(|| Error::new(format!("invalid API version: {text}")))?)
        }
        None => negotiation,
    };
    let headers = globals.config()?.http_headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Client::new(host, negotiation, &format!("dhow-client/{VERSION} (linux)")).with_headers(headers))
}

async fn connect_default(globals: &Globals) -> Result<Client, Error> {
    let ours = client(globals, Host::Unix(OUR_SOCKET.into()), Negotiation::Assume)?;
    let refusal = match ours.preconnect(1).await {
        Ok(()) => return Ok(ours),
        Err(error) if error.is_refused() => error,
        Err(error) => return Err(error.into()),
    };
    if rustix::process::geteuid().is_root() {
        start_daemon(&ours).await?;
        return Ok(ours);
    }
    let docker = client(globals, Host::Unix(DOCKER_SOCKET.into()), Negotiation::Assume)?;
    match docker.preconnect(1).await {
        Ok(()) => Ok(docker),
        Err(error) if error.is_refused() => Err(refusal.into()),
        Err(error) => Err(error.into()),
    }
}

/// Starts our daemon and waits until it answers. Of several that are started at once, the daemon's lock lets one live; the
/// others' callers wait for that one's socket.
async fn start_daemon(client: &Client) -> Result<(), Error> {
    let failed = |error: io::Error| Error::new(format!("cannot start the daemon: {error}"));
    let mut child = spawn_daemon().map_err(failed)?;
    let start = Instant::now();
    let mut limit = START_LIMIT;
    let mut pause = Duration::from_millis(1);
    let mut reason = String::new();
    loop {
        tokio::time::sleep(pause).await;
        match client.preconnect(1).await {
            Ok(()) => break,
            Err(error) if !error.is_refused() => return Err(error.into()),
            Err(_) => {}
        }
        if reason.is_empty() && child.try_wait().map_err(failed)?.is_some() {
            reason = last_words(&mut child);
            if !reason.contains(LOCK_HELD) {
                return Err(Error::new(format!("cannot start the daemon: {reason}")));
            }
            limit = start.elapsed() + RIVAL_LIMIT;
        }
        if start.elapsed() > limit {
            return Err(Error::new(match reason.as_str() {
                "" => format!("the daemon was started but does not answer at {}", client.host()),
                reason => format!("cannot start the daemon: {reason}"),
            }));
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    // Who lost the race to another client's daemon has started none.
    if listener() == Some(child.id()) {
        warn(&format!("dhow: started the daemon ({})", client.host()));
    }
    Ok(())
}

/// The process that listens on our socket.
fn listener() -> Option<u32> {
    let stream = UnixStream::connect(OUR_SOCKET).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

fn spawn_daemon() -> io::Result<Child> {
    // The caller's outputs must not stay open in a daemon: whoever waits for their end would wait for ever.
    Command::new("/proc/self/exe")
        .arg0("dhow")
        .args(["daemon", "--background"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

/// What a daemon that ended said about it.
fn last_words(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(stderr) = child.stderr.take() {
        // What cannot be read any more is not worth more than what was.
        let _partly = stderr.take(4096).read_to_string(&mut text);
    }
    let text = text.trim();
    let text = text.strip_prefix("failed to start daemon: ").unwrap_or(text);
    if text.is_empty() { "it ended without a word".to_owned() } else { text.to_owned() }
}
/// What of TLS is asked for before the command and in the environment; `None`: no TLS.
fn encrypted(globals: &Globals) -> Result<Option<tls::Options>, Error> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let verify = globals.is("tlsverify") || variable("DOCKER_TLS_VERIFY").is_some();
    if !verify && !globals.is("tls") && variable("DOCKER_TLS").is_none() {
        return Ok(None);
    }
    let directory = match variable("DOCKER_CERT_PATH") {
        Some(path) => path.into(),
        None => globals.config()?.directory.clone(),
    };
    let named = |flag: &str| globals.value(flag).filter(|_| globals.given(flag)).map(PathBuf::from);
    Ok(Some(tls::choose(verify, [named("tlscacert"), named("tlscert"), named("tlskey")], &directory)))
}
