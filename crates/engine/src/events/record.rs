//! An event as a line of JSON. The time stands first, so that a reader can pass over a line without reading all of it.

use super::event::Event;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Longer lines are not written: the event is told, but not kept.
pub(super) const LONGEST: usize = 1 << 20;

const START: &[u8] = b"{\"at\":";

#[derive(Serialize)]
struct Written<'a> {
    at: i64,
    n: u64,
    kind: &'a str,
    action: &'a str,
    actor: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Read {
    at: i64,
    n: u64,
    kind: String,
    action: String,
    actor: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// Appends the line with its end. False where the event is too long to be kept.
pub(super) fn write(event: &Event, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let Event { number, kind, action, actor, attributes, at } = event;
    let written = serde_json::to_writer(&mut *out, &Written { at: *at, n: *number, kind, action, actor, attributes });
    if written.is_err() || out.len() - start >= LONGEST {
        out.truncate(start);
        return false;
    }
    out.push(b'\n');
    true
}

/// Reads a line without its end; `None` for what is no event.
pub(super) fn read(line: &[u8]) -> Option<Event> {
    let Read { at, n, kind, action, actor, attributes } = serde_json::from_slice(line).ok()?;
    Some(Event { number: n, kind: Cow::Owned(kind), action, actor, attributes, at })
}

/// The time of a line, where it stands in its place.
pub(super) fn time(line: &[u8]) -> Option<i64> {
    let rest = line.strip_prefix(START)?;
    let end = rest.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            at in any::<i64>(),
            number in any::<u64>(),
            action in ".*",
            actor in ".*",
            attributes in proptest::collection::btree_map(".*", ".*", 0..4),
        ) {
            let event = Event { number, kind: "container".into(), action, actor, attributes, at };
            let mut line = Vec::new();
            prop_assert!(write(&event, &mut line));
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(time(&line), Some(at));
            prop_assert_eq!(read(&line), Some(event));
        }
    }

    #[test]
    fn what_is_no_event() {
        for line in
            [&b""[..], b"{}", b"\0\0\0", b"{\"at\":1,\"n\":2", b"{\"at\":\"x\",\"n\":1,\"kind\":\"\",\"action\":\"\",\"actor\":\"\"}"]
        {
            assert_eq!(read(line), None, "{line:?}");
        }
        assert_eq!(time(b"{\"at\":x,"), None);
        assert_eq!(time(b"{\"at\":1"), None);
    }

    #[test]
    fn a_giant_is_left_out() {
        let mut out = b"before\n".to_vec();
        let attributes = BTreeMap::from([("label".to_owned(), "x".repeat(LONGEST))]);
        let event = Event { number: 1, kind: "container".into(), action: "start".into(), actor: "a".into(), attributes, at: 1 };
        assert!(!write(&event, &mut out));
        assert_eq!(out, b"before\n");
    }
}
