//! The functions of templates: Go's own and Docker's.

use std::cmp::Ordering;

use serde_json::Value;

use super::print::{kind, show};
use super::typed;

const NAMES: &[&str] = &[
    "and", "eq", "ge", "gt", "html", "index", "join", "js", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad", "print",
    "printf", "println", "slice", "split", "title", "truncate", "upper", "urlquery",
];

/// What stays as it is in a query, as Go has it.
const QUERY: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// How many arguments a function takes: so many, or at least so many.
fn arity(name: &str) -> (usize, bool) {
    match name {
        "json" | "len" | "lower" | "not" | "title" | "upper" => (1, true),
        "ge" | "gt" | "join" | "le" | "lt" | "ne" | "split" | "truncate" => (2, true),
        "pad" => (3, true),
        "and" | "eq" | "index" | "or" | "printf" | "slice" => (1, false),
        _ => (0, false),
    }
}

/// Refuses a call with too few or too many arguments.
pub(super) fn check_count(name: &str, given: usize) -> Result<(), String> {
    match arity(name) {
        (wanted, true) if given != wanted => Err(format!("wrong number of args for {name}: want {wanted} got {given}")),
        (wanted, false) if given < wanted => Err(format!("wrong number of args for {name}: want at least {wanted} got {given}")),
        _ => Ok(()),
    }
}

/// Whether a function's argument has to be a text.
pub(super) fn wants_text(name: &str, at: usize) -> bool {
    match name {
        "lower" | "pad" | "title" | "truncate" | "upper" => at == 0,
        "split" => at < 2,
        "join" => at == 1,
        _ => false,
    }
}

/// Calls a function; the number of arguments is checked here.
pub(super) fn call(name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    check_count(name, arguments.len())?;
    let arguments: Vec<Value> = if name == "json" { arguments } else { arguments.into_iter().map(typed::empty).collect() };
    let text = |at: usize| arguments.get(at).map(show).unwrap_or_default();
    Ok(match name {
        "json" => Value::String(typed::plain(&arguments[0]).to_string()),
        "upper" => text(0).to_uppercase().into(),
        "lower" => text(0).to_lowercase().into(),
        "title" => title(&text(0)).into(),
        "split" => split(&text(0), &text(1)),
        "join" => join(&arguments[0], &text(1))?.into(),
        "pad" => pad(&text(0), number(name, &arguments[1])?, number(name, &arguments[2])?).into(),
        "truncate" => {
            let length = number(name, &arguments[1])?;
            text(0).chars().take(length).collect::<String>().into()
        }
        "len" => length(&arguments[0])?.into(),
        "index" => index(arguments)?,
        "slice" => slice(&arguments)?,
        "not" => (!typed::truth(&arguments[0])).into(),
        "and" | "or" => arguments.into_iter().next_back().unwrap_or_default(),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => compare(name, &arguments)?.into(),
        "print" => print(&arguments).into(),
        "println" => {
            let words: Vec<String> = arguments.iter().map(show).collect();
            (words.join(" ") + "\n").into()
        }
        "printf" => printf(&arguments)?.into(),
        "html" => html(&print(&arguments)).into(),
        "js" => print(&arguments).replace('\\', "\\\\").replace('\'', "\\'").replace('"', "\\\"").into(),
        "urlquery" => {
            let encoded = percent_encoding::utf8_percent_encode(&print(&arguments), QUERY).to_string();
            encoded.replace("%20", "+").into()
        }
        _ => return Err(format!("function {} not defined", crate::flags::quote(name))),
    })
}

fn number(name: &str, value: &Value) -> Result<usize, String> {
    value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| *number <= 1_000_000)
        .ok_or_else(|| format!("wrong type for value of {name}; expected int; got {}", kind(value)))
}

/// Like Go's Title: every letter after something that is none becomes a capital.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.push(c)
        } else {
            out.extend(c.to_uppercase())
        }
        inside = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    out
}

fn split(text: &str, by: &str) -> Value {
    if by.is_empty() {
        return text.chars().map(|c| Value::String(c.into())).collect();
    }
    text.split(by).map(|part| Value::String(part.to_owned())).collect()
}

fn join(list: &Value, by: &str) -> Result<String, String> {
    match list {
        Value::Array(items) => Ok(items.iter().map(show).collect::<Vec<_>>().join(by)),
        Value::Null => Ok(String::new()),
        other => Err(format!("wrong type for value; expected []string; got {}", kind(other))),
    }
}

fn pad(text: &str, before: usize, after: usize) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("{:before$}{text}{:after$}", "", "")
}

/// The first columns of a text; with an ellipsis where something is left out.
pub(crate) fn truncate(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut out: String = text.chars().take(columns - 1).collect();
    out.push('…');
    out
}

fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::String(text) => Ok(text.len()),
        Value::Array(items) => Ok(items.len()),
        Value::Object(map) if typed::is_structure(map) => Err("error calling len: len of type struct".to_owned()),
        Value::Object(map) => Ok(map.len()),
        other => Err(format!("error calling len: len of type {}", kind(other))),
    }
}

fn index(arguments: Vec<Value>) -> Result<Value, String> {
    let mut arguments = arguments.into_iter();
    let mut value = arguments.next().ok_or("wrong number of args for index: want at least 1 got 0")?;
    for key in arguments {
        value = match (value, &key) {
            (Value::Object(mut map), Value::String(name)) => match map.remove(name) {
                Some(found) => found,
                // A map of texts answers with an empty one.
                None if map.values().all(Value::is_string) => "".into(),
                None => Value::Null,
            },
            (Value::Array(mut items), Value::Number(at)) => {
                let at = at.as_u64().and_then(|at| usize::try_from(at).ok()).filter(|at| *at < items.len());
                let at = at.ok_or_else(|| format!("error calling index: index out of range: {}", show(&key)))?;
                items.swap_remove(at)
            }
            (Value::String(text), Value::Number(at)) => {
                let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
                let byte = at.and_then(|at| text.as_bytes().get(at).copied());
                byte.ok_or_else(|| format!("error calling index: index out of range: {}", show(&key)))?.into()
            }
            (Value::Null, _) => return Err("error calling index: index of untyped nil".to_owned()),
            (other, _) => return Err(format!("error calling index: can't index item of type {}", kind(&other))),
        };
    }
    Ok(value)
}

fn slice(arguments: &[Value]) -> Result<Value, String> {
    let (value, bounds) = arguments.split_first().ok_or("wrong number of args for slice: want at least 1 got 0")?;
    let size = length(value)?;
    let bound = |at: usize, default: usize| bounds.get(at).map_or(Ok(default), |bound| number("slice", bound));
    let (from, to) = (bound(0, 0)?, bound(1, size)?);
    if let Some(beyond) = [from, to].into_iter().find(|at| *at > size) {
        return Err(format!("error calling slice: index out of range: {beyond}"));
    }
    if from > to {
        return Err(format!("error calling slice: invalid slice index: {from} > {to}"));
    }
    match value {
        Value::Array(items) => Ok(Value::Array(items[from..to].to_vec())),
        Value::String(text) => Ok(Value::String(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned())),
        other => Err(format!("error calling slice: can't slice item of type {}", kind(other))),
    }
}

fn compare(name: &str, arguments: &[Value]) -> Result<bool, String> {
    let [left, others @ ..] = arguments else { return Err(format!("error calling {name}: missing argument for comparison")) };
    let [right, ..] = others else { return Err(format!("error calling {name}: missing argument for comparison")) };
    if name == "eq" {
        for right in others {
            if order(name, left, right)? == Some(Ordering::Equal) {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let order = order(name, left, right)?;
    if name == "ne" {
        return Ok(order != Some(Ordering::Equal));
    }
    let order = order.ok_or_else(|| format!("error calling {name}: invalid type for comparison"))?;
    Ok(match name {
        "lt" => order.is_lt(),
        "le" => order.is_le(),
        "gt" => order.is_gt(),
        _ => order.is_ge(),
    })
}

fn order(name: &str, left: &Value, right: &Value) -> Result<Option<Ordering>, String> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Ok(Some(a.cmp(&b))),
            _ => Ok(a.as_f64().partial_cmp(&b.as_f64())),
        },
        (Value::String(a), Value::String(b)) => Ok(Some(a.cmp(b))),
        (Value::Bool(_), Value::Bool(_)) | (Value::Null, _) | (_, Value::Null) => Ok((left == right).then_some(Ordering::Equal)),
        _ => Err(format!("error calling {name}: incompatible types for comparison")),
    }
}

/// Like Go's Print: a blank between two things when neither is text.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in arguments.iter().enumerate() {
        if at > 0 && !value.is_string() && !arguments[at - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&show(value));
    }
    out
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

/// `%v %s %q %d %x %f %t %%` with width, precision and the flags `-` and `0`.
fn printf(arguments: &[Value]) -> Result<String, String> {
    let (format, values) = arguments.split_first().ok_or("wrong number of args for printf: want at least 1 got 0")?;
    let format = show(format);
    let mut values = values.iter();
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = String::new();
        let verb = loop {
            match chars.next() {
                Some(c) if "-+# 0123456789.".contains(c) => spec.push(c),
                Some(verb) => break verb,
                None => return Ok(out + "%!(NOVERB)"),
            }
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = values.next() else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        out.push_str(&directive(&spec, verb, value)?);
    }
    let extra: Vec<String> = values.map(|value| format!("{}={}", kind(value), show(value))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(out)
}

fn directive(spec: &str, verb: char, value: &Value) -> Result<String, String> {
    let left = spec.contains('-');
    let digits = spec.trim_start_matches(['-', '+', '#', ' ']);
    let zero = digits.starts_with('0') && !left;
    let (width, precision) = digits.split_once('.').unwrap_or((digits, ""));
    let width = width.parse::<usize>().unwrap_or(0).min(10_000);
    let precision = precision.parse::<usize>().ok().filter(|_| digits.contains('.'));
    let body = match (verb, value) {
        ('v' | 's', _) => match precision {
            Some(most) => show(value).chars().take(most).collect(),
            None => show(value),
        },
        ('q', _) => crate::flags::quote(&show(value)),
        ('d', Value::Number(number)) => number.to_string(),
        ('t', Value::Bool(on)) => on.to_string(),
        ('f', Value::Number(number)) => {
            format!("{:.*}", precision.unwrap_or(6).min(100), number.as_f64().unwrap_or(0.0))
        }
        ('x', Value::Number(number)) => format!("{:x}", number.as_i64().unwrap_or(0)),
        ('x', Value::String(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('T', _) => kind(value).to_owned(),
        _ => return Ok(format!("%!{verb}({}={})", kind(value), show(value))),
    };
    Ok(if left {
        format!("{body:<width$}")
    } else if zero && value.is_number() {
        format!("{body:0>width$}")
    } else {
        format!("{body:>width$}")
    })
}
