//! The log that callers parse: a line for each message, as text or JSON.

use crate::error::{At, Result};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `time="..." level=error msg="..."`.
    Text,
    /// `{"level":"error","msg":"...","time":"..."}`.
    Json,
}

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Log {
    /// `None`: standard error.
    file: Option<File>,
    format: Format,
    debug: bool,
}

impl Log {
    /// Opens it. A file is appended to.
    pub(crate) fn open(path: Option<&Path>, format: Format, debug: bool) -> Result<Self> {
        let open = |path: &Path| File::options().create(true).append(true).open(path).at(format!("open {}", path.display()));
        Ok(Self { file: path.map(open).transpose()?, format, debug })
    }

    /// Text on standard error.
    pub(crate) fn of_stderr() -> Self {
        Self { file: None, format: Format::Text, debug: false }
    }

    /// The last words of a command that failed: in the log, and on standard error too where that is not the log.
    pub(crate) fn fatal(&self, message: &str) {
        self.line("error", message);
        if self.file.is_some() {
            // There is nowhere else to say it.
            let _ = writeln!(std::io::stderr(), "{message}");
        }
    }

    /// Something that people should know and nobody fails at.
    pub(crate) fn warn(&self, message: &str) {
        self.line("warning", message);
    }

    /// Whether somebody asked for more.
    pub(crate) fn debugs(&self) -> bool {
        self.debug
    }

    /// For those who asked for it.
    pub(crate) fn debug(&self, message: &str) {
        if self.debug {
            self.line("debug", message);
        }
    }

    fn line(&self, level: &str, message: &str) {
        let text = render(self.format, level, message, &now());
        // A log that cannot be written must not stop the work that it tells of.
        let _ = match &self.file {
            Some(file) => Write::write_all(&mut &*file, text.as_bytes()),
            None => std::io::stderr().write_all(text.as_bytes()),
        };
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn render(format: Format, level: &str, message: &str, time: &str) -> String {
    match format {
        Format::Text => format!("time={time:?} level={level} msg={message:?}\n"),
        Format::Json => format!("{}\n", serde_json::json!({"level": level, "msg": message, "time": time})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let time = "2026-01-02T03:04:05Z";
        let json = render(Format::Json, "error", "a \"b\"\n", time);
        assert_eq!(json, "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\\n\",\"time\":\"2026-01-02T03:04:05Z\"}\n");
        assert_eq!(render(Format::Text, "warning", "a", time), "time=\"2026-01-02T03:04:05Z\" level=warning msg=\"a\"\n");
    }

    #[test]
    fn a_file_is_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for message in ["one", "two"] {
            let log = Log::open(Some(&path), Format::Json, false).unwrap();
            log.warn(message);
            log.debug("silent");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let said: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(said.iter().map(|line| line["msg"].as_str().unwrap()).collect::<Vec<_>>(), ["one", "two"]);
        assert!(Log::open(Some(&dir.path().join("no/log")), Format::Json, false).unwrap_err().message.contains("no such file"));
    }
}
