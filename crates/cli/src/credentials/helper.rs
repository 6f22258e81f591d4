//! `docker-credential-NAME`, the program that the person's configuration names: one word, a text in, a text out.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::json;

use crate::error::Error;

/// What helpers say of a server that they know nothing of.
const UNKNOWN: &str = "credentials not found in native keychain";

/// Name and secret of a server, if the helper knows it.
pub(super) fn get(name: &str, server: &str) -> Result<Option<(String, String)>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        #[serde(default)]
        username: String,
        #[serde(default)]
        secret: String,
    }
    let failed = |text: String| Error::new(format!("error getting credentials - err: {text}"));
    match call(name, "get", server) {
        Ok(out) => {
            let answer: Answer = serde_json::from_str(&out).map_err(|error| failed(format!("{error}")))?;
            Ok(Some((answer.username, answer.secret)))
        }
        Err(text) if text.contains(UNKNOWN) => Ok(None),
        Err(text) => Err(failed(text)),
    }
}

/// Gives the helper a name and a secret to keep.
pub(super) fn store(name: &str, server: &str, username: &str, secret: &str) -> Result<(), Error> {
    let text = json!({ "ServerURL": server, "Username": username, "Secret": secret }).to_string();
    call(name, "store", &text).map_err(|text| Error::new(format!("error storing credentials - err: {text}")))?;
    Ok(())
}

/// Lets the helper forget a server.
pub(super) fn erase(name: &str, server: &str) -> Result<(), Error> {
    match call(name, "erase", server) {
        Err(text) if !text.contains(UNKNOWN) => Err(Error::new(format!("error erasing credentials - err: {text}"))),
        _ => Ok(()),
    }
}

/// Runs it to its end; what went wrong as a text.
fn call(name: &str, word: &str, input: &str) -> Result<String, String> {
    if name.contains('/') {
        return Err(format!("invalid credential helper {name:?}"));
    }
    let program = format!("docker-credential-{name}");
    let mut command = Command::new(&program);
    // It may ask the person something: standard error is theirs.
    command.arg(word).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let missing = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("exec: {program:?}: executable file not found in $PATH"),
        _ => format!("exec: {program:?}: {error}"),
    };
    let mut child = command.spawn().map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read says by its end what it thinks.
        let _unread = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(out) } else { Err(format!("{}, out: `{}`", output.status, out.trim())) }
}
