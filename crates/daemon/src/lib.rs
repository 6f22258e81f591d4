//! The daemon: Docker's Engine API over the engine. It parses requests, calls the engine, and renders answers; with `dhow-api` it is the
//! only crate that knows Docker's JSON. No container logic is here.

mod app;
mod args;
mod config;
mod container_defaults;
mod containers;
mod convert;
mod current;
mod distribution;
mod error;
mod exec;
mod facts;
mod file_keys;
mod flag_values;
mod foreign;
mod http;
mod images;
mod key_kinds;
mod labels;
mod live;
mod metrics;
mod network_config;
mod networks;
mod process;
mod registries;
mod reload;
mod remap;
mod route;
mod run;
mod runtimes;
mod stop;
mod storage_options;
mod swarm;
mod system;
mod tls;
mod volumes;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Runs `dhow daemon` until it is told to stop, or tells one (`dhow daemon stop`). `args` is what follows the word `daemon`.
///
/// It must be called before the process has any threads: it changes the process as a whole.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter().peekable();
    if args.next_if(|word| word == "stop").is_some() {
        return stop::main(args);
    }
    let args = match args::parse(args) {
        Ok(args) => args,
        Err(instead) => {
            let written = if instead.code == 0 {
                std::io::stdout().write_all(instead.text.as_bytes())
            } else {
                std::io::stderr().write_all(instead.text.as_bytes())
            };
            return if written.is_ok() { ExitCode::from(instead.code) } else { ExitCode::FAILURE };
        }
    };
    let validate = args.validate.unwrap_or(false);
    let settings = config::Settings::load(args);
    if validate {
        return validated(settings);
    }
    match settings.and_then(run::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("failed to start daemon: {error:#}");
            // The log may go to a file, or not be open yet; whoever started this reads stderr.
            if writeln!(std::io::stderr(), "failed to start daemon: {error:#}").is_err() {
                return ExitCode::from(2);
            }
            ExitCode::FAILURE
        }
    }
}

/// `--validate`: says what a start would find, and starts nothing.
fn validated(settings: anyhow::Result<config::Settings>) -> ExitCode {
    let checked = settings.and_then(|settings| match settings.tls.as_ref() {
        Some(files) => files.load().map(drop),
        None => Ok(()),
    });
    let written = match &checked {
        Ok(()) => writeln!(std::io::stderr(), "configuration OK"),
        Err(error) => writeln!(std::io::stderr(), "{error:#}"),
    };
    if checked.is_ok() && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
