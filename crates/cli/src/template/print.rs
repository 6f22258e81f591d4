//! Values as Go prints them.

use serde_json::Value;

use super::typed;

/// A value as `{{.}}` shows it: maps as `map[a:b]` in the order of their keys, lists as `[a b]`.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(on) => on.to_string(),
        Value::Number(number) => show_number(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(show).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            if let Some(shown) = typed::nil(value) {
                return shown.to_owned();
            }
            if let Some(fields) = typed::structure(map) {
                let fields: Vec<String> = fields.map(show).collect();
                return format!("{{{}}}", fields.join(" "));
            }
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key}:{}", show(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

fn show_number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e21 => format!("{float:.0}"),
        _ => number.to_string(),
    }
}

/// What Go would call the type of a value.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "interface {}",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// JSON as Go's encoder writes it with HTML escaping: `<`, `>`, `&` and the two line separators escaped.
pub(crate) fn go_json(value: &Value) -> String {
    escape_html(&typed::plain(value).to_string())
}

fn escape_html(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
