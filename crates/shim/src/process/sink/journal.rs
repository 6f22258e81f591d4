//! Entries in the journal's own protocol: `NAME=value` and a line feed, or, where the value holds line feeds, the name, a line feed, the
//! value's length in eight bytes, the value, a line feed.

use super::Entry;
use crate::frame::Stream;
use crate::log::line::timestamp;
use std::collections::BTreeMap;

/// The field that tells one start of a container from another. Parts of long lines are named after it.
const EPOCH: &str = "CONTAINER_LOG_EPOCH";

/// Writes entries of one container.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The fields that all entries share.
    fixed: Vec<u8>,
    epoch: String,
    /// Counts entries.
    ordinal: std::cell::Cell<u64>,
}

impl Encoder {
    pub(super) fn new(fields: &BTreeMap<String, String>) -> Self {
        let mut fixed = Vec::new();
        for (name, value) in fields {
            field(&mut fixed, name, value.as_bytes());
        }
        fixed.shrink_to_fit();
        Self { fixed, epoch: fields.get(EPOCH).cloned().unwrap_or_default(), ordinal: std::cell::Cell::new(0) }
    }

    /// Appends one entry.
    pub(super) fn write(&self, out: &mut Vec<u8>, entry: &Entry) {
        let ordinal = self.ordinal.get() + 1;
        self.ordinal.set(ordinal);
        out.reserve(self.fixed.len() + entry.text.len() + 256);
        field(out, "MESSAGE", &entry.text);
        field(out, "PRIORITY", if entry.stream == Stream::Stderr { b"3" } else { b"6" });
        out.extend_from_slice(&self.fixed);
        field(out, "CONTAINER_LOG_ORDINAL", ordinal.to_string().as_bytes());
        out.extend_from_slice(b"SYSLOG_TIMESTAMP=");
        timestamp(out, entry.time);
        out.push(b'\n');
        let Some(part) = entry.part else { return };
        let line = format!("{}{:016x}", self.epoch.get(..48).unwrap_or_default(), part.line);
        field(out, "CONTAINER_PARTIAL_ID", line.as_bytes());
        field(out, "CONTAINER_PARTIAL_ORDINAL", part.ordinal.to_string().as_bytes());
        field(out, "CONTAINER_PARTIAL_LAST", if part.last { b"true" } else { b"false" });
        if !part.last {
            field(out, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::Part;
    use super::*;

    #[test]
    fn entries_in_the_journals_form() {
        let fields = [("CONTAINER_ID", "c1"), ("NOTE", "two\nlines"), (EPOCH, &*"e".repeat(64))];
        let encoder = Encoder::new(&fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let write = |stream, part, text: &[u8]| {
            let mut out = Vec::new();
            encoder.write(&mut out, &Entry { stream, time: 1_500_000_000, part, text: text.to_vec() });
            String::from_utf8_lossy(&out).into_owned()
        };
        let fixed = format!("CONTAINER_ID=c1\n{EPOCH}={}\nNOTE\n\x09\0\0\0\0\0\0\0two\nlines\n", "e".repeat(64));
        assert_eq!(
            write(Stream::Stdout, None, b"hi"),
            format!("MESSAGE=hi\nPRIORITY=6\n{fixed}CONTAINER_LOG_ORDINAL=1\nSYSLOG_TIMESTAMP=1970-01-01T00:00:01.5Z\n")
        );
        let first = write(Stream::Stderr, Some(Part { line: 5, ordinal: 1, last: false }), b"x");
        assert!(first.starts_with("MESSAGE=x\nPRIORITY=3\n") && first.contains("CONTAINER_LOG_ORDINAL=2\n"), "{first}");
        let line = format!("CONTAINER_PARTIAL_ID={}0000000000000005\nCONTAINER_PARTIAL_ORDINAL=", "e".repeat(48));
        assert!(first.ends_with(&format!("{line}1\nCONTAINER_PARTIAL_LAST=false\nCONTAINER_PARTIAL_MESSAGE=true\n")), "{first}");
        let last = write(Stream::Stdout, Some(Part { line: 5, ordinal: 2, last: true }), b"");
        assert!(last.ends_with(&format!("{line}2\nCONTAINER_PARTIAL_LAST=true\n")), "{last}");
    }
}
