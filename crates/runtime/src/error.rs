//! What went wrong: at which step, with which object, for which reason. Serialisable, because it is born in a child
//! process, crosses to the shim, and from there to the daemon.

use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The steps of a container's way into the world, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Step {
    Spec,
    Cgroup,
    Namespaces,
    Root,
    Mount,
    /// A bind's source that was to be made.
    Source,
    /// The data of a volume, by the volume's place in the container. The caller's step, as the next one.
    Volume,
    /// A part of a volume, by the same. The message is as much of its path as cannot be followed.
    Part,
    Device,
    Mask,
    Console,
    Hostname,
    Sysctl,
    Network,
    User,
    Rlimit,
    Capabilities,
    Seccomp,
    Cwd,
    Exec,
    Hook,
    /// A foreign runtime's call. The object says in words which one failed.
    Runtime,
    Io,
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

impl Failure {
    /// A failure in words.
    pub fn new(step: Step, object: impl Into<String>, kind: Kind, message: impl Into<String>) -> Self {
        Self { step, object: object.into(), kind, errno: 0, message: message.into() }
    }

    /// A wrong value in a specification; `field` names it as the specification does.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Step::Spec, field, Kind::Invalid, message)
    }

    /// Whether the kernel found that the object is not there.
    pub fn is_missing(&self) -> bool {
        self.errno == libc::ENOENT
    }

    /// A refused system call.
    pub fn io(step: Step, object: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let errno = source.raw_os_error().unwrap_or(0);
        Self { step, object: object.into(), kind: Kind::Other, errno, message: describe(&source) }
    }
}

/// The kernel's reason in the words that people know from strerror, without number, in lower case.
pub fn describe(error: &io::Error) -> String {
    let Some(number) = error.raw_os_error() else { return error.to_string() };
    let text = match number {
        // As the system's own library has it.
        libc::ERANGE => "numerical result out of range",
        _ => nix::errno::Errno::from_raw(number).desc(),
    };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => format!("{}{}", first.to_lowercase(), &text[first.len_utf8()..]),
        _ => text.to_owned(),
    }
}

/// Gives a result's error its step and object.
pub(crate) trait At<T> {
    /// With a ready name.
    fn at(self, step: Step, object: &str) -> Result<T>;
    /// With a path.
    fn at_path(self, step: Step, object: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, step: Step, object: &str) -> Result<T> {
        self.map_err(|e| Failure::io(step, object, e))
    }
    fn at_path(self, step: Step, object: &Path) -> Result<T> {
        self.map_err(|e| Failure::io(step, object.to_string_lossy(), e))
    }
}

/// The runtime's error is the failure itself.
pub type Error = Failure;
/// Result with [`Failure`].
pub type Result<T> = std::result::Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_in_known_words() {
        for (errno, expect) in [
            (libc::ENOENT, "no such file or directory"),
            (libc::EACCES, "permission denied"),
            (libc::EIO, "I/O error"),
            (libc::EISDIR, "is a directory"),
            (libc::ERANGE, "numerical result out of range"),
        ] {
            assert_eq!(describe(&io::Error::from_raw_os_error(errno)), expect);
        }
        let failure = Failure::io(Step::Mount, "/x", io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!((failure.errno, failure.to_string().as_str()), (1, "Mount: /x: operation not permitted"));
    }

    #[test]
    fn news_from_a_later_release_is_understood() {
        let text = r#"{"step":"teleport","object":"o","kind":"odd","errno":3,"message":"m","more":1}"#;
        let failure: Failure = serde_json::from_str(text).unwrap();
        assert_eq!((failure.step, failure.kind), (Step::Other, Kind::Other));
    }
}
