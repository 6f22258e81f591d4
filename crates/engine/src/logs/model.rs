//! What is asked of a log, and a line of it.

/// Which log lines.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "Docker's query parameters by their names")]
pub struct LogRequest {
    pub stdout: bool,
    pub stderr: bool,
    pub follow: bool,
    /// Nanoseconds since 1970.
    pub since: Option<i64>,
    /// Nanoseconds since 1970.
    pub until: Option<i64>,
    /// `None`: all.
    pub tail: Option<u64>,
}

/// One line of a log (or part of a long one), as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// 1 or 2.
    pub stream: u8,
    /// Nanoseconds since 1970.
    pub at: i64,
    /// With its newline, if it had one.
    pub text: Vec<u8>,
    /// Attributes for `details`.
    pub attrs: std::collections::BTreeMap<String, String>,
}
