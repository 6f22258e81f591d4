//! One run of the command line: global flags, the command's search, and what every command needs.

use std::cell::OnceCell;
use std::io::Write;

use dhow_api::client::Client;
use tokio::runtime::Runtime;

use crate::commands::{self, Arity, Command, Found};
use crate::config::Config;
use crate::error::Error;
use crate::flags::{self, Flag, FlagError, Parsed, list, string, switch};
use crate::{connect, help};

/// The version that this program says it is.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Flags before the command.
pub(crate) static GLOBAL_FLAGS: &[Flag] = &[
    string("config", "Directory of the client's configuration").default("~/.docker"),
    string("context", "Name of the context that says which engine to talk to").short('c'),
    switch("debug", "Debug mode").short('D'),
    list("host", "Address of the engine's socket").short('H'),
    string("log-level", "How much the client logs: debug, info, warn, error, fatal").short('l').default("info"),
    switch("tls", "Use TLS; --tlsverify implies it"),
    string("tlscacert", "Trust only certificates signed by this CA").default("~/.docker/ca.pem"),
    string("tlscert", "Certificate to show").default("~/.docker/cert.pem"),
    string("tlskey", "Key of that certificate").default("~/.docker/key.pem"),
    switch("tlsverify", "Use TLS and check the other side's certificate"),
    switch("version", "Print the version and end").short('v'),
];

/// What a command works with.
pub(crate) struct App {
    /// `dhow` or `docker`.
    pub(crate) program: &'static str,
    /// Flags before the command.
    pub(crate) globals: Parsed,
    /// The command as it was typed: `container ls`.
    pub(crate) path: String,
    /// Always there but while this is dropped.
    runtime: Option<Runtime>,
    config: OnceCell<Config>,
    client: tokio::sync::OnceCell<Client>,
}

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
            let app = App::new(program, globals, path)?;
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

/// The commit that this was built from, where the build knew it.
pub(crate) fn build() -> &'static str {
    option_env!("DHOW_COMMIT").unwrap_or("unknown")
}

/// Writes to standard output.
pub(crate) fn say(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::output)
}

/// Writes a line to standard error.
pub(crate) fn warn(text: &str) {
    // Nobody listening is no reason to stop.
    let _unheard = writeln!(std::io::stderr(), "{text}");
}

impl App {
    fn new(program: &'static str, globals: Parsed, path: String) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(format!("cannot start: {error}")))?;
        Ok(Self { program, globals, path, runtime: Some(runtime), config: OnceCell::new(), client: tokio::sync::OnceCell::new() })
    }

    /// Runs a future to its end on this thread.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("the runtime lives as long as the app"),
        }
    }

    /// The client's configuration file.
    pub(crate) fn config(&self) -> Result<&Config, Error> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = Config::load(self.globals.value("config"))?;
        Ok(self.config.get_or_init(|| config))
    }

    /// The engine that was chosen; connects with the first use.
    pub(crate) async fn client(&self) -> Result<&Client, Error> {
        self.client.get_or_try_init(|| connect::connect(self)).await
    }

    /// The sequence that detaches: a flag, the configuration, or none.
    pub(crate) fn detach_keys(&self, parsed: &Parsed) -> Result<Option<String>, Error> {
        if let Some(keys) = parsed.value("detach-keys") {
            return Ok(Some(keys.to_owned()).filter(|keys| !keys.is_empty()));
        }
        Ok(self.config()?.detach_keys.clone())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // A thread that waits for somebody to read our output must not keep the process.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
