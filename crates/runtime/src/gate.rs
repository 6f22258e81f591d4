//! Where a created container waits for its start when whoever made it does not stay: a socket with a name. Whoever connects and says the
//! word lets the process go on, and hears from the process itself whether its program runs.

use crate::error::{At, Failure, Kind, Result, Step};
use crate::sync;
use dhow_sys::fdpass;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// The side that waits.
#[derive(Debug)]
pub struct Gate(OwnedFd);

impl Gate {
    /// Listens at `name` in `dir`, which only those may enter who may start the container. The path may be longer than an address holds.
    pub fn listen(dir: &Path, name: &str) -> Result<Self> {
        let holder = open_dir(dir)?;
        let socket = socket()?;
        rustix::net::bind(&socket, &address(&holder, name)?).at(Step::Io, name)?;
        rustix::net::listen(&socket, 1).at(Step::Io, name)?;
        Ok(Self(socket))
    }

    /// Waits for somebody who says the word. One who goes away without it changes nothing.
    pub(crate) fn wait(&self) -> Result<OwnedFd> {
        loop {
            let accept = || rustix::net::accept_with(&self.0, SocketFlags::CLOEXEC);
            let opener = rustix::io::retry_on_intr(accept).at(Step::Io, "gate")?;
            if let Ok(Some(_)) = fdpass::recv(&opener) {
                return Ok(opener);
            }
        }
    }
}

/// Lets the container go that waits at `name` in `dir`, and returns once its program runs, or with the reason why it does not.
/// [`Kind::NotRunning`]: nobody waits there.
pub fn open(dir: &Path, name: &str) -> Result<()> {
    let holder = open_dir(dir)?;
    let socket = socket()?;
    let nobody = || Failure::new(Step::Io, "gate", Kind::NotRunning, "nobody waits at it");
    match rustix::net::connect(&socket, &address(&holder, name)?) {
        Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT) => return Err(nobody()),
        other => other.at(Step::Io, "gate")?,
    }
    match fdpass::send(&socket, b"go", &[]) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Err(nobody()),
        other => other.at(Step::Io, "gate")?,
    }
    match sync::until_exec(&socket)?.executed {
        Some(_) => Ok(()),
        None => {
            Err(Failure::new(Step::Other, "init process", Kind::Other, "was killed before its program ran (is the memory limit too low?)"))
        }
    }
}

fn socket() -> Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).at(Step::Io, "gate")
}

fn open_dir(dir: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::empty()).at_path(Step::Io, dir)
}

fn address(dir: &OwnedFd, name: &str) -> Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd())).at(Step::Io, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_opens_it() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than an address of a socket may be.
        let place = dir.path().join("x".repeat(120));
        std::fs::create_dir(&place).unwrap();
        assert_eq!(open(&place, "gate").unwrap_err().kind, Kind::NotRunning);
        let gate = Gate::listen(&place, "gate").unwrap();
        let waits = std::thread::spawn(move || {
            let opener = gate.wait().unwrap();
            sync::say(&opener, &sync::Message::Exec, &[]).unwrap();
        });
        let (holder, shy) = (open_dir(&place).unwrap(), socket().unwrap());
        rustix::net::connect(&shy, &address(&holder, "gate").unwrap()).unwrap();
        drop(shy);
        open(&place, "gate").unwrap();
        waits.join().unwrap();
        assert_eq!(open(&place, "gate").unwrap_err().kind, Kind::NotRunning);
    }

    #[test]
    fn what_went_wrong_behind_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let gate = Gate::listen(dir.path(), "gate").unwrap();
        let waits = std::thread::spawn(move || {
            let failure = Failure::new(Step::Exec, "nosuch", Kind::NotFound, "executable file not found in $PATH");
            sync::say(&gate.wait().unwrap(), &sync::Message::Failed(failure), &[]).unwrap();
            drop(gate.wait().unwrap());
        });
        let failure = open(dir.path(), "gate").unwrap_err();
        assert_eq!((failure.kind, failure.object.as_str()), (Kind::NotFound, "nosuch"));
        assert!(open(dir.path(), "gate").unwrap_err().message.contains("was killed"));
        waits.join().unwrap();
    }
}
