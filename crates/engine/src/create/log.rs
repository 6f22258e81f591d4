//! Log options: validated at create, made the shim's configuration at start.

use crate::error::{Error, Kind, Result};
use crate::model::{Log, Request};
use dhow_shim::config::LogConfig;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Options that a json-file log knows.
const KNOWN: [&str; 8] = ["max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"];
/// Known to Docker, not to this release.
const MISSING: [&str; 3] = ["compress", "labels-regex", "env-regex"];

/// A log must not fill the disk of somebody who never thought of it.
const DEFAULT_SIZE: u64 = 20_000_000;
const DEFAULT_FILES: u32 = 5;

fn bad(message: String) -> Error {
    Error::new(Kind::Invalid, message)
}

/// Checks driver and options.
pub(crate) fn check(log: &Log) -> Result<()> {
    match log.driver.as_str() {
        "none" => Ok(()),
        "json-file" => {
            for (key, value) in &log.options {
                if !KNOWN.contains(&key.as_str()) {
                    return Err(bad(format!("unknown log opt '{key}' for json-file log driver")));
                }
                let off = key == "compress" && matches!(value.as_str(), "false" | "0" | "f" | "FALSE" | "False");
                if MISSING.contains(&key.as_str()) && !off {
                    return Err(Error::new(
                        Kind::NotImplemented,
                        format!("log opt '{key}' of the json-file log driver is not supported yet"),
                    ));
                }
            }
            limits(&log.options).map(|_| ())
        }
        name => Err(bad(format!("error looking up logging plugin {name}: plugin \"{name}\" not found"))),
    }
}

/// Size at which a file is rotated (0: never) and number of files kept.
fn limits(options: &BTreeMap<String, String>) -> Result<(u64, u32)> {
    let size = match options.get("max-size").map(String::as_str) {
        None => DEFAULT_SIZE,
        Some("-1") => 0,
        Some(text) => match size(text) {
            Some(0) => return Err(bad("max-size must be a positive number".into())),
            Some(bytes) => bytes,
            None => return Err(bad(format!("invalid size: '{text}'"))),
        },
    };
    let files = match options.get("max-file") {
        // Whoever sets a size and no number gets Docker's one file.
        None if options.contains_key("max-size") => 1,
        None => DEFAULT_FILES,
        Some(text) => match text.parse::<u32>() {
            Ok(0) => return Err(bad("max-file cannot be less than 1".into())),
            Ok(n) => n,
            Err(_) if text.parse::<i64>().is_ok_and(|n| n < 1) => return Err(bad("max-file cannot be less than 1".into())),
            Err(_) => return Err(bad(format!("strconv.Atoi: parsing \"{text}\": invalid syntax"))),
        },
    };
    Ok((size, files))
}

/// Bytes of a size such as `10m`, in steps of a thousand.
fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_suffix('b').unwrap_or(&lower);
    let bare = bare.strip_suffix('i').unwrap_or(bare);
    let (number, factor) = match bare.chars().last()? {
        'k' => (&bare[..bare.len() - 1], 1_000u64),
        'm' => (&bare[..bare.len() - 1], 1_000_000),
        'g' => (&bare[..bare.len() - 1], 1_000_000_000),
        't' => (&bare[..bare.len() - 1], 1_000_000_000_000),
        _ => (bare, 1),
    };
    let number: f64 = number.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "checked to be finite and positive; sizes need no last digit"
    )]
    let bytes = (number * factor as f64) as u64;
    Some(bytes)
}

/// The engine's options under the container's, for a driver that is the same.
pub(crate) fn own_defaults(log: &mut Log, defaults: &BTreeMap<String, String>) {
    if log.driver.is_empty() {
        log.driver = "json-file".into();
    }
    if log.driver == "json-file" {
        for (key, value) in defaults {
            log.options.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// What the shim is told; `None` with driver `none`.
pub(crate) fn log_config(request: &Request, path: PathBuf, container: (&str, &str)) -> Result<Option<LogConfig>> {
    let log = &request.host.log;
    if log.driver == "none" {
        return Ok(None);
    }
    let (max_size, max_file) = limits(&log.options)?;
    Ok(Some(LogConfig { path, max_size, max_file, attrs: attributes(request, container) }))
}

/// The labels and variables that each line carries because options name them.
fn attributes(request: &Request, (id, name): (&str, &str)) -> BTreeMap<String, String> {
    let options = &request.host.log.options;
    let named = |key: &str| options.get(key).map(|v| v.split(',').map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default();
    let mut attrs = BTreeMap::new();
    for label in named("labels") {
        if let Some(value) = request.labels.get(&label) {
            attrs.insert(label, value.clone());
        }
    }
    for variable in named("env") {
        if let Some((_, value)) = request.env.iter().filter_map(|e| e.split_once('=')).find(|(k, _)| *k == variable) {
            attrs.insert(variable, value.to_owned());
        }
    }
    if let Some(tag) = options.get("tag") {
        let short = crate::ids::short(id);
        let text = tag
            .replace("{{.ID}}", short)
            .replace("{{.FullID}}", id)
            .replace("{{.Name}}", name)
            .replace("{{.ImageName}}", &request.image)
            .replace("{{.DaemonName}}", "docker");
        attrs.insert("tag".into(), text);
    }
    attrs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(options: &[(&str, &str)]) -> Log {
        Log { driver: "json-file".into(), options: options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect() }
    }

    #[test]
    fn sizes() {
        for (text, expect) in
            [("10m", Some(10_000_000)), ("1k", Some(1000)), ("5", Some(5)), ("1.5KB", Some(1500)), ("x", None), ("-3m", None), ("", None)]
        {
            assert_eq!(size(text), expect, "{text}");
        }
    }

    #[test]
    fn options() {
        let fails = |options: &[(&str, &str)]| check(&log(options)).unwrap_err().message;
        assert_eq!(fails(&[("x", "1")]), "unknown log opt 'x' for json-file log driver");
        assert_eq!(fails(&[("max-file", "0")]), "max-file cannot be less than 1");
        assert_eq!(fails(&[("max-size", "big")]), "invalid size: 'big'");
        assert!(check(&log(&[("max-size", "10m"), ("max-file", "3"), ("labels", "a,b"), ("compress", "false")])).is_ok());
        assert_eq!(limits(&log(&[]).options).unwrap(), (DEFAULT_SIZE, DEFAULT_FILES));
        assert_eq!(limits(&log(&[("max-size", "-1")]).options).unwrap(), (0, 1));
        let other = Log { driver: "nope".into(), ..Log::default() };
        assert_eq!(check(&other).unwrap_err().message, "error looking up logging plugin nope: plugin \"nope\" not found");
    }

    #[test]
    fn attributes_are_those_that_options_name() {
        let mut request = Request { env: vec!["A=1".into(), "B=2".into()], image: "busybox".into(), ..Request::default() };
        request.labels.insert("l".into(), "x".into());
        request.host.log = log(&[("labels", "l,none"), ("env", "B"), ("tag", "{{.Name}}/{{.ImageName}}")]);
        let attrs = attributes(&request, ("0", "web"));
        assert_eq!(attrs, BTreeMap::from([("B".into(), "2".into()), ("l".into(), "x".into()), ("tag".into(), "web/busybox".into())]));
    }
}
