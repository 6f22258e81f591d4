//! Namespaces of a running container, held open while somebody works on its files.

use crate::error::{Error, Result};
use crate::model::Container;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What keeps a container's files in their places.
#[derive(Debug)]
pub(crate) struct Held {
    /// While it is open everything that is mounted in the container stays so, even when its processes have ended.
    pub(crate) mounts: OwnedFd,
    /// The user namespace that it runs in, where that is not the engine's.
    pub(crate) users: Option<OwnedFd>,
}

/// Opens them; `None` where its first process has ended.
pub(crate) fn hold(container: &Container) -> Result<Option<Held>> {
    let pid = container.state.pid;
    let found = open(&format!("/proc/{pid}/ns/mnt")).and_then(|mounts| Ok((mounts, open(&format!("/proc/{pid}/ns/user"))?)));
    let fail = |e: io::Error| Error::internal("open the namespaces of container", &container.id, e);
    let (mounts, users) = match found {
        Ok((Some(mounts), Some(users))) => (mounts, users),
        Ok(_) => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    // Until now the number may have become another process's.
    match dhow_sys::process::start_time(pid) {
        Ok(time) if time == container.state.pid_start_time => {}
        Err(error) if !is_gone(&error) => return Err(fail(error)),
        _ => return Ok(None),
    }
    let own = Path::new("/proc/self/ns/user").metadata().and_then(|own| Ok((own.dev(), own.ino()) == identity(&users)?)).map_err(fail)?;
    Ok(Some(Held { mounts: mounts.into(), users: (!own).then(|| users.into()) }))
}

fn open(path: &str) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|meta| (meta.dev(), meta.ino()))
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
        let mut container = crate::container::testing::container("c1", "one");
        container.state.pid = std::process::id() as i32;
        container.state.pid_start_time = dhow_sys::process::start_time(container.state.pid).unwrap();
        assert!(hold(&container).unwrap().is_some_and(|held| held.users.is_none()));
        container.state.pid_start_time += 1;
        assert!(hold(&container).unwrap().is_none(), "another one has its number");
        container.state.pid = 0;
        assert!(hold(&container).unwrap().is_none());
    }
}
