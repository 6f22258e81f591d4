//! JSON read with the name of the field that is wrong: the reader itself tells only line and column.

use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads `text`, which people know as `name`.
pub(crate) fn read<T: DeserializeOwned>(name: &str, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| {
        let field = if error.is_data() { field(text, offset(text, error.line(), error.column())) } else { String::new() };
        let colon = if field.is_empty() { "" } else { ": " };
        Error::new(format!("{name}: {field}{colon}{error}"))
    })
}

/// The same for what may hold words that nobody knows and everybody is to overlook: where the text cannot be read as it is, `overlook` may mend
/// it first. With its warnings.
pub(crate) fn tolerant<T: DeserializeOwned>(name: &str, text: &[u8], overlook: fn(&mut Value) -> Vec<String>) -> Result<(T, Vec<String>)> {
    let error = match read(name, text) {
        Ok(read) => return Ok((read, Vec::new())),
        Err(error) => error,
    };
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else { return Err(error) };
    let warnings = overlook(&mut value);
    // What is still wrong is told of the text as it was, or, where that was mended, as it is now.
    match (serde_json::from_value(value.clone()), warnings.is_empty()) {
        (Ok(read), _) => Ok((read, warnings)),
        (Err(_), true) => Err(error),
        (Err(_), false) => read(name, value.to_string().as_bytes()).map(|read| (read, warnings)),
    }
}

/// The bytes before a place that is told by line and column, both from 1.
fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive(|&b| b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (before + column).min(text.len())
}

/// Where in a document one is.
enum Level {
    /// In an object, at this name.
    Object(String),
    /// In a list, at this place.
    List(usize),
}

/// The path of the value that ends at or holds the byte before `end`, as in `process.args[1]`. The document is well-formed up to there.
fn field(text: &[u8], end: usize) -> String {
    let mut levels: Vec<Level> = Vec::new();
    let mut at = 0;
    // In an object the next string is a name until a colon came.
    let mut name_next = false;
    while at < end {
        match text[at] {
            b'{' => {
                levels.push(Level::Object(String::new()));
                name_next = true;
            }
            b'[' => {
                levels.push(Level::List(0));
                name_next = false;
            }
            // The end of a thing that lacks something is that thing itself.
            b'}' | b']' if at + 1 >= end => {
                levels.pop();
                break;
            }
            b'}' | b']' => {
                levels.pop();
                name_next = false;
            }
            b':' => name_next = false,
            b',' => match levels.last_mut() {
                Some(Level::List(place)) => *place += 1,
                Some(Level::Object(_)) => name_next = true,
                None => {}
            },
            b'"' => {
                let close = string_end(text, at);
                if let (true, Some(Level::Object(name))) = (name_next, levels.last_mut()) {
                    *name = String::from_utf8_lossy(&text[at + 1..close]).into_owned();
                }
                at = close;
            }
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for level in &levels {
        match level {
            Level::Object(name) if name.is_empty() => {}
            Level::Object(name) if path.is_empty() => path.push_str(name),
            Level::Object(name) => path.extend([".", name]),
            Level::List(place) => path.push_str(&format!("[{place}]")),
        }
    }
    path
}

/// Where the string that begins at `start` has its closing quote; the last byte where it has none.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at.min(text.len().saturating_sub(1)).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Spec;

    #[test]
    fn the_field_is_named() {
        let check = |text: &str, expect: &str| {
            let error = read::<Spec>("config.json", text.as_bytes()).unwrap_err().message;
            assert!(error.starts_with(&format!("config.json: {expect}: ")), "{text}: {error}");
        };
        check(r#"{"ociVersion": 5}"#, "ociVersion");
        check(r#"{"process": {"cwd": "/", "args": ["a", {"}": "]"}]}}"#, "process.args[1]");
        check("{\"process\": {\n\"cwd\": \"/\", \"user\":\n {\"uid\": \"0\", \"gid\": 0}}}", "process.user.uid");
        check(r#"{"mounts": [{"destination": "/a"}, {"source": "x"}], "hostname": "h"}"#, "mounts[1]");
        check(r#"{"linux": {"resources": {"memory": {"limit": "many"}}}}"#, "linux.resources.memory.limit");
        check(r#"{"linux": {"namespaces": [{"type": "pid"}, {"type": "odd"}]}}"#, "linux.namespaces[1].type");
        check(r#"{"hostname": ["a"]}"#, "hostname");
    }

    #[test]
    fn unknown_capabilities_are_overlooked_and_nothing_else() {
        let text = |args: &str| {
            format!(
                r#"{{"process": {{"user": {{"uid": 0, "gid": 0}}, "cwd": "/", "args": {args}, "capabilities": {{"bounding": ["CAP_NEW"]}}}}}}"#
            )
        };
        let (_, warnings) = tolerant::<Spec>("c", text("[]").as_bytes(), dhow_runtime::tolerance::of_spec).unwrap();
        assert_eq!(warnings.len(), 1);
        let error = tolerant::<Spec>("c", text("5").as_bytes(), dhow_runtime::tolerance::of_spec).unwrap_err();
        assert!(error.message.starts_with("c: process.args"), "{}", error.message);
    }

    #[test]
    fn what_is_no_json_has_no_field() {
        for text in ["", "{", "{\"a\"", "nonsense", "{\"ociVersion\": \"1"] {
            let error = read::<Spec>("config.json", text.as_bytes()).unwrap_err().message;
            assert!(error.starts_with("config.json: "), "{error}");
        }
    }
}
