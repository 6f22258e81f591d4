//! The first process behind `--init`: it starts the command, hands on every signal, reaps every orphan, and ends as the command
//! ended. One thread, no allocation to speak of.
//!
//! ```text
//! docker-init [--] COMMAND [ARGUMENT...]
//!
//! block all signals ─ fork ─┬─ child: own process group, terminal's foreground, default signals, exec
//!                           └─ init:  wait for a signal ─ SIGCHLD: reap; the command ended: end
//!                                                       └ any other: to the command
//! ```

use dhow_sys::clone::{Forked, fork};
use dhow_sys::process::{Ended, exit_now, pidfd_signal, reap_any};
use dhow_sys::signal::{self, Signals};
use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{getpgrp, getpid, set_child_subreaper, setpgid};
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// What went wrong before there was a command to end with.
const FAILED: i32 = 1;
/// The command is there but cannot be executed.
const NOT_EXECUTABLE: i32 = 126;
/// The command is not there.
const NOT_FOUND: i32 = 127;

/// Runs until the command has ended; the result is init's exit code: the command's own, or 128 and the number of the signal that ended it.
///
/// `args` is what follows the program's name. The caller must be single-threaded.
pub fn main(args: &[OsString]) -> i32 {
    let command = match args {
        [dashes, command @ ..] if dashes == "--" => command,
        command => command,
    };
    match command {
        [] => complain("no command given", None),
        [first, ..] if args.len() == command.len() && first.as_bytes().starts_with(b"-") => complain("unknown option", Some(first)),
        _ => run(command).unwrap_or_else(|error| complain(&error.to_string(), command.first())),
    }
}

fn run(command: &[OsString]) -> io::Result<i32> {
    let words: Vec<CString> = command.iter().map(|word| Ok(CString::new(word.as_bytes())?)).collect::<io::Result<_>>()?;
    // Orphans come to the first process of a pid namespace by themselves, to another one on request.
    if getpid().as_raw_nonzero().get() != 1 {
        set_child_subreaper(Some(getpid()))?;
    }
    let signals = Signals::block_all()?;
    match fork()? {
        Forked::Child => become_command(&words),
        Forked::Parent { pid, pidfd } => attend(&signals, pid, &pidfd),
    }
}

/// In the child: a group of its own that owns the terminal, so that Ctrl-C and job control reach it and not init.
fn become_command(words: &[CString]) -> ! {
    // While all signals are blocked, taking the terminal from the background does not stop this process.
    let grouped = setpgid(None, None);
    if grouped.is_ok() {
        // Not a terminal, or not ours: then there is nothing to own.
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), getpgrp());
    }
    let code = match signal::reset() {
        Err(error) => complain(&format!("reset signals: {error}"), None),
        Ok(()) => {
            let Err(errno) = nix::unistd::execvp(&words[0], words);
            let name = OsStr::from_bytes(words[0].to_bytes()).to_owned();
            complain(&format!("exec failed: {}", errno.desc()), Some(&name));
            exec_code(errno)
        }
    };
    exit_now(code)
}

fn exec_code(errno: Errno) -> i32 {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => NOT_FOUND,
        Errno::EACCES | Errno::EISDIR | Errno::ENOEXEC => NOT_EXECUTABLE,
        _ => FAILED,
    }
}

fn attend(signals: &Signals, pid: i32, pidfd: &OwnedFd) -> io::Result<i32> {
    loop {
        match poll(&mut [PollFd::new(&signals.as_fd(), PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(signal) = signals.next()? {
            if signal != libc::SIGCHLD {
                hand_on(pidfd, signal)?;
            }
        }
        // One SIGCHLD may stand for several children.
        if let Some(ended) = reap(pid)? {
            return Ok(ended.code());
        }
    }
}

/// A command that has just ended needs no signal any more.
fn hand_on(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    match pidfd_signal(pidfd, signal) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        // A command that took another user's identity cannot be reached by an init without the capability; init must not end for that.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(()),
        other => other,
    }
}

/// Reaps all that have ended; tells how the command did.
fn reap(command: i32) -> io::Result<Option<Ended>> {
    let mut result = None;
    while let Some((pid, ended)) = reap_any()? {
        if pid == command {
            result = Some(ended);
        }
    }
    Ok(result)
}

/// Standard error is the container's, and may be closed.
fn complain(message: &str, object: Option<&OsString>) -> i32 {
    let object = object.map(|object| format!("{}: ", object.display())).unwrap_or_default();
    let _ = io::stderr().write_all(format!("docker-init: {object}{message}\n").as_bytes());
    FAILED
}
