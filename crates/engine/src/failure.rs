//! Why a program does not run, in Docker's words, composed in this one place.

use crate::error::{Error, Kind};
use dhow_runtime::{Failure, Kind as Cause, Step, words};
use dhow_shim::config::sink::LOGGING_DRIVER;
use dhow_shim::handle;

const START: &str = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: ";
const RUNC: &str = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: ";
/// A log driver that does not work.
pub(crate) const LOGGING: &str = "failed to create task for container: failed to initialize logging driver: ";
/// A foreign runtime has its own words for the rest.
const TASK: &str = "failed to create task for container: failed to create shim task: ";
const EXEC: &str = "OCI runtime exec failed: exec failed: unable to start container process: ";

/// A start or an exec that did not happen: the message, the exit code that stands for it, and the kind of error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotRun {
    pub(crate) message: String,
    pub(crate) code: i32,
    pub(crate) kind: Kind,
}

impl NotRun {
    /// As an error.
    pub(crate) fn error(&self) -> Error {
        Error::new(self.kind, self.message.clone())
    }
}

/// Of a specification that Docker's runtime refuses.
pub(crate) fn of_specification(words: &str) -> Error {
    Error::new(Kind::Invalid, format!("{RUNC}{words}: unknown"))
}

/// Of a container's start.
pub(crate) fn of_start(error: &handle::Error) -> NotRun {
    match error {
        handle::Error::Refused(failure) if failure.step == Step::Source => {
            let object = &failure.object;
            let message = format!("error while creating mount source path '{object}': mkdir {object}: {}", failure.message);
            NotRun { message, code: 128, kind: Kind::Internal }
        }
        handle::Error::Refused(failure) if failure.step == Step::Io && failure.object == LOGGING_DRIVER => {
            NotRun { message: format!("{LOGGING}{}", failure.message), code: 128, kind: Kind::Internal }
        }
        handle::Error::Refused(failure) if failure.step == Step::Runtime => compose(TASK, failure, ": unknown", 128),
        handle::Error::Refused(failure) => compose(START, failure, ": unknown", 128),
        other => NotRun { message: format!("failed to create task for container: {other}"), code: 128, kind: Kind::Internal },
    }
}

/// Of an exec.
pub(crate) fn of_exec(error: &handle::Error) -> NotRun {
    match error {
        handle::Error::Refused(failure) if failure.step == Step::Runtime => compose("", failure, "", 126),
        handle::Error::Refused(failure) => compose(EXEC, failure, "", 126),
        other => NotRun { message: format!("OCI runtime exec failed: {other}"), code: 126, kind: Kind::Internal },
    }
}

fn compose(prefix: &str, failure: &Failure, suffix: &str, other: i32) -> NotRun {
    let (code, kind) = match failure.kind {
        Cause::NotFound => (127, Kind::Invalid),
        Cause::NotExecutable | Cause::IsDirectory => (126, Kind::Invalid),
        Cause::NotRunning => (other, Kind::Conflict),
        Cause::Invalid => (other, Kind::Invalid),
        Cause::Other => (other, Kind::Internal),
    };
    NotRun { message: format!("{prefix}{}{suffix}", words::of(failure)), code, kind }
}

/// Docker's words for a bind's source that is not there.
pub(crate) fn missing_source(path: &std::path::Path) -> String {
    format!("invalid mount config for type \"bind\": bind source path does not exist: {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(object: &str, kind: Cause, message: &str) -> handle::Error {
        handle::Error::Refused(Failure { step: Step::Exec, object: object.into(), kind, errno: 0, message: message.into() })
    }

    #[test]
    fn start_failures_in_dockers_words() {
        let check = |error: handle::Error, code: i32, tail: &str| {
            let got = of_start(&error);
            assert_eq!((got.code, got.message), (code, format!("{START}{tail}: unknown")));
        };
        check(failure("nosuch", Cause::NotFound, "x"), 127, "exec: \"nosuch\": executable file not found in $PATH");
        check(failure("/x", Cause::NotFound, "x"), 127, "exec: \"/x\": stat /x: no such file or directory");
        check(failure("/etc/passwd", Cause::NotExecutable, "permission denied"), 126, "exec: \"/etc/passwd\": permission denied");
        check(failure("/etc", Cause::IsDirectory, ""), 126, "exec: \"/etc\": is a directory");
    }

    #[test]
    fn a_foreign_runtimes_words_are_left_as_they_are() {
        let of = |object: &str, kind, message: &str| {
            handle::Error::Refused(Failure { step: Step::Runtime, object: object.into(), kind, errno: 0, message: message.into() })
        };
        let words = "runc create failed: unable to start container process: exec: \"x\": executable file not found in $PATH";
        let start = of_start(&of("OCI runtime create failed", Cause::NotFound, words));
        assert_eq!((start.code, start.message), (127, format!("{TASK}OCI runtime create failed: {words}: unknown")));
        let exec = of_exec(&of("OCI runtime exec failed", Cause::Other, "exec failed: why"));
        assert_eq!((exec.code, exec.message.as_str()), (126, "OCI runtime exec failed: exec failed: why"));
    }

    #[test]
    fn exec_failures_in_dockers_words() {
        let got = of_exec(&failure("nosuch", Cause::NotFound, ""));
        assert_eq!(got.message, format!("{EXEC}exec: \"nosuch\": executable file not found in $PATH"));
        assert_eq!(got.code, 127);
    }
}
