//! Log options: validated at create, made the shim's configuration at start.

use super::log_attrs;
use super::log_error::{bad, driver_error};
use super::log_sink::{self, is_sink};
use crate::error::Result;
use crate::model::{Container, Log};
use dhow_shim::config::LogConfig;
use dhow_shim::config::sink::SinkConfig;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Options that a json-file log knows.
const KNOWN: [&str; 8] = ["max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"];
/// Options that a local log knows.
const LOCAL: [&str; 3] = ["max-size", "max-file", "compress"];
/// Options of every driver. Those of the cache are of use with the drivers whose logs cannot be read.
const GENERAL: [&str; 6] = ["mode", "max-buffer-size", DISABLED, "cache-max-size", "cache-max-file", "cache-compress"];
const DISABLED: &str = "cache-disabled";
/// Drivers of Docker's that there are none of here.
const OTHERS: [&str; 6] = ["awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "splunk"];
/// What waits for a receiver in non-blocking mode.
const BUFFER: u64 = 1_000_000;

/// A log must not fill the disk of somebody who never thought of it.
const DEFAULT_SIZE: u64 = 20_000_000;
const DEFAULT_FILES: u32 = 5;

/// Checks driver and options.
///
/// # Errors
/// There is no such driver, it has no such option, or the option no such value.
pub fn check(log: &Log) -> Result<()> {
    if log.driver == "none" {
        return Ok(());
    }
    general(&log.options)?;
    match log.driver.as_str() {
        "local" => {
            if let Some(key) = log.options.keys().find(|key| !LOCAL.contains(&key.as_str()) && !GENERAL.contains(&key.as_str())) {
                return Err(bad(format!("unknown log opt '{key}' for log driver local")));
            }
            limits(log).map(drop)
        }
        "json-file" => {
            if let Some(key) = log.options.keys().find(|key| !KNOWN.contains(&key.as_str()) && !GENERAL.contains(&key.as_str())) {
                return Err(bad(format!("unknown log opt '{key}' for json-file log driver")));
            }
            limits(log)?;
            log_attrs::check(&log.options)
        }
        driver if is_sink(driver) => {
            if let Some(key) = log.options.keys().find(|key| !log_sink::knows(driver, key) && !GENERAL.contains(&key.as_str())) {
                return Err(bad(format!("unknown log opt '{key}' for {driver} log driver")));
            }
            limits(&cache(log)).map_err(|error| bad(format!("cache of the log: {}", error.message)))?;
            log_sink::check(log)
        }
        name if OTHERS.contains(&name) => {
            Err(bad(format!("the log driver {name} is not supported by this release: it has json-file, local, journald, syslog and none")))
        }
        name => Err(bad(format!("error looking up logging plugin {name}: plugin \"{name}\" not found"))),
    }
}

/// How lines are handed to the driver. A file never keeps a container waiting for longer than the disk does, so for files both modes are
/// the same.
fn general(options: &BTreeMap<String, String>) -> Result<()> {
    let mode = options.get("mode").map(String::as_str).unwrap_or_default();
    if !matches!(mode, "" | "blocking" | "non-blocking") {
        return Err(bad(format!("logger: logging mode not supported: {mode}")));
    }
    match options.get("max-buffer-size") {
        Some(_) if mode != "non-blocking" => {
            Err(bad("logger: max-buffer-size option is only supported with 'mode=non-blocking'".to_owned()))
        }
        Some(text) if size(text).is_none() => Err(bad(format!("error parsing option max-buffer-size: invalid size: '{text}'"))),
        _ => Ok(()),
    }?;
    match options.get(DISABLED) {
        Some(text) if !text.is_empty() && boolean(text).is_none() => Err(bad(format!("invalid value for option {DISABLED}: {text}"))),
        _ => Ok(()),
    }
}

/// As Go reads it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Whether there is a file to read the log from.
pub(crate) fn is_readable(log: &Log) -> bool {
    let disabled = || log.options.get(DISABLED).and_then(|text| boolean(text)).unwrap_or(false);
    log.driver != "none" && !(is_sink(&log.driver) && disabled())
}

/// The file of a container's log, where there is one. `usual` is that of json-file.
pub(crate) fn file(log: &Log, usual: PathBuf) -> Option<PathBuf> {
    is_readable(log).then(|| if is_sink(&log.driver) { usual.with_file_name("container-cached.log") } else { usual })
}

/// The local log from which that of a driver is read that keeps none.
fn cache(log: &Log) -> Log {
    let own = |(key, value): (&String, &String)| Some((key.strip_prefix("cache-")?.to_owned(), value.clone()));
    Log { driver: "local".into(), options: log.options.iter().filter_map(own).collect() }
}

/// When files are rotated, and what becomes of them.
#[derive(Debug, PartialEq, Eq)]
struct Limits {
    /// Bytes; 0: never.
    size: u64,
    files: u32,
    compress: bool,
}

/// A local log is that of json-file in files that are compressed once they are full.
fn limits(log: &Log) -> Result<Limits> {
    let (options, local) = (&log.options, log.driver == "local");
    let size = match options.get("max-size").map(String::as_str) {
        None => DEFAULT_SIZE,
        Some("-1") => 0,
        Some(text) => match size(text) {
            Some(0) => return Err(driver_error("max-size must be a positive number".into())),
            Some(bytes) => bytes,
            None => return Err(driver_error(format!("invalid size: '{text}'"))),
        },
    };
    let files = match options.get("max-file") {
        // Whoever sets a size and no number gets Docker's one file.
        None if options.contains_key("max-size") && !local => 1,
        None => DEFAULT_FILES,
        Some(text) => match text.parse::<u32>() {
            Ok(0) => return Err(driver_error("max-file cannot be less than 1".into())),
            Ok(n) => n,
            Err(_) if text.parse::<i64>().is_ok_and(|n| n < 1) => return Err(driver_error("max-file cannot be less than 1".into())),
            Err(_) => return Err(driver_error(format!("strconv.Atoi: parsing \"{text}\": invalid syntax"))),
        },
    };
    let compress = match options.get("compress").map(String::as_str) {
        None if local => files > 1 && size > 0,
        None => false,
        Some(text) => boolean(text).ok_or_else(|| driver_error(format!("strconv.ParseBool: parsing \"{text}\": invalid syntax")))?,
    };
    if compress && (files < 2 || size == 0) {
        return Err(driver_error("compress cannot be true when max-file is less than 2 or max-size is not set".into()));
    }
    Ok(Limits { size, files, compress })
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

/// The engine's driver and options under the container's, the options for a container with that driver. Those of the cache are for all.
pub(crate) fn own_defaults(log: &mut Log, defaults: &Log) {
    if log.driver.is_empty() {
        log.driver.clone_from(&defaults.driver);
    }
    let same = log.driver == defaults.driver;
    for (key, value) in defaults.options.iter().filter(|(key, _)| same || key.starts_with("cache-") && is_sink(&log.driver)) {
        log.options.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

/// What the shim is told of files; `None` where none is written.
pub(crate) fn log_config(container: &Container, usual: PathBuf) -> Result<Option<LogConfig>> {
    let log = &container.request.host.log;
    let Some(path) = file(log, usual) else { return Ok(None) };
    let limits = if is_sink(&log.driver) { limits(&cache(log))? } else { limits(log)? };
    let attrs = if log.driver == "json-file" { log_attrs::collect(container)? } else { BTreeMap::new() };
    Ok(Some(LogConfig { path, max_size: limits.size, max_file: limits.files, compress: limits.compress, attrs }))
}

/// What the shim is told of a receiver that is no file.
pub(crate) fn sink_config(container: &Container) -> Result<Option<SinkConfig>> {
    let log = &container.request.host.log;
    if !is_sink(&log.driver) {
        return Ok(None);
    }
    let waits = log.options.get("mode").is_none_or(|mode| mode != "non-blocking");
    let buffer = (!waits).then(|| log.options.get("max-buffer-size").and_then(|text| size(text)).unwrap_or(BUFFER));
    Ok(Some(SinkConfig { target: log_sink::target(container)?, buffer }))
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
        let driver = |options: &[(&str, &str)], expect: &str| {
            assert_eq!(fails(options), format!("failed to initialize logging driver: {expect}"), "{options:?}");
        };
        driver(&[("max-file", "0")], "max-file cannot be less than 1");
        driver(&[("max-file", "x")], "strconv.Atoi: parsing \"x\": invalid syntax");
        driver(&[("max-size", "big")], "invalid size: 'big'");
        driver(&[("max-size", "0")], "max-size must be a positive number");
        driver(&[("compress", "x")], "strconv.ParseBool: parsing \"x\": invalid syntax");
        for few in [&[("max-size", "1k"), ("compress", "1")][..], &[("max-size", "-1"), ("max-file", "2"), ("compress", "t")]] {
            driver(few, "compress cannot be true when max-file is less than 2 or max-size is not set");
        }
        assert_eq!(fails(&[("mode", "x")]), "logger: logging mode not supported: x");
        let only = "logger: max-buffer-size option is only supported with 'mode=non-blocking'";
        assert_eq!(fails(&[("max-buffer-size", "1m")]), only);
        let size = [("mode", "non-blocking"), ("max-buffer-size", "x")];
        assert_eq!(fails(&size), "error parsing option max-buffer-size: invalid size: 'x'");
        let all = [("max-size", "10m"), ("max-file", "3"), ("labels", "a,b"), ("compress", "true"), ("labels-regex", "^a"), ("tag", "x")];
        assert!(check(&log(&all)).is_ok());
        assert!(check(&log(&[("mode", "non-blocking"), ("max-buffer-size", "4m"), ("compress", "false")])).is_ok());
        let check = |options: &[(&str, &str)], size, files, compress| {
            assert_eq!(limits(&log(options)).unwrap(), Limits { size, files, compress }, "{options:?}");
        };
        check(&[], DEFAULT_SIZE, DEFAULT_FILES, false);
        check(&[("max-size", "-1")], 0, 1, false);
        check(&[("max-size", "1k"), ("max-file", "2"), ("compress", "1")], 1000, 2, true);
        let local = |options: &[(&str, &str)]| Log { driver: "local".into(), ..log(options) };
        assert_eq!(limits(&local(&[])).unwrap(), Limits { size: DEFAULT_SIZE, files: DEFAULT_FILES, compress: true });
        assert_eq!(limits(&local(&[("max-size", "1k")])).unwrap(), Limits { size: 1000, files: DEFAULT_FILES, compress: true });
        assert_eq!(limits(&local(&[("max-file", "1")])).unwrap(), Limits { size: DEFAULT_SIZE, files: 1, compress: false });
        assert_eq!(super::check(&local(&[("labels", "a")])).unwrap_err().message, "unknown log opt 'labels' for log driver local");
        let mut mixed = local(&[("max-file", "2")]);
        own_defaults(&mut mixed, &local(&[("max-file", "3"), ("max-size", "1k")]));
        assert_eq!(mixed, local(&[("max-file", "2"), ("max-size", "1k")]));
        let journald = |options: &[(&str, &str)]| Log { driver: "journald".into(), ..log(options) };
        let mut mixed = journald(&[]);
        own_defaults(&mut mixed, &local(&[("max-file", "3"), ("cache-disabled", "true")]));
        assert_eq!(mixed, journald(&[("cache-disabled", "true")]));
        let mut none = Log { driver: String::new(), ..log(&[]) };
        own_defaults(&mut none, &journald(&[("tag", "x")]));
        assert_eq!(none, journald(&[("tag", "x")]));
        let other = Log { driver: "nope".into(), ..Log::default() };
        assert_eq!(super::check(&other).unwrap_err().message, "error looking up logging plugin nope: plugin \"nope\" not found");
    }

    #[test]
    fn drivers_without_files() {
        let with = |driver: &str, options: &[(&str, &str)]| Log { driver: driver.into(), ..log(options) };
        let fails = |driver, options: &[(&str, &str)], expect: &str| {
            assert_eq!(check(&with(driver, options)).unwrap_err().message, expect, "{driver} {options:?}");
        };
        fails("journald", &[("max-size", "1m")], "unknown log opt 'max-size' for journald log driver");
        fails("journald", &[("syslog-facility", "user")], "unknown log opt 'syslog-facility' for journald log driver");
        fails("syslog", &[("x", "1")], "unknown log opt 'x' for syslog log driver");
        fails("syslog", &[("syslog-facility", "x")], "invalid syslog facility");
        fails("syslog", &[("cache-disabled", "maybe")], "invalid value for option cache-disabled: maybe");
        let other = "the log driver gelf is not supported by this release: it has json-file, local, journald, syslog and none";
        fails("gelf", &[], other);
        let all = [("tag", "{{.Name}}"), ("mode", "non-blocking"), ("max-buffer-size", "2m"), ("cache-max-size", "1m"), ("env", "A")];
        assert!(check(&with("journald", &all)).is_ok() && check(&with("syslog", &all)).is_ok());
        let path = |log: &Log| file(log, "/c/id-json.log".into());
        assert_eq!(path(&with("journald", &all)), Some("/c/container-cached.log".into()));
        assert_eq!(path(&with("journald", &[("cache-disabled", "1")])), None);
        assert_eq!(path(&with("json-file", &[])), Some("/c/id-json.log".into()));
        assert_eq!(path(&with("none", &[])), None);
        assert_eq!(limits(&cache(&with("syslog", &all))).unwrap(), Limits { size: 1_000_000, files: DEFAULT_FILES, compress: true });
        let sink = |options: &[(&str, &str)]| {
            let mut container = crate::container::testing::container(&"0123456789abcdef".repeat(4), "web");
            container.request.host.log = with("journald", options);
            sink_config(&container).unwrap().unwrap().buffer
        };
        assert_eq!((sink(&[]), sink(&[("mode", "blocking")])), (None, None));
        assert_eq!((sink(&[("mode", "non-blocking")]), sink(&all)), (Some(BUFFER), Some(2_000_000)));
    }
}
