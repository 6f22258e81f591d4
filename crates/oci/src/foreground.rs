//! A caller that stays with its program: signals go to it, its terminal is relayed, its end is the caller's own.

use crate::error::{At, Result};
use crate::tty::{self, Raw};
use dhow_sys::process::{self, Ended};
use dhow_sys::signal::Signals;
use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Room for what one read brings.
const CHUNK: usize = 8192;

/// The program that somebody stays with: a child of ours.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) pid: i32,
    pub(crate) pidfd: &'a OwnedFd,
    /// The master of its terminal, if that is to be relayed.
    pub(crate) console: Option<&'a OwnedFd>,
}

/// Stays until it has ended. Returns what a shell would show of its end.
pub(crate) fn attend(program: &Program<'_>, signals: &Signals) -> Result<i32> {
    let raw = program.console.map(|_| Raw::enter()).transpose()?.flatten();
    if let Some(master) = program.console {
        tty::copy_size(master);
    }
    let ended = relay(program, signals);
    drop(raw);
    Ok(ended?.code())
}

fn relay(program: &Program<'_>, signals: &Signals) -> Result<Ended> {
    let stdin = rustix::stdio::stdin();
    let (mut typed, mut shown) = (program.console, program.console);
    loop {
        if let Some(ended) = reap(program.pid)? {
            shown.into_iter().for_each(drain);
            return Ok(ended);
        }
        let idle = signals.as_fd();
        let mut fds = [
            PollFd::from_borrowed_fd(idle, PollFlags::IN),
            PollFd::from_borrowed_fd(typed.map_or(idle, |_| stdin), PollFlags::IN),
            PollFd::from_borrowed_fd(shown.map_or(idle, AsFd::as_fd), PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).at("poll")?;
        let [signalled, keys, output] = fds.map(|fd| !fd.revents().is_empty());
        if let Some(master) = shown.filter(|_| output)
            && !copy(master.as_fd(), rustix::stdio::stdout())
        {
            shown = None;
        }
        if let Some(master) = typed.filter(|_| keys)
            && !copy(stdin, master.as_fd())
        {
            typed = None;
        }
        if signalled {
            forward(program, signals)?;
        }
    }
}

/// Reaps all that have ended, orphans that came to us among them.
fn reap(pid: i32) -> Result<Option<Ended>> {
    let mut found = None;
    while let Some((number, ended)) = process::reap_any().at("wait for the process")? {
        found = found.or((number == pid).then_some(ended));
    }
    Ok(found)
}

/// Hands on what came.
fn forward(program: &Program<'_>, signals: &Signals) -> Result<()> {
    while let Some(signal) = signals.next().at("read signals")? {
        match (signal, program.console) {
            (libc::SIGCHLD, _) => {}
            (libc::SIGWINCH, Some(master)) => tty::copy_size(master),
            (signal, _) => match process::pidfd_signal(program.pidfd, signal) {
                // It has just ended, or took another identity: then it is not ours to signal.
                Err(e) if matches!(e.raw_os_error(), Some(libc::ESRCH | libc::EPERM)) => {}
                other => other.at("forward signal")?,
            },
        }
    }
    Ok(())
}

/// Copies what is there. False at the end.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; CHUNK];
    let read = match rustix::io::read(from, &mut buffer) {
        Err(Errno::INTR | Errno::AGAIN) => return true,
        Err(_) | Ok(0) => return false,
        Ok(read) => read,
    };
    let mut left = &buffer[..read];
    while !left.is_empty() {
        match rustix::io::write(to, left) {
            Err(Errno::INTR) => {}
            // A terminal that was left non-blocking by whoever had it before.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&to, PollFlags::OUT)], None);
            }
            Err(_) => return false,
            Ok(written) => left = &left[written..],
        }
    }
    true
}

/// What the process wrote last. Others that still have the terminal are not waited for.
fn drain(master: &OwnedFd) {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        let mut fds = [PollFd::new(master, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0);
        if !ready || !fds[0].revents().contains(PollFlags::IN) || !copy(master.as_fd(), rustix::stdio::stdout()) {
            return;
        }
    }
}
