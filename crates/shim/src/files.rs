//! The directory of one shim under the exec root, and what can be done with it when the shim is gone.
//!
//! ```text
//! DIR/             0700, made by the shim
//! DIR/shim.sock    0600, for later daemons
//! DIR/state.json   what must be undone: written before anything else is made, and again when the program runs
//! DIR/exit.json    how it ended, before anybody is told
//! ```
//!
//! On `Release` the shim removes all of it. After a shim was killed [`clean_up`] does. Nothing here is synced: the directory is not meant
//! to outlive the machine's uptime.

use crate::config::Foreign;
use crate::document::read;
use crate::foreign;
use crate::protocol::Exit;
use dhow_runtime::cgroup::Cgroup;
use dhow_sys::overlay::Held;
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The listening socket.
pub(crate) const SOCKET: &str = "shim.sock";
/// [`Exit`].
pub(crate) const EXIT: &str = "exit.json";
/// [`Record`].
pub(crate) const STATE: &str = "state.json";

/// What a shim has made outside of its own process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Container id.
    pub(crate) id: String,
    /// The shim.
    pub(crate) shim_pid: i32,
    /// The first process, once it runs.
    #[serde(default)]
    pub(crate) pid: Option<i32>,
    /// Its start time.
    #[serde(default)]
    pub(crate) start_time: Option<u64>,
    /// Wall clock of the start, nanoseconds since 1970.
    #[serde(default)]
    pub(crate) at: Option<i64>,
    /// The container's directories in the cgroup hierarchies.
    pub(crate) cgroup: Cgroup,
    /// Where the network namespace is, or will be, pinned.
    #[serde(default)]
    pub(crate) pin: Option<PathBuf>,
    /// The foreign runtime that knows the container.
    #[serde(default)]
    pub(crate) runtime: Option<Foreign>,
    /// Volumes that it holds mounted: names, and where in the shim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) volumes: Vec<(String, Held)>,
}

/// Makes the directory, empty. One that a killed shim left is cleaned first.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o700);
    match rustix::fs::mkdir(dir, mode) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::EXIST) => clean_up(dir)?,
        Err(rustix::io::Errno::NOENT) => {
            let parent = dir.parent().ok_or(ErrorKind::InvalidInput)?;
            std::fs::create_dir_all(parent)?;
        }
        Err(e) => return Err(e.into()),
    }
    match rustix::fs::mkdir(dir, mode) {
        // Somebody else's files may be in it; the mode is ours.
        Err(rustix::io::Errno::EXIST) => Ok(rustix::fs::chmod(dir, mode)?),
        other => Ok(other?),
    }
}

/// The exit that a shim left on disk, if any.
pub fn recorded_exit(dir: &Path) -> io::Result<Option<Exit>> {
    read(dir, EXIT)
}

/// The volumes that a shim holds mounted, by name.
pub fn recorded_volumes(dir: &Path) -> io::Result<Vec<(String, Held)>> {
    Ok(read::<Record>(dir, STATE)?.map(|record| record.volumes).unwrap_or_default())
}

/// Removes what a killed shim left: processes and directories of the cgroup, the pinned namespace, its directory (unless others have files in
/// it). Goes on after errors and returns the first. What is missing is fine. Fails with `ResourceBusy`, having done nothing, where the shim
/// still answers. Blocks while processes end: not for an async thread.
pub fn clean_up(dir: &Path) -> io::Result<()> {
    if is_served(dir) {
        return Err(io::Error::new(ErrorKind::ResourceBusy, format!("{}: its shim is alive", dir.display())));
    }
    let mut result = Ok(());
    match read::<Record>(dir, STATE) {
        Ok(Some(record)) => {
            if let Some(runtime) = &record.runtime {
                result = foreign::forget(runtime, dir, &record.id);
            }
            result = result.and(record.cgroup.kill().map_err(io::Error::other));
            result = result.and(undo(&record.cgroup, record.pin.as_deref()));
            if record.runtime.is_some() || dir.join(foreign::BUNDLE).exists() {
                result = result.and(foreign::remove_files(dir));
            }
        }
        Ok(None) => {}
        // Half a file cannot be: it has its name only when it is whole. Somebody else's is not for us to act on.
        Err(e) => result = Err(e),
    }
    result?;
    remove_files(dir)
}

/// Whether a shim listens in this directory.
fn is_served(dir: &Path) -> bool {
    let probe = || -> io::Result<()> {
        let address = rustix::net::SocketAddrUnix::new(dir.join(SOCKET))?;
        let socket = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK,
            None,
        )?;
        match rustix::net::connect(&socket, &address) {
            // A full queue: busy, so alive.
            Ok(()) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(e) => Err(e.into()),
        }
    };
    probe().is_ok()
}

/// Removes the cgroup and the pin of a container that has ended. Returns the first error, after having tried everything.
pub(crate) fn undo(cgroup: &Cgroup, pin: Option<&Path>) -> io::Result<()> {
    let removed = cgroup.remove().map_err(io::Error::other);
    removed.and(pin.map_or(Ok(()), unpin))
}

fn unpin(pin: &Path) -> io::Result<()> {
    match dhow_sys::mount::unmount_detach(pin) {
        Ok(()) => {}
        // Not mounted, or not there.
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {}
        Err(e) => return Err(named(e, pin)),
    }
    missing_is_fine(rustix::fs::unlink(pin).map_err(|e| named(e.into(), pin)))
}

/// Removes our files, the record of what is to be undone as the last, and the directory if it is empty then.
pub(crate) fn remove_files(dir: &Path) -> io::Result<()> {
    let mut result = Ok(());
    for name in [SOCKET, EXIT, "exit.json.tmp", "state.json.tmp", STATE] {
        let path = dir.join(name);
        let removed = missing_is_fine(rustix::fs::unlink(&path).map_err(|e| named(e.into(), &path)));
        result = result.and(removed);
    }
    let removed = match rustix::fs::rmdir(dir) {
        Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => Ok(()),
        other => missing_is_fine(other.map_err(|e| named(e.into(), dir))),
    };
    result.and(removed)
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn named(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{rewrite, write};

    #[test]
    fn exit_is_read_back_and_absence_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(recorded_exit(dir.path()).unwrap(), None);
        let exit = Exit { code: 137, at: 5, oom: true };
        write(dir.path(), EXIT, &exit).unwrap();
        assert_eq!(recorded_exit(dir.path()).unwrap(), Some(exit));
        std::fs::write(dir.path().join(EXIT), "{\"code\":1,\"at\":2,\"new\":[]}").unwrap();
        assert_eq!(recorded_exit(dir.path()).unwrap().unwrap().code, 1);
    }

    #[test]
    fn rewritten_longer_and_shorter() {
        let dir = tempfile::tempdir().unwrap();
        let long = Exit { code: 1, at: 123_456_789, oom: false };
        let file = write(dir.path(), EXIT, &long).unwrap();
        for exit in [Exit { code: 1, at: 1, oom: true }, long] {
            rewrite(&file, &exit).unwrap();
            assert_eq!(recorded_exit(dir.path()).unwrap(), Some(exit));
        }
    }

    #[test]
    fn clean_up_of_nothing_and_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let shim = dir.path().join("x");
        clean_up(&shim).unwrap();
        make_dir(&shim).unwrap();
        write(&shim, EXIT, &Exit { code: 0, at: 0, oom: false }).unwrap();
        clean_up(&shim).unwrap();
        assert!(!shim.exists());
        make_dir(&shim).unwrap();
        std::fs::write(shim.join("hosts"), "").unwrap();
        make_dir(&shim).unwrap();
        assert!(shim.join("hosts").exists());
    }

    #[test]
    fn a_living_shim_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::SEQPACKET, None).unwrap();
        rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new(dir.path().join(SOCKET)).unwrap()).unwrap();
        rustix::net::listen(&socket, 1).unwrap();
        assert_eq!(clean_up(dir.path()).unwrap_err().kind(), ErrorKind::ResourceBusy);
        drop(socket);
        clean_up(dir.path()).unwrap();
    }
}
