//! `changes`: lines of a Dockerfile that set the configuration of an imported or committed image.

use crate::error::{Failure, Result};
use serde_json::{Map, Value, json};

/// Most lines, and the longest one.
const LINES: usize = 1000;
const LENGTH: usize = 64 << 10;

/// The `config` object that the lines make; `None` without any.
pub(crate) fn apply(changes: &[&str]) -> Result<Option<Value>> {
    let config = apply_to(Map::new(), changes)?;
    Ok((!config.is_empty()).then_some(Value::Object(config)))
}

/// A `config` object as the lines change it.
pub(crate) fn apply_to(mut config: Map<String, Value>, changes: &[&str]) -> Result<Map<String, Value>> {
    let lines: Vec<&str> = changes.iter().flat_map(|change| change.lines()).map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.len() > LINES || lines.iter().any(|line| line.len() > LENGTH) {
        return Err(Failure::invalid("too many changes"));
    }
    let mut cmd_set = false;
    for line in lines {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let word = word.to_uppercase();
        let rest = if EXPANDED.contains(&word.as_str()) { expand(&config, rest.trim())? } else { rest.trim().to_owned() };
        one(&mut config, &word, &rest)?;
        cmd_set |= word == "CMD";
        // A new entry point makes the old arguments meaningless.
        if word == "ENTRYPOINT" && !cmd_set {
            config.remove("Cmd");
        }
    }
    Ok(config)
}

/// Instructions in which variables of the environment stand for their values.
const EXPANDED: [&str; 7] = ["ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"];

/// Puts values in the place of `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}`, but not behind a backslash or in single quotes.
fn expand(config: &Map<String, Value>, text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\', '\'', '"']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let mark = &rest[at..=at];
        rest = match mark {
            "\\" => {
                let next = tail.chars().next().map_or(0, char::len_utf8);
                out.push('\\');
                out.push_str(&tail[..next]);
                &tail[next..]
            }
            "\"" => {
                out.push('"');
                quoted = !quoted;
                tail
            }
            "'" if !quoted => {
                let end = tail.find('\'').map_or(tail.len(), |end| end + 1);
                out.push('\'');
                out.push_str(&tail[..end]);
                &tail[end..]
            }
            "'" => {
                out.push('\'');
                tail
            }
            _ => {
                let (value, used) = variable(config, tail)?;
                out.push_str(&value);
                &tail[used..]
            }
        };
        if out.len() > LENGTH {
            return Err(Failure::invalid("too many changes"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The value of what stands behind a `$`, and its length.
fn variable(config: &Map<String, Value>, text: &str) -> Result<(String, usize)> {
    let value = |name: &str| {
        let all = config.get("Env").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        all.filter_map(|entry| entry.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let name_end = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let Some(inner) = text.strip_prefix('{') else {
        let end = name_end(text);
        // A lone dollar stands for itself.
        return Ok(if end == 0 { ("$".into(), 0) } else { (value(&text[..end]), end) });
    };
    let bad = || Failure::invalid(format!("failed to process \"${text}\": syntax error: missing '}}'"));
    let close = inner.find('}').ok_or_else(bad)?;
    let (name, rest) = inner[..close].split_at(name_end(&inner[..close]));
    let found = value(name);
    let value = match rest.get(..2) {
        None if rest.is_empty() => found,
        Some(":-") if found.is_empty() => rest[2..].to_owned(),
        Some(":+") if !found.is_empty() => rest[2..].to_owned(),
        Some(":-") => found,
        Some(":+") => String::new(),
        _ => return Err(Failure::invalid(format!("failed to process \"${text}\": unsupported modifier ({rest}) in substitution"))),
    };
    Ok((value, close + 2))
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
        "CMD" => set(config, "Cmd", json!(command(config, rest))),
        "ENTRYPOINT" => set(config, "Entrypoint", json!(command(config, rest))),
        "USER" => set(config, "User", json!(rest)),
        "STOPSIGNAL" => set(config, "StopSignal", json!(rest)),
        "WORKDIR" => {
            let old = config.get("WorkingDir").and_then(Value::as_str).unwrap_or("/");
            let joined = if rest.starts_with('/') { rest.to_owned() } else { format!("{old}/{rest}") };
            set(config, "WorkingDir", json!(dhow_api::mount::clean(&joined)));
        }
        "ONBUILD" => {
            let trigger = rest.split_whitespace().next().unwrap_or_default().to_uppercase();
            match trigger.as_str() {
                "ONBUILD" => return Err(Failure::invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
                "MAINTAINER" | "FROM" => return Err(Failure::invalid(format!("{trigger} isn't allowed as an ONBUILD trigger"))),
                _ => list(config, "OnBuild").push(json!(rest)),
            }
        }
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
    let slot = config.entry(key).or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    if let Some(map) = slot.as_object_mut() {
        map.insert(name.into(), value);
    }
}

/// `["a","b"]`.
fn exec_form(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok())?
}

/// Exec form, or a line for the shell.
fn command(config: &Map<String, Value>, text: &str) -> Vec<String> {
    if let Some(words) = exec_form(text) {
        return words;
    }
    if text.is_empty() {
        return Vec::new();
    }
    let shell = config.get("Shell").and_then(Value::as_array).filter(|shell| !shell.is_empty());
    let shell = shell.map(|words| words.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    let mut words: Vec<String> = shell.unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
    words.push(text.into());
    words
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
        let entry = json!(format!("{key}={value}"));
        match all.iter_mut().find(|old| old.as_str().is_some_and(|old| old.starts_with(&prefix))) {
            Some(old) => *old = entry,
            None => all.push(entry),
        }
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
        insta::assert_snapshot!(serde_json::to_string(&apply(&changes).unwrap()).unwrap(), @r#"{"Cmd":["sh","-c","x"],"Entrypoint":["/bin/sh","-c","/run me"],"Env":["A=two words","B=x y","C=$z"],"ExposedPorts":{"80/tcp":{},"53/udp":{},"8000/tcp":{},"8001/tcp":{}},"Labels":{"k":"v"},"User":"me","WorkingDir":"/a/b","StopSignal":"SIGINT","Volumes":{"/data":{}},"OnBuild":["RUN x"],"Healthcheck":{"Interval":5000000000,"Retries":2,"Test":["CMD-SHELL","true"]}}"#);
        assert!(apply(&[]).unwrap().is_none());
    }

    #[test]
    fn an_existing_config_is_changed() {
        let check = |before: Value, changes: &[&str], expect: Value| {
            let Value::Object(before) = before else { panic!("no object") };
            assert_eq!(Value::Object(apply_to(before, changes).unwrap()), expect, "{changes:?}");
        };
        check(
            json!({"Env": ["PATH=/bin", "A=1"], "Labels": null}),
            &["ENV PATH=$PATH:/x B=${A}2 C=${N:-d} D=${A:+e} E=\\$A F='$A' G=\"$A\"", "LABEL l=$A", "WORKDIR /$A"],
            json!({
                "Env": ["PATH=/bin:/x", "A=1", "B=12", "C=d", "D=e", "E=$A", "F=$A", "G=1"],
                "Labels": {"l": "1"},
                "WorkingDir": "/1"
            }),
        );
        check(json!({"Cmd": ["a"]}), &["ENTRYPOINT [\"x\"]"], json!({"Entrypoint": ["x"]}));
        check(json!({"Cmd": ["a"]}), &["CMD b", "ENTRYPOINT [\"x\"]"], json!({"Cmd": ["/bin/sh", "-c", "b"], "Entrypoint": ["x"]}));
        check(json!({"Shell": ["bash", "-lc"]}), &["CMD $x"], json!({"Shell": ["bash", "-lc"], "Cmd": ["bash", "-lc", "$x"]}));
    }

    #[test]
    fn refusals() {
        let check = |line: &str, expect: &str| assert_eq!(apply(&[line]).unwrap_err().0.message, expect);
        check("RUN x", "run is not a valid change command");
        check("USER", "USER requires at least one argument");
        check("EXPOSE x", "invalid containerPort: x");
        check("ENV A", "ENV must have two arguments");
        check("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
        check("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger");
        check("USER ${x", "failed to process \"${x\": syntax error: missing '}'");
        check("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
    }
}
