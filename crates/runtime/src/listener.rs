//! A seccomp filter's listener: whoever answers the calls that the filter hands to somebody else (`SCMP_ACT_NOTIFY`).
//!
//! ```text
//!   child                                    parent
//!   loads the filter, gets the descriptor
//!   "Listener NUMBER" by write(2)        ->  takes a copy of the descriptor (pidfd_getfd), sends it with the
//!                                            container's state to listenerPath
//!   goes on                              <-  one packet
//! ```
//! From the load on any call of the child's may be one that waits for an answer. Only write(2) cannot be: profiles that ask for it are
//! refused.

use crate::error::{At, Failure, Kind, Result, Step};
use crate::seccomp::Program;
use crate::sync::{self, Message};
use dhow_sys::{fdpass, process};
use oci_spec::runtime::{LinuxSeccomp, Spec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Where the calls go, and what is told of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    path: PathBuf,
    metadata: Option<String>,
    state: Value,
}

impl Listener {
    /// Of a container that is being created; `None` where its profile hands no call to anybody. `id` and `bundle` are for the state.
    pub fn of(spec: &Spec, id: &str, bundle: &Path) -> Option<Self> {
        Self::of_profile(spec.linux().as_ref()?.seccomp().as_ref()?, spec, id, bundle)
    }

    /// The same with a profile that is not in the specification.
    pub fn of_profile(profile: &LinuxSeccomp, spec: &Spec, id: &str, bundle: &Path) -> Option<Self> {
        let path = profile.listener_path().clone()?;
        let state = json!({
            "ociVersion": spec.version(),
            "id": id,
            "status": "creating",
            "bundle": bundle,
            "annotations": spec.annotations().clone().unwrap_or_default(),
        });
        Some(Self { path, metadata: profile.listener_metadata().clone(), state })
    }

    /// The same for a further process of a container that runs.
    #[must_use]
    pub fn running(mut self, init: i32) -> Self {
        self.state["status"] = "running".into();
        self.state["pid"] = init.into();
        self
    }

    /// The container process state, as the specification has it.
    fn words(&self, pid: i32) -> Value {
        let mut state = self.state.clone();
        if state.get("pid").is_none() {
            state["pid"] = pid.into();
        }
        let mut words = json!({"ociVersion": state["ociVersion"], "fds": ["seccompFd"], "pid": pid, "state": state});
        if let Some(metadata) = &self.metadata {
            words["metadata"] = metadata.as_str().into();
        }
        words
    }

    /// One connection, one state, one descriptor.
    fn tell(&self, pid: i32, fd: BorrowedFd<'_>) -> Result<()> {
        let stream = UnixStream::connect(&self.path).at_path(Step::Seccomp, &self.path)?;
        fdpass::send_stream(&stream, self.words(pid).to_string().as_bytes(), &[fd]).at_path(Step::Seccomp, &self.path)
    }

    /// The parent's part, once the child has its filter. `Err(None)`: the child ended without a word.
    pub(crate) fn attend(&self, socket: &OwnedFd, pid: i32, pidfd: impl AsFd) -> std::result::Result<(), Option<Failure>> {
        let number = sync::until_listener(socket)?.ok_or(None)?;
        let fd = process::descriptor_of(pidfd, number).at(Step::Seccomp, "listener")?;
        self.tell(pid, fd.as_fd())?;
        Ok(fdpass::send(socket, b"told", &[]).at(Step::Io, "sync")?)
    }
}

/// Whether a filter hands calls to somebody.
pub(crate) fn is_wanted(filter: Option<&Program>) -> bool {
    filter.is_some_and(Program::needs_listener)
}

/// A filter that does needs a listener, and the other way round nothing.
pub(crate) fn agree<'l>(filter: Option<&Program>, listener: Option<&'l Listener>) -> Result<Option<&'l Listener>> {
    match listener {
        _ if !is_wanted(filter) => Ok(None),
        None => Err(Failure::invalid("linux.seccomp.listenerPath", "SCMP_ACT_NOTIFY needs somebody who listens")),
        some => Ok(some),
    }
}

/// The child's part: loads the filter and waits until its listener has been told.
pub(crate) fn load(filter: &Program, socket: &OwnedFd) -> Result<()> {
    let fd = dhow_sys::seccomp::load_with_listener(&filter.instructions, filter.flags).at(Step::Seccomp, "load filter")?;
    let words = serde_json::to_vec(&Message::Listener(fd.as_raw_fd()));
    let words = words.map_err(|e| Failure::new(Step::Io, "sync", Kind::Other, e.to_string()))?;
    fdpass::write(socket, &words).at(Step::Io, "sync")?;
    match rustix::io::read(socket, &mut [0_u8; 16]).at(Step::Io, "sync")? {
        0 => Err(Failure::new(Step::Io, "sync", Kind::Other, "was closed")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told() {
        let spec = json!({"ociVersion": "1.2.0", "annotations": {"a": "b"}, "linux": {"seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "listenerMetadata": "meta"}}});
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let listener = Listener::of(&spec, "box", Path::new("/b")).unwrap();
        let state = json!({"ociVersion": "1.2.0", "id": "box", "status": "creating", "pid": 7, "bundle": "/b", "annotations": {"a": "b"}});
        let expect = json!({"ociVersion": "1.2.0", "fds": ["seccompFd"], "pid": 7, "metadata": "meta", "state": state});
        assert_eq!(listener.words(7), expect);
        let later = listener.running(3).words(9);
        assert_eq!((&later["pid"], &later["state"]["pid"], &later["state"]["status"]), (&json!(9), &json!(3), &json!("running")));
        let none: Spec = serde_json::from_value(json!({"ociVersion": "1.2.0", "linux": {}})).unwrap();
        assert!(Listener::of(&none, "box", Path::new("/b")).is_none());
    }
}
