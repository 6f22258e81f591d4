//! What went wrong: at which step, with which object, for which reason. Serialisable, because it is born in a child
//! process, crosses to the shim, and from there to the daemon.

use serde::{Deserialize, Serialize};

/// The steps of a container's way into the world, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Step {
    Spec, Cgroup, Namespaces, Root, Mount, Device, Mask, Console, Hostname, Sysctl, Network, User, Rlimit, Capabilities, Seccomp,
    Cwd, Exec, Hook, Io,
    #[serde(other)]
    Other,
}

/// What kind of failure a caller must tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The program is not in the container (exit code 127).
    NotFound,
    /// The program may not be executed (exit code 126).
    NotExecutable,
    /// The program is a directory (exit code 126).
    IsDirectory,
    /// The container is not running (any more).
    NotRunning,
    /// The specification asks for something wrong.
    Invalid,
    /// Everything else.
    #[serde(other)]
    Other,
}

/// One failure, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{step:?}: {object}: {message}")]
pub struct Failure {
    /// Where.
    pub step: Step,
    /// With what: a path, a name, a number.
    pub object: String,
    /// What kind.
    pub kind: Kind,
    /// The kernel's error number, 0 if it was not the kernel.
    pub errno: i32,
    /// Why, in words, without the object.
    pub message: String,
}

/// The runtime's error is the failure itself.
pub type Error = Failure;
/// Result with [`Failure`].
pub type Result<T> = std::result::Result<T, Failure>;
