//! Reading a command's words into flags and arguments.

use super::{Flag, checks};

/// The words of a command, sorted out. Values have passed their checks.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    values: Vec<(&'static str, String)>,
    /// What is not a flag.
    pub(crate) args: Vec<String>,
    /// `--help` was among them.
    pub(crate) help: bool,
    /// It was asked for as `-h`.
    pub(crate) short_help: bool,
}

/// A flag that cannot be understood, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlagError(pub(crate) String);

impl Parsed {
    #[cfg(test)]
    pub(super) fn values(&self) -> &[(&'static str, String)] {
        &self.values
    }
    /// The last value of a flag.
    pub(crate) fn value(&self, long: &str) -> Option<&str> {
        self.values.iter().rev().find(|(name, _)| *name == long).map(|(_, value)| value.as_str())
    }
    /// The last value, or the empty text.
    pub(crate) fn text(&self, long: &str) -> &str {
        self.value(long).unwrap_or("")
    }
    /// All values in the order they were given.
    pub(crate) fn all(&self, long: &str) -> Vec<String> {
        self.values.iter().filter(|(name, _)| *name == long).map(|(_, value)| value.clone()).collect()
    }
    /// A switch is on.
    pub(crate) fn is(&self, long: &str) -> bool {
        self.value(long).is_some_and(|value| checks::parse_bool(value) == Some(true))
    }
    /// A switch that is on unless it was put off.
    pub(crate) fn is_or_default_on(&self, long: &str) -> bool {
        self.value(long).is_none_or(|value| checks::parse_bool(value) != Some(false))
    }
    /// The flag was given.
    pub(crate) fn given(&self, long: &str) -> bool {
        self.value(long).is_some()
    }
    /// Any flag was given.
    pub(crate) fn any_given(&self) -> bool {
        !self.values.is_empty()
    }
    /// A number; the check has seen that it is one.
    pub(crate) fn int(&self, long: &str) -> Option<i64> {
        self.value(long).and_then(checks::parse_int)
    }
}

/// Sorts out the words behind a command's name. With `stop_early`, flags end at the first argument.
pub(crate) fn parse(flags: &'static [Flag], words: &[String], stop_early: bool) -> Result<Parsed, FlagError> {
    let mut parsed = Parsed::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            parsed.args.extend(rest.cloned());
            break;
        }
        let outcome = if let Some(body) = word.strip_prefix("--") {
            long(flags, body, &mut rest, &mut parsed)
        } else if word.len() > 1 && word.starts_with('-') {
            shorts(flags, &word[1..], &mut rest, &mut parsed)
        } else {
            parsed.args.push(word.clone());
            if stop_early {
                parsed.args.extend(rest.cloned());
                break;
            }
            continue;
        };
        outcome?;
        if parsed.help {
            break;
        }
    }
    Ok(parsed)
}

type Words<'a> = std::slice::Iter<'a, String>;

fn long(flags: &'static [Flag], body: &str, rest: &mut Words<'_>, parsed: &mut Parsed) -> Result<(), FlagError> {
    let (name, value) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    };
    if name.is_empty() || name.starts_with('-') {
        return Err(FlagError(format!("bad flag syntax: --{body}")));
    }
    let Some(flag) = flags.iter().find(|flag| flag.long == name) else {
        if name == "help" {
            parsed.help = true;
            return Ok(());
        }
        return Err(FlagError(format!("unknown flag: --{name}")));
    };
    let value = match value {
        Some(value) => value,
        None if flag.is_switch() => "true",
        None => rest.next().ok_or_else(|| FlagError(format!("flag needs an argument: --{name}")))?,
    };
    set(flag, value, parsed)
}

fn shorts(flags: &'static [Flag], letters: &str, rest: &mut Words<'_>, parsed: &mut Parsed) -> Result<(), FlagError> {
    let mut left = letters;
    while let Some(letter) = left.chars().next() {
        let after = &left[letter.len_utf8()..];
        let Some(flag) = flags.iter().find(|flag| flag.short == Some(letter)) else {
            if letter == 'h' {
                parsed.help = true;
                parsed.short_help = true;
                return Ok(());
            }
            return Err(FlagError(format!("unknown shorthand flag: {} in -{left}", quote_char(letter))));
        };
        if let Some(value) = after.strip_prefix('=').filter(|value| !value.is_empty()) {
            return set(flag, value, parsed);
        }
        if flag.is_switch() {
            set(flag, "true", parsed)?;
            left = after;
            continue;
        }
        if !after.is_empty() {
            return set(flag, after, parsed);
        }
        let value = rest.next().ok_or_else(|| FlagError(format!("flag needs an argument: {} in -{left}", quote_char(letter))))?;
        return set(flag, value, parsed);
    }
    Ok(())
}

fn quote_char(letter: char) -> String {
    format!("'{letter}'")
}

fn set(flag: &'static Flag, value: &str, parsed: &mut Parsed) -> Result<(), FlagError> {
    (flag.check)(value)
        .map_err(|reason| FlagError(format!("invalid argument {} for \"{}\" flag: {reason}", super::quote(value), flag.shown())))?;
    parsed.values.push((flag.long, value.to_owned()));
    Ok(())
}
