//! What a command is: its words for the help, its flags and arguments, and the function behind it.

use crate::app::App;
use crate::error::Error;
use crate::flags::{Flag, Parsed};

/// How many arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    /// None.
    None,
    /// So many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// So many or fewer.
    AtMost(usize),
    /// From so many to so many.
    Between(usize, usize),
}

/// One command.
#[derive(Debug)]
pub(crate) struct Command {
    /// All the ways to call it, the longest first, as the help lists them.
    pub(crate) names: &'static [&'static str],
    /// What stands behind its name.
    pub(crate) usage: &'static str,
    /// What it does, in a line.
    pub(crate) short: &'static str,
    /// Its flags.
    pub(crate) flags: &'static [Flag],
    /// How many arguments it takes.
    pub(crate) arity: Arity,
    /// Flags end at the first argument: the rest belongs to a program in a container.
    pub(crate) stop_early: bool,
    /// Does it.
    pub(crate) run: fn(&App, &Parsed) -> Result<(), Error>,
}

/// Commands with a common first word.
#[derive(Debug)]
pub(crate) struct Group {
    /// The first word.
    pub(crate) name: &'static str,
    /// What they are about.
    pub(crate) short: &'static str,
    /// Second word and command; other spellings of one come behind it.
    pub(crate) members: &'static [(&'static str, &'static Command)],
}
