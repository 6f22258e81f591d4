//! Values of flags, read and refused as dockerd does.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Flags that were given, by their long names, with their values.
pub(crate) type Given = BTreeMap<String, Vec<String>>;

/// `true`, `1`, `F`, ... as Go reads them.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(syntax("Bool", text)),
    }
}

/// A whole number.
pub(crate) fn whole(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| syntax("Int", text))
}

/// An address, kept as it was written.
pub(crate) fn address(text: &str) -> Result<String, String> {
    text.parse::<IpAddr>().map(|_| text.to_owned()).map_err(|_| format!("failed to parse IP: {text:?}"))
}

fn syntax(kind: &str, text: &str) -> String {
    format!("strconv.Parse{kind}: parsing {text:?}: invalid syntax")
}
