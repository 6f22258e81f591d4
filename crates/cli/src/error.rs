//! How a command ends when it does not end well: the words, and the exit status.

use std::io;

use dhow_api::client;

/// Exit status of a program that wrote to a closed pipe, as a shell sees one that SIGPIPE ended.
const BROKEN_PIPE: i32 = 128 + 13;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing more to say: everything was said, or it is a container's exit status.
    #[error("exit status {0}")]
    Exit(i32),
    /// Words for standard error.
    #[error("{text}")]
    Message {
        /// The words.
        text: String,
        /// The exit status.
        status: i32,
    },
    /// The engine refused, or cannot be reached.
    #[error(transparent)]
    Api(#[from] client::Error),
    /// Standard output or error cannot be written.
    #[error("write error: {0}")]
    Output(#[source] io::Error),
}

impl Error {
    /// Words, and exit status 1.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::with_status(text, 1)
    }
    /// Words and an exit status.
    pub(crate) fn with_status(text: impl Into<String>, status: i32) -> Self {
        Self::Message { text: text.into(), status }
    }
    /// The output is gone.
    pub(crate) fn output(source: io::Error) -> Self {
        Self::Output(source)
    }
    /// What the person reads; nothing for a quiet end.
    pub(crate) fn words(&self) -> Option<String> {
        match self {
            Self::Exit(_) => None,
            Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe => None,
            other => Some(other.to_string()),
        }
    }
    /// The exit status.
    pub(crate) fn status(&self) -> i32 {
        match self {
            Self::Exit(status) | Self::Message { status, .. } => *status,
            Self::Api(_) => 1,
            Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe => BROKEN_PIPE,
            Self::Output(_) => 1,
        }
    }
    /// The same words behind the program's name and with a hint at the help, as `run` shows them.
    pub(crate) fn of_command(self, program: &str, command: &str, status: i32) -> Self {
        match self.words() {
            None => self,
            Some(words) => {
                Self::with_status(format!("{program}: {words}\n\nRun '{program} {command} --help' for more information"), status)
            }
        }
    }
}
