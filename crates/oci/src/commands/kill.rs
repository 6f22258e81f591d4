//! `kill`: a signal for a container's first process, or for all of them.

use super::Command;
use crate::args::{Order, Parsed, switch};
use crate::context::Context;
use crate::error::{At, Error, Result};
use crate::record::Record;
use dhow_sys::process;
use nix::libc;
use nix::sys::signal::Signal;
use std::os::fd::OwnedFd;

pub(super) const COMMAND: Command = Command {
    name: "kill",
    usage: "<container-id> [signal]",
    about: "kill sends the specified signal (default: SIGTERM) to the container's init process",
    flags: &[switch("all", Some("a"), "send the specified signal to all processes inside the container")],
    order: Order::Mixed,
    words: (1, 2),
    run,
};

fn run(context: &Context<'_>, parsed: &Parsed) -> Result<i32> {
    let (_, record) = context.store.find(&parsed.rest[0])?;
    let signal = number(parsed.rest.get(1).map_or("SIGTERM", String::as_str))?;
    let init = record.live()?;
    // What shares its pid namespace with others does not end with its first process.
    if parsed.is("all") || (signal == libc::SIGKILL && !record.pid_namespace) {
        all(&record, signal)?;
        if init.is_none() && !parsed.is("all") {
            return Err(not_running());
        }
    } else {
        let init = init.ok_or_else(not_running)?;
        one(&init, signal)?;
    }
    if signal == libc::SIGKILL && record.cgroup.is_frozen()? && record.cgroup.unified_dir().is_none() {
        // The old freezer holds even what is killed.
        record.cgroup.freeze(false)?;
    }
    Ok(0)
}

fn not_running() -> Error {
    Error::new("container not running")
}

fn one(init: &OwnedFd, signal: i32) -> Result<()> {
    match process::pidfd_signal(init, signal) {
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Err(not_running()),
        other => other.at(format!("signal {signal}")),
    }
}

fn all(record: &Record, signal: i32) -> Result<()> {
    if signal == libc::SIGKILL {
        return Ok(record.cgroup.kill()?);
    }
    for pid in record.cgroup.pids()? {
        let Ok(pidfd) = process::pidfd_open(pid) else { continue };
        // Between the list and the handle the number may have come to mean another process.
        if !record.cgroup.pids()?.contains(&pid) {
            continue;
        }
        match process::pidfd_signal(&pidfd, signal) {
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
            other => other.at(format!("signal {signal} to process {pid}"))?,
        }
    }
    Ok(())
}

/// `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`.
fn number(text: &str) -> Result<i32> {
    let unknown = || Error::new(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return (0..=libc::SIGRTMAX()).contains(&number).then_some(number).ok_or_else(unknown);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |base: i32, rest: &str| match rest {
        "" => Some(base),
        rest => rest.parse::<i32>().ok().map(|by| base + by),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => real_time(34, rest),
        (_, Some(rest)) => real_time(64, rest),
        _ => format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32),
    };
    number.filter(|number| (1..=64).contains(number)).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_signals() {
        for (text, expect) in [
            ("9", 9),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("0", 0),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("64", 64),
            ("winch", 28),
        ] {
            assert_eq!(number(text).unwrap(), expect, "{text}");
        }
        for text in ["", "SIG", "NOPE", "65", "-1", "RTMIN+40", "RTMINx"] {
            assert_eq!(number(text).unwrap_err().message, format!("unknown signal {text:?}"));
        }
    }
}
