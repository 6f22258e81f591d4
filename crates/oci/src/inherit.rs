//! Descriptors that the caller wants its program to have.

use crate::args::Parsed;
use crate::error::{Error, Result};
use dhow_runtime::{Keep, Stdio};
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

/// What tells a program of descriptors from a service manager.
pub(crate) fn environment() -> Vec<String> {
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
