//! Skipping aloud: a test that lacks something says so, and the run counts it.

use std::io::Write;

/// Says that something was skipped: on standard output, and in the file `DHOW_SKIPPED` that the runner counts.
pub fn skip(reason: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_string();
    crate::note(&format!("SKIPPED: {name}: {reason}"));
    if let Some(path) = std::env::var_os("DHOW_SKIPPED")
        && let Err(error) =
            std::fs::OpenOptions::new().create(true).append(true).open(path).and_then(|mut file| writeln!(file, "{name}: {reason}"))
    {
        crate::complain(&format!("could not count a skipped test: {error}"));
    }
}
