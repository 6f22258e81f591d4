//! Flags as Docker's users type them: the grammar of Go's pflag, which Docker's command line is built on.
//!
//! A command's flags are a static table, so that nothing is built at start. The grammar differs from the usual one of Rust's
//! programs in many small ways (`--rm=false`, `-it`, `-pVALUE`, repeated flags, flags that end at the first argument), and its
//! error texts are what scripts and people know.

mod checks;
mod help;
mod parse;

pub(crate) use checks::{number_problem, quote, unsigned_problem};
pub(crate) use help::{flag_usages, wrap_width};
pub(crate) use parse::{FlagError, Parsed, parse};

/// Looks at a value when the flag is read; the error goes behind `invalid argument ... flag: `.
pub(crate) type Check = fn(&str) -> Result<(), String>;

/// One flag of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// Name behind `--`.
    pub(crate) long: &'static str,
    /// Letter behind `-`.
    pub(crate) short: Option<char>,
    /// What the help calls its value; empty for a switch.
    pub(crate) value: &'static str,
    /// What it is for.
    pub(crate) help: &'static str,
    /// What the help shows as default.
    pub(crate) default: &'static str,
    /// Old names and the like are left out of the help.
    pub(crate) hidden: bool,
    check: Check,
}

impl Flag {
    const fn new(long: &'static str, value: &'static str, help: &'static str, check: Check) -> Self {
        Self { long, short: None, value, help, default: "", hidden: false, check }
    }
    /// Gives it a letter.
    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }
    /// Shows a default in the help.
    pub(crate) const fn default(mut self, text: &'static str) -> Self {
        self.default = text;
        self
    }
    /// Leaves it out of the help.
    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
    /// Checks values by more than their kind.
    pub(crate) const fn check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }
    fn is_switch(&self) -> bool {
        self.value.is_empty()
    }
    /// `-m, --memory`, as error texts show it.
    fn shown(&self) -> String {
        match self.short {
            Some(letter) => format!("-{letter}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }
}

/// A switch: `--rm`, `--rm=false`.
pub(crate) const fn switch(long: &'static str, help: &'static str) -> Flag {
    Flag::new(long, "", help, checks::boolean)
}
/// A text; the last one counts.
pub(crate) const fn string(long: &'static str, help: &'static str) -> Flag {
    Flag::new(long, "string", help, checks::anything)
}
/// A flag that may come many times.
pub(crate) const fn list(long: &'static str, help: &'static str) -> Flag {
    Flag::new(long, "list", help, checks::anything)
}
/// `key=value`, many times.
pub(crate) const fn map(long: &'static str, help: &'static str) -> Flag {
    Flag::new(long, "map", help, checks::anything)
}
/// A whole number.
pub(crate) const fn int(long: &'static str, help: &'static str) -> Flag {
    Flag::new(long, "int", help, checks::int)
}
/// A size such as `64m`.
pub(crate) const fn bytes(long: &'static str, help: &'static str) -> Flag {
    Flag::new(long, "bytes", help, checks::bytes)
}
/// A time such as `1m30s`.
pub(crate) const fn duration(long: &'static str, help: &'static str) -> Flag {
    Flag::new(long, "duration", help, checks::duration)
}
/// `key=value` of a list command.
pub(crate) const fn filter(help: &'static str) -> Flag {
    Flag::new("filter", "filter", help, checks::filter).short('f')
}
/// `key=value` of a prune, which has no letter.
pub(crate) const fn condition(help: &'static str) -> Flag {
    Flag::new("filter", "filter", help, checks::filter)
}
/// A flag whose value the help calls by a name of its own.
pub(crate) const fn special(long: &'static str, value: &'static str, help: &'static str, check: Check) -> Flag {
    Flag::new(long, value, help, check)
}

#[cfg(test)]
mod tests;
