//! `dhow runtime`: the command line of an OCI runtime, with the words of runc's, for engines that are told to use it in runc's place.
//!
//! Each call is one process with one thread that does its work and ends; what must last is in a directory for each container
//! ([`store`]), and in the container itself, whose first process waits at a gate between `create` and `start`.

mod args;
mod bundle;
mod commands;
mod context;
mod error;
mod foreground;
mod group;
mod inherit;
mod json;
mod log;
mod make;
mod record;
mod seal;
mod store;
mod tty;

use args::{Order, Parsed, switch, value};
use commands::{COMMANDS, Command};
use context::Context;
use error::{Error, Result};
use log::{Format, Log};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// What a program may be called to be this one: a link of this name is a runtime for those who can only name a path.
pub const NAME: &str = "dhow-runtime";

/// The exit code of a command that nobody knows.
const UNKNOWN: i32 = 3;

/// The specification's version whose fields are known.
const SPEC_VERSION: &str = "1.2.0";

const GLOBAL: &[args::Flag] = &[
    switch("debug", None, "enable debug logging"),
    value("log", None, "set the log file to write runtime logs to (default is '/dev/stderr')"),
    value("log-format", None, "set the log format ('text' (default), or 'json')"),
    value("root", None, "root directory for storage of container state (this should be located in tmpfs)"),
    value("criu", None, "ignored"),
    switch("systemd-cgroup", None, "enable systemd cgroup support, expects cgroupsPath to be of form \"slice:prefix:name\""),
    value("rootless", None, "ignore cgroup permission errors ('true', 'false', or 'auto')"),
    switch("version", Some("v"), "print the version"),
];

/// The whole program; `words` come after its name. The process must have one thread. Returns the exit code.
pub fn main(words: &[OsString]) -> i32 {
    let words = words.iter().map(|word| word.to_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    let Some(words) = words else { return refuse("arguments must be UTF-8") };
    let parsed = match args::parse(GLOBAL, &words, Order::Leading) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error.message),
    };
    if parsed.is("version") {
        return say(&format!("dhow-runtime version {}\nspec: {SPEC_VERSION}\n", env!("CARGO_PKG_VERSION")));
    }
    let Some((name, rest)) = parsed.rest.split_first().filter(|_| !parsed.is("help")) else { return say(&overview()) };
    if name == "help" {
        return say(&rest.first().and_then(|name| find(name)).map_or_else(overview, Command::help));
    }
    let log = match open_log(&parsed) {
        Ok(log) => log,
        Err(error) => return refuse(&error.message),
    };
    let Some(command) = find(name) else {
        log.fatal(&format!("No help topic for '{name}'"));
        return UNKNOWN;
    };
    log.debug(&format!("{name} {}", rest.join(" ")));
    match call(command, &parsed, &log, rest) {
        Ok(code) => code,
        Err(error) => {
            log.fatal(&error.message);
            error.code
        }
    }
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

fn open_log(global: &Parsed) -> Result<Log> {
    let format = match global.text("log-format") {
        None | Some("text") => Format::Text,
        Some("json") => Format::Json,
        Some(other) => return Err(Error::new(format!("invalid log-format: {other}"))),
    };
    Log::open(global.text("log").filter(|path| *path != "/dev/stderr").map(Path::new), format, global.is("debug"))
}

fn call(command: &Command, global: &Parsed, log: &Log, words: &[String]) -> Result<i32> {
    let parsed = args::parse(command.flags, words, command.order)?;
    if parsed.is("help") {
        return Ok(say(&command.help()));
    }
    let (least, most) = command.words;
    if parsed.rest.len() < least || parsed.rest.len() > most {
        let expect = if least == most { format!("exactly {least}") } else { format!("a minimum of {least}") };
        return Err(Error::new(format!("{}: {:?} requires {expect} argument(s)", NAME, command.name)));
    }
    (command.run)(&Context::of(global, log)?, &parsed)
}

fn overview() -> String {
    let mut text = String::from(
        "NAME:\n   dhow-runtime - Open Container Initiative runtime\n\nUSAGE:\n   dhow runtime [global options] command [command options] [arguments...]\n\nCOMMANDS:\n",
    );
    for command in COMMANDS {
        text.push_str(&format!("   {:<10} {}\n", command.name, command.about));
    }
    text.push_str("\nGLOBAL OPTIONS:\n");
    text.push_str(&args::help(GLOBAL));
    text
}

/// Prints, and returns the exit code of having done so.
fn say(text: &str) -> i32 {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

/// A command line that means nothing, or a log that cannot be written: the line that callers parse goes to standard error.
fn refuse(why: &str) -> i32 {
    Log::of_stderr().fatal(why);
    1
}
