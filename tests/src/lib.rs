//! The harness of the end-to-end tests: a throwaway engine with roots of its own, commands with outputs that must be
//! looked at, waiting without fixed sleeps, and a check that nothing is left behind.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tests talk to the person who runs them")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is all it can do")]

pub mod archive;
pub mod bundle;
pub mod command;
pub mod engine;
pub mod fake;
pub mod fuse;
pub mod http;
pub mod leaks;
pub mod middle;
pub mod netns;
pub mod paths;
pub mod peer;
pub mod registry;
pub mod skip;
pub mod tmux;
pub mod wait;

pub use bundle::Bundle;
pub use command::{Cmd, Output, finish_child};
pub use engine::{Engine, Options};
pub use skip::skip;
pub use wait::{until, until_some};

/// Shows a line to whoever runs the tests.
pub(crate) fn note(text: &str) {
    println!("{text}");
}

/// Shows a line of trouble.
pub(crate) fn complain(text: &str) {
    eprintln!("{text}");
}
