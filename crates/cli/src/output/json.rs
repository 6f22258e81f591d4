//! JSON for people: indented by four blanks, without HTML escaping, as `inspect` shows it.

use serde::Serialize;
use serde_json::Value;

/// A value over many lines.
pub(crate) fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        // A value that is JSON already can always be written to memory.
        Err(_) => value.to_string(),
    }
}
