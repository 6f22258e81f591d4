//! Small helpers for values of flags.

use std::collections::BTreeMap;
use std::io;

use dhow_api::filters::{Filters, parse_flag};

/// Filters as the API takes them; None where there are none.
pub(crate) fn filters(given: &[String]) -> Option<String> {
    let mut filters = Filters::new();
    for (key, value) in given.iter().filter_map(|pair| parse_flag(pair).ok()) {
        filters.add(&key, &value);
    }
    (!filters.is_empty()).then(|| filters.to_json())
}

/// `a=b` pairs as a map; a name alone has an empty value.
pub(crate) fn pairs(given: &[String]) -> BTreeMap<String, String> {
    given
        .iter()
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// None instead of an empty list: what Go's client sends as null.
pub(crate) fn some_if_any(list: Vec<String>) -> Option<Vec<String>> {
    if list.is_empty() { None } else { Some(list) }
}

/// The words of an operating system's error as C and Go have them, without Rust's number.
pub(crate) fn os_error(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// One record of comma separated values, with quotes as in RFC 4180.
pub(super) fn csv_record(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (field, after) = quoted_field(quoted)?;
            fields.push(field);
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None if after.is_empty() => return Ok(fields),
                None => return Err("parse error: extraneous or missing \" in quoted-field".to_owned()),
            }
            continue;
        }
        let (field, next) = match rest.split_once(',') {
            Some((field, next)) => (field, Some(next)),
            None => (rest, None),
        };
        if field.contains('"') {
            return Err("parse error: bare \" in non-quoted-field".to_owned());
        }
        fields.push(field.to_owned());
        match next {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let at = rest.find('"').ok_or("parse error: extraneous or missing \" in quoted-field")?;
        field.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Ok((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_as_json() {
        let given = |list: &[&str]| filters(&list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(given(&[]), None);
        assert_eq!(given(&["name=x", "label=a=b", "Name=y"]).unwrap(), r#"{"label":{"a=b":true},"name":{"x":true,"y":true}}"#);
    }

    #[test]
    fn records() {
        assert_eq!(csv_record("a=1,\"b=x,y\",c").unwrap(), ["a=1", "b=x,y", "c"]);
        assert_eq!(csv_record("\"a\"\"b\"").unwrap(), ["a\"b"]);
        assert!(csv_record("\"a").is_err());
        assert!(csv_record("a\"b").is_err());
    }
}
