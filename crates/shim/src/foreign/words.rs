//! What a runtime says went wrong, made one of our failures.

use dhow_runtime::{Failure, Kind, Step};
use dhow_sys::process::Ended;
use serde::Deserialize;
use std::io::{self, Read};
use std::path::Path;

/// A log is read up to this size.
const LOG_MAX: u64 = 1 << 20;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    level: String,
    #[serde(default)]
    msg: String,
}

/// The last error in the runtime's log; `Err` where the log cannot be read.
pub(crate) fn last_error(log: &Path) -> io::Result<Option<String>> {
    let mut text = Vec::new();
    std::fs::File::open(log)?.take(LOG_MAX).read_to_end(&mut text)?;
    Ok(find(&String::from_utf8_lossy(&text)))
}

fn find(text: &str) -> Option<String> {
    let mut errors = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()).filter(|line| line.level == "error");
    errors.next_back().map(|line| line.msg.trim().to_owned()).filter(|message| !message.is_empty())
}

/// What came of a call, of which `what` says in Docker's words what has failed.
pub(crate) fn judge(what: &str, program: &Path, ended: io::Result<Ended>, said: io::Result<Option<String>>) -> Result<(), Failure> {
    let (why, errno) = match ended {
        Ok(Ended::Code(0)) => return Ok(()),
        Ok(Ended::Code(code)) => (format!("exit status {code}"), 0),
        Ok(Ended::Signal(signal)) => (format!("signal {signal}"), 0),
        Err(error) => {
            let failure = Failure::io(Step::Runtime, what, error);
            (format!("fork/exec {}: {}", program.display(), failure.message), failure.errno)
        }
    };
    let message = match said {
        Ok(Some(message)) => message,
        Ok(None) => why,
        Err(error) => {
            let error = Failure::io(Step::Runtime, what, error).message;
            format!("unable to retrieve OCI runtime error ({error}): {why}")
        }
    };
    Err(Failure { step: Step::Runtime, object: what.to_owned(), kind: kind(&message), errno, message })
}

/// The kind by the words, which is all that a runtime gives.
fn kind(message: &str) -> Kind {
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["process already finished", "container not running", "no such process", "is not running", "cannot exec in a stopped"]) {
        Kind::NotRunning
    } else if says(&["executable file not found", "executable file `", "no such file or directory"]) {
        Kind::NotFound
    } else if says(&["permission denied"]) {
        Kind::NotExecutable
    } else if says(&["is a directory"]) {
        Kind::IsDirectory
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_counts() {
        let text = "{\"level\":\"error\",\"msg\":\"first\"}\nnoise\n{\"level\":\"warning\",\"msg\":\"w\"}\n{\"level\":\"error\",\"msg\":\"last \\n\"}\n{\"level\":\"info\",\"msg\":\"x\"}\n";
        assert_eq!(find(text).as_deref(), Some("last"));
        assert_eq!(find("{\"level\":\"info\",\"msg\":\"x\"}"), None);
    }

    #[test]
    fn judged_by_its_words() {
        let check = |message: &str, expect: Kind| {
            let failure = judge("OCI runtime create failed", Path::new("/r"), Ok(Ended::Code(1)), Ok(Some(message.into()))).unwrap_err();
            assert_eq!((failure.kind, failure.message.as_str()), (expect, message));
        };
        check("runc create failed: unable to start container process: exec: \"x\": executable file not found in $PATH", Kind::NotFound);
        check("exec: \"/etc/passwd\": permission denied", Kind::NotExecutable);
        check("exec: \"/etc\": is a directory", Kind::IsDirectory);
        check("container not running", Kind::NotRunning);
        check("something else", Kind::Other);
        assert!(judge("x", Path::new("/r"), Ok(Ended::Code(0)), Ok(None)).is_ok());
        let lost = judge("x", Path::new("/r"), Err(io::Error::from_raw_os_error(2)), Err(io::Error::from_raw_os_error(2))).unwrap_err();
        let words = "unable to retrieve OCI runtime error (no such file or directory): fork/exec /r: no such file or directory";
        assert_eq!((lost.message.as_str(), lost.errno, lost.kind), (words, 2, Kind::NotFound));
        assert_eq!(judge("x", Path::new("/r"), Ok(Ended::Signal(9)), Ok(None)).unwrap_err().message, "signal 9");
    }
}
