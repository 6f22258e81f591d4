//! From typed words to a command that runs: global flags, the command's search, its flags and the count of its arguments.

use crate::app::App;
use crate::command::{Arity, Command};
use crate::commands::{self, Found};
use crate::error::Error;
use crate::flags::{self, FlagError, Parsed};
use crate::globals::{GLOBAL_FLAGS, Globals, VERSION, build};
use crate::help;
use crate::output::{say, warn};
use std::mem::ManuallyDrop;

/// Runs the words behind the program's name.
pub(crate) fn run(program: &'static str, words: &[String]) -> Result<(), Error> {
    let globals = flags::parse(GLOBAL_FLAGS, words, true).map_err(|FlagError(text)| {
        Error::with_status(
            format!("{text}\n\nUsage:  {program} [OPTIONS] COMMAND [ARG...]\n\nRun '{program} --help' for more information"),
            125,
        )
    })?;
    let words = globals.args.clone();
    if globals.is("version") {
        return say(&format!("{} version {VERSION}, build {}\n", capital(program), build()));
    }
    check_globals(&globals)?;
    if globals.help {
        return say(&help::program(program));
    }
    if words.is_empty() {
        warn(help::program(program).trim_end());
        return Ok(());
    }
    match commands::find(&words) {
        Found::Help(rest) => help_for(program, rest),
        Found::Group(group, []) => {
            warn(help::group(program, group).trim_end());
            Ok(())
        }
        Found::Group(group, [flag, ..]) if flag == "--help" => say(&help::group(program, group)),
        Found::Group(group, [flag, ..]) if flag == "-h" => say(&format!("{SHORT_HELP}{}", help::group(program, group))),
        Found::Group(group, [word, ..]) => Err(help::unknown(program, Some(group), word)),
        Found::Nothing => Err(help::unknown(program, None, &words[0])),
        Found::Command(command, path, rest) => {
            let parsed = read_words(program, command, &path, rest)?;
            if parsed.help {
                let note = if parsed.short_help { SHORT_HELP } else { "" };
                return say(&format!("{note}{}", help::command(program, command, &path)));
            }
            check_count(program, command, &path, parsed.args.len())?;
            // Never taken apart: the process ends with the command.
            let app = ManuallyDrop::new(App::new(program, Globals::new(globals), path)?);
            (command.run)(&app, &parsed)
        }
    }
}

/// What Docker's flags say before help that was asked for in short.
const SHORT_HELP: &str = "Flag shorthand -h has been deprecated, use --help\n";

fn help_for(program: &'static str, words: &[String]) -> Result<(), Error> {
    match commands::find(words) {
        Found::Command(command, path, []) => say(&help::command(program, command, &path)),
        Found::Group(group, []) => say(&help::group(program, group)),
        Found::Command(_, _, rest) | Found::Group(_, rest) => Err(Error::new(format!("unknown help topic: {}", rest.join(" ")))),
        Found::Help(_) => say(&help::program(program)),
        Found::Nothing if words.is_empty() => say(&help::program(program)),
        Found::Nothing => Err(Error::new(format!("unknown help topic: {}", words.join(" ")))),
    }
}

fn read_words(program: &str, command: &'static Command, path: &str, words: &[String]) -> Result<Parsed, Error> {
    flags::parse(command.flags, words, command.stop_early).map_err(|FlagError(text)| {
        let usage = help::usage_line(program, command, path);
        Error::with_status(format!("{text}\n\n{usage}\n\nRun '{program} {path} --help' for more information"), 125)
    })
}

fn check_count(program: &str, command: &Command, path: &str, count: usize) -> Result<(), Error> {
    let arguments = |number: usize| if number == 1 { "argument" } else { "arguments" };
    let problem = match command.arity {
        Arity::None if count > 0 => "accepts no arguments".to_owned(),
        Arity::Exactly(wanted) if count != wanted => format!("requires {wanted} {}", arguments(wanted)),
        Arity::AtLeast(wanted) if count < wanted => format!("requires at least {wanted} {}", arguments(wanted)),
        Arity::Between(least, most) if !(least..=most).contains(&count) => {
            format!("requires at least {least} and at most {most} {}", arguments(most))
        }
        Arity::AtMost(most) if count > most => format!("requires at most {most} {}", arguments(most)),
        Arity::Between(least, most) if count < least || count > most => {
            format!("requires at least {least} and at most {most} {}", arguments(most))
        }
        _ => return Ok(()),
    };
    let see = if matches!(command.arity, Arity::AtLeast(_)) { "See" } else { "Run" };
    let usage = help::usage_line(program, command, path);
    Err(Error::new(format!("{program}: '{program} {path}' {problem}\n\n{usage}\n\n{see} '{program} {path} --help' for more information")))
}

fn check_globals(globals: &Parsed) -> Result<(), Error> {
    match globals.value("log-level") {
        None | Some("debug" | "info" | "warn" | "warning" | "error" | "fatal" | "panic" | "trace") => Ok(()),
        Some(level) => Err(Error::new(format!("Unable to parse logging level: {level}"))),
    }
}

fn capital(program: &str) -> &'static str {
    if program == "docker" { "Docker" } else { "dhow" }
}
