//! The command line, read the way runc reads it: `--flag value`, `--flag=value`, one dash or two.

use crate::error::{Error, Result};
use std::fmt::Write;
use std::str::FromStr;

/// One flag of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// Without dashes.
    pub(crate) name: &'static str,
    /// A second, shorter name.
    pub(crate) short: Option<&'static str>,
    /// Takes a value; without one it is a switch.
    pub(crate) value: bool,
    /// One line for people.
    pub(crate) help: &'static str,
}

/// A flag with a value.
pub(crate) const fn value(name: &'static str, short: Option<&'static str>, help: &'static str) -> Flag {
    Flag { name, short, value: true, help }
}

/// A flag that is there or not.
pub(crate) const fn switch(name: &'static str, short: Option<&'static str>, help: &'static str) -> Flag {
    Flag { name, short, value: false, help }
}

/// What a command line says.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    given: Vec<(&'static str, String)>,
    /// All that is no flag.
    pub(crate) rest: Vec<String>,
}

/// Where flags may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Before the first word that is none.
    Leading,
    /// Anywhere.
    Mixed,
}

const HELP: Flag = switch("help", Some("h"), "show help");

/// Reads `words`.
pub(crate) fn parse(flags: &[Flag], words: &[String], order: Order) -> Result<Parsed> {
    let mut parsed = Parsed::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            parsed.rest.extend(words.cloned());
            break;
        }
        let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|name| !name.is_empty());
        let Some(name) = name else {
            parsed.rest.push(word.clone());
            if order == Order::Leading {
                parsed.rest.extend(words.cloned());
                break;
            }
            continue;
        };
        let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
        let flag = flags.iter().chain([&HELP]).find(|flag| flag.name == name || flag.short == Some(name));
        let flag = flag.ok_or_else(|| Error::new(format!("flag provided but not defined: -{name}")))?;
        let value = match (flag.value, value) {
            (true, Some(value)) => value.to_owned(),
            (true, None) => words.next().cloned().ok_or_else(|| Error::new(format!("flag needs an argument: -{name}")))?,
            (false, None | Some("true" | "1")) => "true".to_owned(),
            (false, Some("false" | "0")) => "false".to_owned(),
            (false, Some(value)) => return Err(Error::new(format!("invalid boolean value {value:?} for -{name}"))),
        };
        parsed.given.push((flag.name, value));
    }
    Ok(parsed)
}

impl Parsed {
    /// The last value given.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }

    /// The same, with the empty one meaning none.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// All values, in order.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(other, _)| *other == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    /// A value that is a number.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let read = |text: &str| text.parse().map_err(|_| Error::new(format!("invalid value {text:?} for flag -{name}")));
        self.text(name).map(read).transpose()
    }
}

/// Flags as people read them.
pub(crate) fn help(flags: &[Flag]) -> String {
    let mut text = String::new();
    for flag in flags.iter().chain([&HELP]) {
        let mut left = format!("--{}", flag.name);
        if flag.value {
            left.push_str(" value");
        }
        if let Some(short) = flag.short {
            let _ = write!(left, ", -{short}{}", if flag.value { " value" } else { "" });
        }
        let _ = writeln!(text, "   {left:<34} {}", flag.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[value("bundle", Some("b"), ""), switch("force", Some("f"), ""), value("number", None, "")];

    fn read(words: &[&str], order: Order) -> Result<Parsed> {
        parse(FLAGS, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), order)
    }

    #[test]
    fn every_form_of_a_flag() {
        for words in
            [["--bundle", "/x"].as_slice(), &["-b", "/x"], &["--bundle=/x"], &["-bundle", "/x"], &["-b=/x"], &["-b", "/y", "-b", "/x"]]
        {
            assert_eq!(read(words, Order::Mixed).unwrap().value("bundle"), Some("/x"), "{words:?}");
        }
        assert!(read(&["-f"], Order::Mixed).unwrap().is("force"));
        assert!(!read(&["--force=false"], Order::Mixed).unwrap().is("force"));
        assert_eq!(read(&["--number", "-1"], Order::Mixed).unwrap().number::<i64>("number").unwrap(), Some(-1));
    }

    #[test]
    fn what_is_no_flag() {
        let parsed = read(&["id", "-f", "9"], Order::Mixed).unwrap();
        assert!(parsed.is("force"));
        assert_eq!(parsed.rest, ["id", "9"]);
        let parsed = read(&["-f", "id", "ls", "-f"], Order::Leading).unwrap();
        assert_eq!(parsed.rest, ["id", "ls", "-f"]);
        assert_eq!(read(&["--", "-f", "-"], Order::Mixed).unwrap().rest, ["-f", "-"]);
        assert_eq!(read(&["-"], Order::Mixed).unwrap().rest, ["-"]);
    }

    #[test]
    fn refusals() {
        for (words, expect) in [
            (["--nope"].as_slice(), "flag provided but not defined: -nope"),
            (&["--bundle"], "flag needs an argument: -bundle"),
            (&["--force=maybe"], "invalid boolean value \"maybe\" for -force"),
        ] {
            assert_eq!(read(words, Order::Mixed).unwrap_err().message, expect);
        }
        let number = read(&["--number", "x"], Order::Mixed).unwrap().number::<u32>("number");
        assert_eq!(number.unwrap_err().message, "invalid value \"x\" for flag -number");
    }
}
