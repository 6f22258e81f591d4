//! Namespaces of a running container, held open while somebody works on its files.

use dhow_sys::process;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What keeps a container's files in their places.
#[derive(Debug)]
pub struct Held {
    /// While it is open everything that is mounted in the container stays so, even when its processes have ended.
    pub mounts: OwnedFd,
    /// The user namespace that it runs in, where that is not our own.
    pub users: Option<OwnedFd>,
}

/// Opens those of a process, which its number and its start name together (clock ticks since boot, as in `/proc/PID/stat`). `None` where it has
/// ended.
pub fn hold(pid: i32, start_time: u64) -> io::Result<Option<Held>> {
    let (mounts, users) = match (open(&format!("/proc/{pid}/ns/mnt"))?, open(&format!("/proc/{pid}/ns/user"))?) {
        (Some(mounts), Some(users)) => (mounts, users),
        _ => return Ok(None),
    };
    // Until now the number may have become another process's.
    match process::start_time(pid) {
        Ok(time) if time == start_time => {}
        Err(error) if !is_gone(&error) => return Err(error),
        _ => return Ok(None),
    }
    let own = Path::new("/proc/self/ns/user").metadata()?;
    let theirs = users.metadata()?;
    let foreign = (own.dev(), own.ino()) != (theirs.dev(), theirs.ino());
    Ok(Some(Held { mounts: mounts.into(), users: foreign.then(|| users.into()) }))
}

fn open(path: &str) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What `/proc` says of a process that has ended.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_of_the_process_that_it_was() {
        let pid = std::process::id() as i32;
        let start = process::start_time(pid).unwrap();
        assert!(hold(pid, start).unwrap().is_some_and(|held| held.users.is_none()));
        assert!(hold(pid, start + 1).unwrap().is_none(), "another one has its number");
        assert!(hold(0, start).unwrap().is_none());
    }
}
