//! The binary: looks at how it was called and hands over to one of its programs. No logic is here.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let called = words.first().and_then(|word| Path::new(word).file_name()).and_then(OsStr::to_str).unwrap_or_default();
    let first = words.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    // The spawner and init come first: they must find the process as it was started.
    match (called, first) {
        (dhow_shim::spawner::NAME, _) => exit(dhow_shim::spawner::main()),
        (dhow_files::NAME, _) => exit(dhow_files::helper::main()),
        (dhow_oci::NAME, _) => exit(dhow_oci::main(&words[1..])),
        ("docker-init", _) => exit(dhow_runtime::init::main(&words[1..])),
        ("dockerd", _) => dhow_daemon::main(words.into_iter().skip(1)),
        (_, "init") => exit(dhow_runtime::init::main(&words[2..])),
        (_, "runtime") => exit(dhow_oci::main(&words[2..])),
        (_, "daemon") => dhow_daemon::main(words.into_iter().skip(2)),
        _ => exit(dhow_cli::main(words.into_iter())),
    }
}

/// Ends at once: threads that still wait for a terminal or a pipe do not matter any more.
fn exit(status: i32) -> ExitCode {
    std::process::exit(status)
}
