//! YAML as far as CDI files go: one document of mappings, lists and scalars, made a JSON value. Anchors are refused: no such file needs
//! them, and what they multiply into has no bound.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// Deeper than this no CDI file is.
const DEPTH: usize = 32;

/// A collection that is being read.
enum Open {
    List(Vec<Value>),
    /// The key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

/// Reads a document. The error says what and where.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut done: Option<Value> = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let at = |why: &str| format!("{why} at line {}", span.start.line());
        let value = match event {
            Event::Alias(_) => return Err(at("anchors are not supported")),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, ..) | Event::MappingStart(anchor, ..) if anchor != 0 => {
                return Err(at("anchors are not supported"));
            }
            Event::Scalar(text, style, ..) => scalar(&text, style == ScalarStyle::Plain),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                if open.len() > DEPTH {
                    return Err(at("too deep"));
                }
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                if open.len() > DEPTH {
                    return Err(at("too deep"));
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(list)) => Value::Array(list),
                Some(Open::Map(map, None)) => Value::Object(map),
                _ => return Err(at("unexpected end")),
            },
            Event::DocumentStart(_) if done.is_some() => return Err(at("more than one document")),
            _ => continue,
        };
        match open.last_mut() {
            None => done = Some(value),
            Some(Open::List(list)) => list.push(value),
            Some(Open::Map(map, key)) => match (key.take(), value) {
                (None, Value::String(name)) if !map.contains_key(&name) => *key = Some(name),
                (None, Value::String(name)) => return Err(at(&format!("key {name:?} already set in map"))),
                (None, other @ (Value::Number(_) | Value::Bool(_))) => *key = Some(other.to_string()),
                (None, _) => return Err(at("a key must be a word")),
                (Some(name), value) => drop(map.insert(name, value)),
            },
        }
    }
    done.ok_or_else(|| "the document is empty".to_owned())
}

/// What a scalar means: plain ones may be numbers and such, quoted ones are text.
fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ => {}
    }
    if let Some(number) = integer(text) {
        return number.into();
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) && text.contains('.');
    match text.parse::<f64>().ok().filter(|_| numeric).and_then(Number::from_f64) {
        Some(number) => Value::Number(number),
        None => text.into(),
    }
}

/// Decimal, `0x`, `0o`, and octal by a leading zero as the older YAML has it: people write modes that way.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()?
    } else if let Some(octal) = digits.strip_prefix("0o").or_else(|| digits.strip_prefix('0').filter(|rest| !rest.is_empty())) {
        i64::from_str_radix(octal, 8).ok()?
    } else {
        digits.parse().ok()?
    };
    Some(sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn documents() {
        let check = |text: &str, expect: Value| assert_eq!(parse(text), Ok(expect), "{text}");
        check("a: 1\nb:\n- x\n- {c: \"2\", d: 'yes'}\n", json!({"a": 1, "b": ["x", {"c": "2", "d": "yes"}]}));
        check("---\nm: 0666\nn: 0o17\no: -3\np: 0x1f\n", json!({"m": 438, "n": 15, "o": -3, "p": 31}));
        check("a:\nb: ~\nc: true\nd: 1.5\ne: 0.7.0\nf: 08\n", json!({"a": null, "b": null, "c": true, "d": 1.5, "e": "0.7.0", "f": "08"}));
        check("{\"cdiVersion\": \"0.5.0\", \"x\": []}", json!({"cdiVersion": "0.5.0", "x": []}));
        check("a: |\n  one\n  two\n", json!({"a": "one\ntwo\n"}));
    }

    #[test]
    fn refusals() {
        for bad in ["", "a: &x 1\nb: *x\n", "a: 1\na: 2\n", "a: [1\n", "--- 1\n--- 2\n", "? [a]\n: 1\n"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(parse(&"[".repeat(100)).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[-a:\\[\\]{}&*!|>'\" \n#,0-9x?]{0,64}") {
            let _read = parse(&text);
        }

        /// JSON is YAML.
        #[test]
        fn json_reads_the_same(words in proptest::collection::vec("[a-z ./=]{0,8}", 0..5), number in any::<i32>()) {
            let value = json!({"words": words, "number": number, "more": {"yes": true}});
            prop_assert_eq!(parse(&value.to_string()), Ok(value));
        }
    }
}
