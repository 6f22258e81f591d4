//! Descriptors that the caller wants its program to have.

use crate::args::Parsed;
use crate::error::{Error, Result};
use dhow_runtime::{Keep, Stdio};
use oci_spec::runtime::Process;
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is kept: those of `--preserve-fds`, and those that a service manager passed (`LISTEN_FDS`), which come first. All must be open:
/// a gap would be filled by something of ours.
pub(crate) fn keep(parsed: &Parsed) -> Result<Keep> {
    let asked: u32 = parsed.number("preserve-fds")?.unwrap_or(0);
    let descriptors = listening().checked_add(asked).ok_or_else(|| Error::new("invalid value for flag -preserve-fds"))?;
    for fd in 3..3_u64 + u64::from(descriptors) {
        if std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_err() {
            return Err(Error::new(format!("please check that the preserved-fds {fd} is open")));
        }
    }
    Ok(Keep { descriptors, keyring: parsed.is("no-new-keyring") })
}

fn listening() -> u32 {
    std::env::var("LISTEN_FDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Adds to a process's environment what tells it of descriptors from a service manager. Of several values of a name the last one counts.
pub(crate) fn environment(process: &mut Process) {
    let given = process.env().clone().unwrap_or_default();
    let settled = settled(given.iter().cloned().chain(activation()).collect());
    if settled != given {
        process.set_env(Some(settled));
    }
}

/// The last of each name.
fn settled(mut env: Vec<String>) -> Vec<String> {
    let name = |entry: &str| entry.split_once('=').map(|(name, _)| name.to_owned());
    let mut seen = HashSet::new();
    env.reverse();
    // What is no setting at all is told of by its place.
    env.retain(|entry| name(entry).is_none_or(|name| seen.insert(name)));
    env.reverse();
    env
}

fn activation() -> Vec<String> {
    match listening() {
        0 => Vec::new(),
        count => {
            let names = std::env::var("LISTEN_FDNAMES").map(|names| format!("LISTEN_FDNAMES={names}"));
            [format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()].into_iter().chain(names).collect()
        }
    }
}

/// Our own first three.
pub(crate) fn stdio() -> Result<Stdio> {
    let copy = |fd: BorrowedFd<'_>| -> Result<OwnedFd> {
        rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|e| Error::new(format!("standard streams: {e}")))
    };
    Ok(Stdio::Given {
        stdin: copy(rustix::stdio::stdin().as_fd())?,
        stdout: copy(rustix::stdio::stdout().as_fd())?,
        stderr: copy(rustix::stdio::stderr().as_fd())?,
    })
}

#[cfg(test)]
mod tests {
    use super::settled;

    #[test]
    fn the_last_value_counts() {
        let of = |env: &[&str]| settled(env.iter().map(|entry| (*entry).to_owned()).collect());
        assert_eq!(of(&["A=1", "B=2", "A=3", "A=", "odd", "odd"]), ["B=2", "A=", "odd", "odd"]);
        assert_eq!(of(&["A=1", "B=2"]), ["A=1", "B=2"]);
    }
}
