//! `changes`: lines of a Dockerfile that set an imported image's configuration.

use crate::error::{Failure, Result};
use serde_json::{Map, Value, json};

/// Most lines, and the longest one.
const LINES: usize = 1000;
const LENGTH: usize = 64 << 10;

/// The `config` object that the lines make; `None` without any.
pub(crate) fn apply(changes: &[&str]) -> Result<Option<Value>> {
    let lines: Vec<&str> = changes.iter().flat_map(|change| change.lines()).map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.len() > LINES || lines.iter().any(|line| line.len() > LENGTH) {
        return Err(Failure::invalid("too many changes"));
    }
    if lines.is_empty() {
        return Ok(None);
    }
    let mut config = Map::new();
    for line in lines {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        one(&mut config, &word.to_uppercase(), rest.trim())?;
    }
    Ok(Some(Value::Object(config)))
}

fn one(config: &mut Map<String, Value>, word: &str, rest: &str) -> Result<()> {
    let known = ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"];
    if !known.contains(&word) {
        return Err(Failure::invalid(format!("{} is not a valid change command", word.to_lowercase())));
    }
    if rest.is_empty() && !matches!(word, "CMD" | "ENTRYPOINT") {
        return Err(Failure::invalid(format!("{word} requires at least one argument")));
    }
    match word {
        "CMD" => set(config, "Cmd", json!(command(rest))),
        "ENTRYPOINT" => set(config, "Entrypoint", json!(command(rest))),
        "USER" => set(config, "User", json!(rest)),
        "STOPSIGNAL" => set(config, "StopSignal", json!(rest)),
        "WORKDIR" => {
            let old = config.get("WorkingDir").and_then(Value::as_str).unwrap_or("/");
            let joined = if rest.starts_with('/') { rest.to_owned() } else { format!("{old}/{rest}") };
            set(config, "WorkingDir", json!(dhow_api::mount::clean(&joined)));
        }
        "ONBUILD" => list(config, "OnBuild").push(json!(rest)),
        "VOLUME" => {
            let paths = exec_form(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            paths.iter().for_each(|path| insert(config, "Volumes", path, json!({})));
        }
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                expose(config, port)?;
            }
        }
        "ENV" => env(config, rest)?,
        "LABEL" => {
            for (key, value) in pairs("LABEL", rest)? {
                insert(config, "Labels", &key, json!(value));
            }
        }
        _ => set(config, "Healthcheck", healthcheck(rest)?),
    }
    Ok(())
}

fn set(config: &mut Map<String, Value>, key: &str, value: Value) {
    config.insert(key.into(), value);
}

fn list<'a>(config: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let slot = config.entry(key).or_insert_with(|| json!([]));
    if !slot.is_array() {
        *slot = json!([]);
    }
    match slot {
        Value::Array(list) => list,
        // It was made an array just now.
        _ => unreachable!("not a list"),
    }
}

fn insert(config: &mut Map<String, Value>, key: &str, name: &str, value: Value) {
    if let Some(map) = config.entry(key).or_insert_with(|| json!({})).as_object_mut() {
        map.insert(name.into(), value);
    }
}

/// `["a","b"]`.
fn exec_form(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok())?
}

/// Exec form, or a line for the shell.
fn command(text: &str) -> Vec<String> {
    match exec_form(text) {
        Some(words) => words,
        None if text.is_empty() => Vec::new(),
        None => vec!["/bin/sh".into(), "-c".into(), text.into()],
    }
}

fn expose(config: &mut Map<String, Value>, text: &str) -> Result<()> {
    let bad = || Failure::invalid(format!("invalid containerPort: {text}"));
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(Failure::invalid(format!("invalid proto: {protocol}")));
    }
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    let (from, to): (u16, u16) = (from.parse().map_err(|_| bad())?, to.parse().map_err(|_| bad())?);
    if from == 0 || from > to {
        return Err(bad());
    }
    (from..=to).for_each(|port| insert(config, "ExposedPorts", &format!("{port}/{protocol}"), json!({})));
    Ok(())
}

fn env(config: &mut Map<String, Value>, rest: &str) -> Result<()> {
    for (key, value) in pairs("ENV", rest)? {
        let all = list(config, "Env");
        let prefix = format!("{key}=");
        all.retain(|entry| !entry.as_str().is_some_and(|entry| entry.starts_with(&prefix)));
        all.push(json!(format!("{key}={value}")));
    }
    Ok(())
}

/// `a=b c="d e"`, or the old `a b c`.
fn pairs(word: &str, rest: &str) -> Result<Vec<(String, String)>> {
    let words = split(rest);
    let first = words.first().map(String::as_str).unwrap_or_default();
    if !first.contains('=') {
        let (key, value) =
            rest.split_once(char::is_whitespace).ok_or_else(|| Failure::invalid(format!("{word} must have two arguments")))?;
        return Ok(vec![(key.into(), value.trim().into())]);
    }
    words
        .iter()
        .map(|text| match text.split_once('=') {
            Some(("", _)) => Err(Failure::invalid(format!("{word} names can not be blank"))),
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(Failure::invalid(format!("Syntax error - can't find = in {text:?}. Must be of the form: name=value"))),
        })
        .collect()
}

/// Words with quotes and backslashes taken away.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut inside, mut quote) = (false, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if std::mem::take(&mut inside) {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.push(c),
            (_, '\\') => word.extend(chars.next()),
            (_, c) => word.push(c),
        }
        inside = true;
    }
    if inside {
        words.push(word);
    }
    words
}

fn healthcheck(rest: &str) -> Result<Value> {
    let mut check = Map::new();
    let mut rest = rest;
    while let Some(option) = rest.strip_prefix("--") {
        let (flag, tail) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let (key, value) = flag.split_once('=').unwrap_or((flag, ""));
        let field = match key {
            "interval" => "Interval",
            "timeout" => "Timeout",
            "start-period" => "StartPeriod",
            "start-interval" => "StartInterval",
            "retries" => "Retries",
            _ => return Err(Failure::invalid(format!("unknown flag: --{key}"))),
        };
        let number = if field == "Retries" {
            value.parse().map_err(|_| Failure::invalid(format!("strconv.ParseInt: parsing {value:?}: invalid syntax")))?
        } else {
            dhow_api::duration::parse(value).map_err(|error| Failure::invalid(error.to_string()))?
        };
        check.insert(field.into(), json!(number));
        rest = tail.trim_start();
    }
    let (kind, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let test = match kind.to_uppercase().as_str() {
        "NONE" => vec!["NONE".to_owned()],
        "CMD" => match exec_form(tail.trim()) {
            Some(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
            None if tail.trim().is_empty() => return Err(Failure::invalid("Missing command after HEALTHCHECK CMD")),
            None => vec!["CMD-SHELL".into(), tail.trim().into()],
        },
        other => return Err(Failure::invalid(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)"))),
    };
    check.insert("Test".into(), json!(test));
    Ok(Value::Object(check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_make_a_config() {
        let changes = [
            "CMD [\"sh\", \"-c\", \"x\"]",
            "entrypoint /run me",
            "ENV A=1 B=\"x y\" C=\\$z",
            "ENV A two words",
            "EXPOSE 80 53/udp 8000-8001",
            "LABEL k=v",
            "USER me",
            "WORKDIR /a\nWORKDIR b",
            "STOPSIGNAL SIGINT",
            "VOLUME [\"/data\"]",
            "ONBUILD RUN x",
            "HEALTHCHECK --interval=5s --retries=2 CMD true",
        ];
        insta::assert_snapshot!(serde_json::to_string(&apply(&changes).unwrap()).unwrap(), @r#"{"Cmd":["sh","-c","x"],"Entrypoint":["/bin/sh","-c","/run me"],"Env":["B=x y","C=$z","A=two words"],"ExposedPorts":{"80/tcp":{},"53/udp":{},"8000/tcp":{},"8001/tcp":{}},"Labels":{"k":"v"},"User":"me","WorkingDir":"/a/b","StopSignal":"SIGINT","Volumes":{"/data":{}},"OnBuild":["RUN x"],"Healthcheck":{"Interval":5000000000,"Retries":2,"Test":["CMD-SHELL","true"]}}"#);
        assert!(apply(&[]).unwrap().is_none());
    }

    #[test]
    fn refusals() {
        let check = |line: &str, expect: &str| assert_eq!(apply(&[line]).unwrap_err().0.message, expect);
        check("RUN x", "run is not a valid change command");
        check("USER", "USER requires at least one argument");
        check("EXPOSE x", "invalid containerPort: x");
        check("ENV A", "ENV must have two arguments");
        check("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
    }
}
