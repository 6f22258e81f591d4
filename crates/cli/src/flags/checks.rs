//! What values of the common kinds must look like. The error texts are those of Go's parsers, which people meet in Docker.

use dhow_api::{duration, size};

pub(super) fn anything(_: &str) -> Result<(), String> {
    Ok(())
}

pub(super) fn boolean(text: &str) -> Result<(), String> {
    match parse_bool(text) {
        Some(_) => Ok(()),
        None => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quote(text))),
    }
}

pub(super) fn int(text: &str) -> Result<(), String> {
    match parse_int(text) {
        Some(_) => Ok(()),
        None => Err(format!("strconv.ParseInt: parsing {}: {}", quote(text), number_problem(text))),
    }
}

pub(super) fn bytes(text: &str) -> Result<(), String> {
    size::parse_binary(text).map(|_| ()).map_err(|error| error.to_string())
}

pub(super) fn duration(text: &str) -> Result<(), String> {
    duration::parse(text).map(|_| ()).map_err(|error| error.to_string())
}

pub(super) fn filter(text: &str) -> Result<(), String> {
    if text.is_empty() || text.contains('=') { Ok(()) } else { Err("bad format of filter (expected name=value)".to_owned()) }
}

/// What Go takes for a truth value.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A whole number in decimal, `0x`, `0o`, `0b`, or octal with a leading zero.
pub(super) fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let magnitude = if let Some(hex) = lower.strip_prefix("0x") {
        i128::from_str_radix(hex, 16)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        i128::from_str_radix(octal, 8)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        i128::from_str_radix(binary, 2)
    } else if lower.len() > 1 && lower.starts_with('0') {
        i128::from_str_radix(&lower[1..], 8)
    } else {
        lower.parse()
    };
    i64::try_from(if negative { -magnitude.ok()? } else { magnitude.ok()? }).ok()
}

/// Go tells numbers that are too large from texts that are no numbers.
pub(crate) fn number_problem(text: &str) -> &'static str {
    let digits = text.trim_start_matches(['+', '-']);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) { "value out of range" } else { "invalid syntax" }
}

/// The same for numbers that have no sign.
pub(crate) fn unsigned_problem(text: &str) -> &'static str {
    if text.starts_with(['+', '-']) { "invalid syntax" } else { number_problem(text) }
}

/// A text in double quotes, as Go writes it in messages.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
