//! The command line: Docker's commands, flags and words, as a client of the API and nothing else.
//!
//! One file per command in [`commands`]; each is a static description (name, flags, arguments) and a function. Nothing is
//! built at start but what the typed command needs.

mod app;
mod command;
mod commands;
mod config;
mod connect;
mod copy;
mod credentials;
mod dispatch;
mod error;
mod flags;
mod globals;
mod help;
mod options;
mod output;
mod registry_auth;
mod signals;
mod stream;
mod template;
mod terminal;
mod tls;

use dhow_sys::alloc::Touched;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// What a command that speaks with an engine touches at least. The code comes from a file in small pages, all of which would have to be mapped.
const TOUCHED: Touched = Touched { stack: 96 << 10, heap: 128 << 10, code: 0 };

/// Runs a command line, the program's name first, and gives the exit status.
pub fn main(words: impl Iterator<Item = OsString>) -> i32 {
    // It works without, page by page.
    let _ = dhow_sys::alloc::take_ahead(TOUCHED);
    // The API speaks JSON: what is not UTF-8 cannot be said to an engine.
    let mut words = words.map(|word| word.to_string_lossy().into_owned());
    let program = program_name(&words.next().unwrap_or_default());
    let words: Vec<String> = words.collect();
    let outcome = dispatch::run(program, &words);
    terminal::restore();
    let Err(error) = outcome else { return 0 };
    if let Some(text) = error.words() {
        // Without standard error there is nobody to tell; the status says it too.
        let _unheard = writeln!(std::io::stderr(), "{text}");
    }
    error.status()
}

/// Docker's texts name the program: as it was called.
fn program_name(called: &str) -> &'static str {
    match Path::new(called).file_name().and_then(|name| name.to_str()) {
        Some("docker") => "docker",
        _ => "dhow",
    }
}
