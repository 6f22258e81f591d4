//! The conversation between the parent and the child that becomes the container's process, over one socket.
//!
//! ```text
//!   child                                   parent
//!                                   <-      in a user namespace: mapped, and later its mounts from outside
//!   Entered                         ->      where there are hooks for that moment, or network devices to be moved in
//!   Network + descriptor            ->      where the parent has something to do there beside the child's next steps
//!                                   <-      the root filesystem, a descriptor (create only)
//!                                   <-      one packet: the cgroup is made, where that was put off
//!   Listener NUMBER                 ->      where the filter hands calls to somebody
//!                                   <-      one packet: they were told
//!   Ready {timings} + descriptors   ->
//!                                   <-      one packet: go on   (create only; the end of the stream means: end)
//!   Exec + descriptors              ->
//!   end of stream (close-on-exec)           the program runs
//!
//!   Leap PATH + descriptors         ->      in place of Exec: the stub executes the program
//!   ERRNO                           ->      or not
//! ```
//! `Failed` may come at any time instead. The end of the stream without `Exec` before it: the child was killed.

use crate::error::{At, Failure, Kind, Result, Step};
use crate::program;
use dhow_sys::process::{self, Ended};
use dhow_sys::{fdpass, process::pidfd_signal, stub};
use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The child is in its namespaces. Said only to a parent that has something to do then.
    Entered,
    /// The child is in its network namespace, the descriptor. The loopback of a new one is up. Said only to a parent that has something to do there.
    Network,
    /// The child has loaded its filter, whose listener has this number among its descriptors. Said only of such filters.
    Listener(i32),
    /// All is made; the child waits for leave to execute. Descriptors: the network namespace, the terminal's master if any.
    Ready(Vec<(String, u64)>),
    /// The child executes now. Descriptors: the terminal's master if it was not sent before.
    Exec,
    /// The same by way of a stub, which executes the program of this path.
    Leap(String),
    /// The stub's word, a packet of its own kind: the kernel refused the program with this error.
    #[serde(skip)]
    Refused(i32),
    /// A midwife has given birth to a child of this number. Descriptors: its pidfd.
    Born(i32),
    /// The child gave up and ends.
    Failed(Failure),
}

/// Says something to the parent.
pub(crate) fn say(socket: &OwnedFd, message: &Message, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let body = serde_json::to_vec(message).map_err(|e| Failure::new(Step::Io, "sync", Kind::Other, e.to_string()))?;
    fdpass::send(socket, &body, fds).at(Step::Io, "sync")
}

/// Hears the next message; `None` at the end.
pub(crate) fn hear(socket: &OwnedFd) -> Result<Option<(Message, Vec<OwnedFd>)>> {
    let Some((body, fds)) = fdpass::recv(socket).at(Step::Io, "sync")? else { return Ok(None) };
    if let Some(errno) = stub::refusal(&body) {
        return Ok(Some((Message::Refused(errno), fds)));
    }
    let message = serde_json::from_slice(&body).map_err(|e| Failure::new(Step::Io, "sync", Kind::Other, e.to_string()))?;
    Ok(Some((message, fds)))
}

/// Waits for `Entered`; `None` if the child ended without a word.
pub(crate) fn until_entered(socket: &OwnedFd) -> Result<Option<()>> {
    match hear(socket)? {
        Some((Message::Entered, _)) => Ok(Some(())),
        Some((Message::Failed(failure), _)) => Err(failure),
        Some(_) => Err(Failure::new(Step::Io, "sync", Kind::Other, "out of turn")),
        None => Ok(None),
    }
}

/// Waits for `Network` and its descriptor; `None` if the child ended without a word.
pub(crate) fn until_network(socket: &OwnedFd) -> Result<Option<OwnedFd>> {
    match hear(socket)? {
        Some((Message::Network, fds)) => match fds.into_iter().next() {
            Some(netns) => Ok(Some(netns)),
            None => Err(Failure::new(Step::Io, "sync", Kind::Other, "descriptors are missing")),
        },
        Some((Message::Failed(failure), _)) => Err(failure),
        Some(_) => Err(Failure::new(Step::Io, "sync", Kind::Other, "out of turn")),
        None => Ok(None),
    }
}

/// Waits for `Listener` and its number; `None` if the child ended without a word.
pub(crate) fn until_listener(socket: &OwnedFd) -> Result<Option<i32>> {
    match hear(socket)? {
        Some((Message::Listener(number), _)) => Ok(Some(number)),
        Some((Message::Failed(failure), _)) => Err(failure),
        Some(_) => Err(Failure::new(Step::Io, "sync", Kind::Other, "out of turn")),
        None => Ok(None),
    }
}

/// What a child said before its stream ended.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Timings and descriptors of `Ready`; `None` without `Exec` after it.
    pub(crate) ready: Option<(Vec<(String, u64)>, Vec<OwnedFd>)>,
    /// Descriptors of `Exec`; `None` if the child was killed before.
    pub(crate) executed: Option<Vec<OwnedFd>>,
}

/// Waits for `Ready`: its timings and descriptors. `None` if the child ended without a word.
pub(crate) fn until_ready(socket: &OwnedFd) -> Result<Option<(Vec<(String, u64)>, Vec<OwnedFd>)>> {
    match hear(socket)? {
        Some((Message::Ready(timings), fds)) => Ok(Some((timings, fds))),
        Some((Message::Failed(failure), _)) => Err(failure),
        Some(_) => Err(Failure::new(Step::Io, "sync", Kind::Other, "out of turn")),
        None => Ok(None),
    }
}

/// Waits until the child executes its program (the stream ends), then reads what it had said.
pub(crate) fn until_exec(socket: &OwnedFd) -> Result<Heard> {
    // Only the hang-up wakes us: one switch between processes instead of two.
    let mut fds = [PollFd::new(socket, PollFlags::empty())];
    rustix::io::retry_on_intr(|| poll(&mut fds, None)).at(Step::Io, "sync")?;
    let mut heard = Heard::default();
    let mut program = String::new();
    while let Some((message, fds)) = hear(socket)? {
        match message {
            Message::Exec => heard.executed = Some(fds),
            Message::Leap(path) => (heard.executed, program) = (Some(fds), path),
            Message::Refused(errno) => return Err(program::refused(program, errno)),
            Message::Failed(failure) => return Err(failure),
            Message::Ready(timings) => heard.ready = Some((timings, fds)),
            Message::Born(_) | Message::Entered | Message::Network | Message::Listener(_) => {}
        }
    }
    if heard.executed.is_none() {
        heard.ready = None;
    }
    Ok(heard)
}

/// Makes sure that the child is gone and reaped. With the failure it reported, if it did, or with how it ended.
pub(crate) fn bury(pidfd: impl AsFd, reported: Option<Failure>) -> Failure {
    // A child that ended by itself shows how; one that lives is ended.
    if let (None, Ok(Some(ended))) = (&reported, process::try_wait(pidfd.as_fd())) {
        return died(ended);
    }
    let killed = pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
    match (process::wait(pidfd.as_fd()), reported) {
        (_, Some(failure)) => failure,
        (Ok(ended), None) => died(ended),
        (Err(e), None) => Failure::io(Step::Other, "init process", killed.err().unwrap_or(e)),
    }
}

fn died(ended: Ended) -> Failure {
    let message = match ended {
        Ended::Signal(libc::SIGKILL) => "was killed before its program ran (is the memory limit too low?)".to_owned(),
        Ended::Signal(signal) => format!("was ended by signal {signal} before its program ran"),
        Ended::Code(code) => format!("exited with code {code} before its program ran"),
    };
    Failure::new(Step::Other, "init process", Kind::Other, message)
}
