//! The single-threaded helper that forks shims, so that the daemon with its threads never forks itself.
//!
//! It is started by [`crate::handle::Spawner`] from a sealed copy of the program, its control socket as standard input. Every shim is
//! a fork of it: no second exec, and whatever the allocator or the program's pages cost is shared among all of them. It ends when the
//! socket closes; shims live on.

use crate::process::{self, Ahead, ahead};
use crate::protocol::FromSpawner;
use dhow_sys::clone::{Forked, fork};
use dhow_sys::fdpass;
use dhow_sys::signal::Signals;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// `argv[0]` of the helper. The program that finds it there calls [`main`] and exits with what it returns.
pub const NAME: &str = "dhow-spawner";

/// Room in the argument area for the titles of shims (`dhow-shim` and 12 digits).
pub(crate) const PADDING: &str = "                              ";

/// After this time without work memory is given back.
const IDLE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The whole program. Before it no thread may be started and nothing opened. Returns the process's exit code.
pub fn main() -> i32 {
    let served = prepare().and_then(|(socket, signals)| {
        // Inherited by every shim, some of which are in another one for a moment. Where it is not to be had none is made ahead.
        let host = dhow_sys::net::namespace().ok();
        Ok((serve(socket, signals)?, host))
    });
    match served {
        Ok((End::Closed, _)) => 0,
        Ok((End::Shim(birth), host)) => become_shim(birth, host),
        Err(_) => 1,
    }
}

/// Why [`serve`] returned.
enum End {
    /// The daemon's end is closed.
    Closed,
    /// This is a child, which is to be a shim.
    Shim(Birth),
}

/// What a shim is given.
enum Birth {
    /// Its container.
    Now { raw: Vec<u8>, control: OwnedFd, clients: Vec<OwnedFd> },
    /// Where it will hear of it, and perhaps before that one will come.
    Later { control: OwnedFd },
}

/// Leaves everything that belonged to the caller.
fn prepare() -> io::Result<(OwnedFd, Signals)> {
    // Nothing of the caller's leaks through us into a container.
    dhow_sys::process::close_from(3)?;
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    // Fails only where we lead a group, and then there is no terminal to leave either.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // The room was needed for the arguments, which say nothing; without a title the name is just longer.
    let _ = dhow_sys::title::set(NAME);
    // Looked up once and inherited by every shim.
    dhow_runtime::cgroup::mode();
    // Where the kernel has no large pages there are none to avoid.
    let _ = dhow_sys::alloc::in_small_pages();
    Ok((socket, Signals::block_all()?))
}

/// Until the daemon's end is closed, and in every child. Closes what it was given: a child must not keep the daemon's connection open.
fn serve(socket: OwnedFd, signals: Signals) -> io::Result<End> {
    send(&socket, &FromSpawner::Hello(process::hello()))?;
    let mut idle = Some(IDLE);
    loop {
        let (readable, signalled) = wait(&socket, &signals, idle.as_ref())?;
        if !readable && !signalled {
            idle = None;
            // Fails only where the kernel does not know the call.
            let _ = dhow_sys::alloc::shed();
            continue;
        }
        idle = Some(IDLE);
        if signalled {
            while signals.next()?.is_some() {}
            while dhow_sys::process::reap_any()?.is_some() {}
        }
        if !readable {
            continue;
        }
        let (body, fds) = match fdpass::recv(&socket) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(End::Closed),
            // One bad packet; it is off the queue.
            Err(_) => continue,
        };
        match handle(&body, fds) {
            Ok(Handled::Nothing) => {}
            Ok(Handled::Spawned { seq, pid }) => send(&socket, &FromSpawner::Spawned { seq, pid })?,
            Ok(Handled::Child(birth)) => return Ok(End::Shim(birth)),
            Err(Refusal { seq: Some(seq), message }) => send(&socket, &FromSpawner::Failed { seq, message })?,
            Err(Refusal { seq: None, .. }) => {}
        }
    }
}

fn wait(socket: &OwnedFd, signals: &Signals, limit: Option<&Timespec>) -> io::Result<(bool, bool)> {
    let mut fds = [PollFd::new(socket, PollFlags::IN), PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, limit))?;
    Ok((!fds[0].revents().is_empty(), !fds[1].revents().is_empty()))
}

/// What came of a message.
enum Handled {
    Nothing,
    Spawned {
        seq: u64,
        pid: i32,
    },
    /// This is the child.
    Child(Birth),
}

/// Why there is no shim; without a number there is nobody to tell.
struct Refusal {
    seq: Option<u64>,
    message: String,
}

/// A [`crate::protocol::ToSpawner::Spawn`] whose configuration is left to the shim to read, so that the spawner's memory does not grow by it.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    seq: Option<u64>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
}

fn handle(body: &[u8], fds: Vec<OwnedFd>) -> Result<Handled, Refusal> {
    let refuse = |seq, message: String| Err(Refusal { seq, message });
    let envelope: Envelope<'_> = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(e) => return refuse(None, e.to_string()),
    };
    let later = envelope.kind == "prepare";
    if !later && envelope.kind != "spawn" {
        // `Hello`, or from a newer daemon.
        return Ok(Handled::Nothing);
    }
    let Some(seq) = envelope.seq else { return refuse(None, "no number".to_owned()) };
    let mut fds = fds.into_iter();
    let Some(control) = fds.next() else { return refuse(Some(seq), "no control socket".to_owned()) };
    let raw = match envelope.config {
        None if later => None,
        Some(config) => Some(config.get()),
        None => return refuse(Some(seq), "no configuration".to_owned()),
    };
    match fork() {
        Ok(Forked::Child) => Ok(Handled::Child(match raw {
            Some(raw) => Birth::Now { raw: raw.as_bytes().to_vec(), control, clients: fds.collect() },
            None => Birth::Later { control },
        })),
        Ok(Forked::Parent { pid, .. }) => Ok(Handled::Spawned { seq, pid }),
        Err(e) => refuse(Some(seq), format!("fork: {e}")),
    }
}

/// In the child. A panic ends this process alone.
fn become_shim(birth: Birth, host: Option<OwnedFd>) -> ! {
    let run = std::panic::AssertUnwindSafe(|| match birth {
        Birth::Now { raw, control, clients } => {
            drop(host);
            process::run(raw, control, clients, Ahead::default())
        }
        Birth::Later { control } => ahead::run(control, host),
    });
    let code = std::panic::catch_unwind(run).unwrap_or(101);
    dhow_sys::process::exit_now(code)
}

fn send(socket: &OwnedFd, message: &FromSpawner) -> io::Result<()> {
    fdpass::send(socket, &serde_json::to_vec(message)?, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_what_a_daemon_sends() {
        let body = br#"{"kind":"spawn","seq":7,"config":{"id":"x","spec":{}},"new":1}"#;
        let envelope: Envelope<'_> = serde_json::from_slice(body).unwrap();
        assert_eq!((envelope.kind.as_ref(), envelope.seq), ("spawn", Some(7)));
        assert_eq!(envelope.config.unwrap().get(), r#"{"id":"x","spec":{}}"#);
        let prepare = serde_json::to_vec(&crate::protocol::ToSpawner::Prepare { seq: 8 }).unwrap();
        let prepare: Envelope<'_> = serde_json::from_slice(&prepare).unwrap();
        assert_eq!((prepare.kind.as_ref(), prepare.seq, prepare.config.is_none()), ("prepare", Some(8), true));
        let hello: Envelope<'_> = serde_json::from_slice(br#"{"kind":"hello","protocol":1}"#).unwrap();
        assert!(hello.config.is_none() && hello.seq.is_none());
    }
}
