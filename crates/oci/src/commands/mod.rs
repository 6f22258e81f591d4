//! The commands, one file each.

mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

use crate::args::{self, Flag, Order, Parsed};
use crate::context::Context;
use crate::error::{At, Result};

/// One command.
#[derive(Debug)]
pub(crate) struct Command {
    /// As it is called.
    pub(crate) name: &'static str,
    /// Its words, for people.
    pub(crate) usage: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    /// Its flags.
    pub(crate) flags: &'static [Flag],
    /// Where they stand.
    pub(crate) order: Order,
    /// Least and most words beside them.
    pub(crate) words: (usize, usize),
    /// Does it. Returns the exit code.
    pub(crate) run: fn(&Context<'_>, &Parsed) -> Result<i32>,
}

impl Command {
    /// For people.
    pub(crate) fn help(&self) -> String {
        let Self { name, usage, about, .. } = self;
        let flags = args::help(self.flags);
        format!(
            "NAME:\n   {} {name} - {about}\n\nUSAGE:\n   {} {name} [command options] {usage}\n\nOPTIONS:\n{flags}",
            crate::NAME,
            crate::NAME
        )
    }
}

/// All of them.
pub(crate) const COMMANDS: &[Command] = &[
    create::COMMAND,
    delete::COMMAND,
    events::COMMAND,
    exec::COMMAND,
    features::COMMAND,
    kill::COMMAND,
    list::COMMAND,
    pause::PAUSE,
    ps::COMMAND,
    pause::RESUME,
    run::COMMAND,
    spec::COMMAND,
    start::COMMAND,
    state::COMMAND,
    update::COMMAND,
];

/// Prints a document the way runc does: two blanks a level, no line feed at the end of the last but one.
pub(crate) fn print(text: &str) -> Result<()> {
    use std::io::Write;
    std::io::stdout().write_all(text.as_bytes()).at("write /dev/stdout")
}
