//! Threads that act in a network namespace.

use crate::error::{Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::{AsFd, BorrowedFd};

/// Does something in a network namespace. The calling thread goes there and comes back; who cannot come back gets an error and must
/// not go on.
pub fn inside<T>(namespace: BorrowedFd<'_>, act: impl FnOnce() -> Result<T>) -> Result<T> {
    // Who has no rights over it may still have its name.
    let by_name = |_| rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let own = dhow_sys::net::namespace().or_else(by_name).map_err(|error| Error::of("open", "the own network namespace")(error.into()))?;
    let enter = |fd: BorrowedFd<'_>| move_into_link_name_space(fd, Some(LinkNameSpaceType::Network)).map_err(std::io::Error::from);
    enter(namespace).map_err(Error::of("enter", "the network namespace"))?;
    let done = act();
    enter(own.as_fd()).map_err(Error::of("leave", "the network namespace"))?;
    done
}
