//! The flags of `dhow daemon`: dockerd's names.

use crate::flag_values::Given;
use crate::{flag_values, foreign};
use clap::error::{ContextKind, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches, Parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// A container engine behind Docker's API
#[derive(Debug, Clone, Default, Parser)]
#[command(
    name = "dhow daemon",
    args_override_self = true,
    override_usage = "dhow daemon [OPTIONS]",
    disable_version_flag = true,
    disable_help_subcommand = true
)]
pub(crate) struct Args {
    /// Root directory of persistent state
    #[arg(long, value_name = "string")]
    pub(crate) data_root: Option<PathBuf>,
    /// Root directory for execution state files
    #[arg(long, value_name = "string")]
    pub(crate) exec_root: Option<PathBuf>,
    /// Daemon socket(s) to connect to
    #[arg(short = 'H', long = "host", value_name = "list")]
    pub(crate) hosts: Vec<String>,
    /// Path to use for daemon PID file
    #[arg(short, long, value_name = "string")]
    pub(crate) pidfile: Option<PathBuf>,
    /// Set the logging level ("debug"|"info"|"warn"|"error"|"fatal")
    #[arg(short, long, value_name = "string")]
    pub(crate) log_level: Option<String>,
    /// Default driver for container logs
    #[arg(long, value_name = "string")]
    pub(crate) log_driver: Option<String>,
    /// Default log driver options for containers
    #[arg(long = "log-opt", value_name = "map")]
    pub(crate) log_opts: Vec<String>,
    /// Set parent cgroup for all containers
    #[arg(long, value_name = "string")]
    pub(crate) cgroup_parent: Option<String>,
    /// Daemon configuration file
    #[arg(long, value_name = "string")]
    pub(crate) config_file: Option<PathBuf>,
    /// Group for the unix socket
    #[arg(short = 'G', long, value_name = "string")]
    pub(crate) group: Option<String>,
    /// Enable debug mode
    #[arg(short = 'D', long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    pub(crate) debug: Option<bool>,
    /// Set key=value labels to the daemon
    #[arg(long = "label", value_name = "list")]
    pub(crate) labels: Vec<String>,
    /// Keep containers running when the daemon stops
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    pub(crate) live_restore: Option<bool>,
    /// Set the default shutdown timeout (default 15)
    #[arg(long, value_name = "int", allow_negative_numbers = true, value_parser = flag_values::whole)]
    pub(crate) shutdown_timeout: Option<i64>,
    /// Register an additional OCI compatible runtime
    #[arg(long = "add-runtime", value_name = "runtime")]
    pub(crate) runtimes: Vec<String>,
    /// Default OCI runtime for containers (default "runc")
    #[arg(long, value_name = "string")]
    pub(crate) default_runtime: Option<String>,
    /// User/Group setting for user namespaces
    #[arg(long, value_name = "string")]
    pub(crate) userns_remap: Option<String>,
    /// Storage options (dhow.layers=auto|tar+erofs|dir: how new layers of images are kept; dhow.compressed=keep|drop: whether the compressed bytes
    /// that they came in stay; dhow.roots=auto|overlay|copy: whether containers lie over the layers or have copies of them)
    #[arg(long = "storage-opt", value_name = "list")]
    pub(crate) storage_opts: Vec<String>,
    #[command(flatten)]
    pub(crate) tls: crate::tls::Flags,
    /// Set the logging format ("text"|"json")
    #[arg(long, value_name = "string")]
    pub(crate) log_format: Option<String>,
    /// Set default address and port to serve the metrics api on
    #[arg(long, value_name = "string")]
    pub(crate) metrics_addr: Option<String>,
    /// Enable experimental features
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    pub(crate) experimental: Option<bool>,
    /// Validate daemon configuration and exit
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag_values::boolean)]
    pub(crate) validate: Option<bool>,
    #[command(flatten)]
    pub(crate) network: crate::network_config::NetworkFlags,
    #[command(flatten)]
    pub(crate) containers: crate::container_defaults::Flags,
    #[command(flatten)]
    pub(crate) registries: crate::registries::Flags,
    /// Print version information and quit
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) version: bool,
    /// Leave the caller's session and cgroups and write the log to EXEC_ROOT/daemon.log
    #[arg(long, hide = true)]
    pub(crate) background: bool,
    /// All flags that were given, word for word.
    #[arg(skip)]
    pub(crate) given: Given,
}

/// What to print instead of running, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Instead {
    pub(crate) text: String,
    pub(crate) code: u8,
}

/// Our flags, and those of dockerd that mean nothing here.
fn command() -> clap::Command {
    Args::command().args(foreign::flags())
}

/// Parses what follows `dhow daemon`.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, Instead> {
    let words = std::iter::once(OsString::from("dhow daemon")).chain(args);
    let matches = command().try_get_matches_from(words).map_err(|error| explain(&error))?;
    let mut args = Args::from_arg_matches(&matches).map_err(|error| explain(&error))?;
    args.given = given(&matches);
    if args.version {
        return Err(Instead { text: format!("dhow version {}\n", env!("CARGO_PKG_VERSION")), code: 0 });
    }
    Ok(args)
}

/// The flags on the command line by their long names, those without a value with none.
fn given(matches: &ArgMatches) -> Given {
    let command = command();
    let flags = command.get_arguments().filter_map(|flag| Some((flag.get_id().as_str(), flag.get_long()?)));
    let given = flags.filter(|(id, _)| matches.value_source(id) == Some(ValueSource::CommandLine));
    let values = |id: &str| matches.get_raw(id).map(|values| values.map(|value| value.to_string_lossy().into_owned()).collect());
    given.map(|(id, long)| (long.to_owned(), values(id).unwrap_or_default())).collect()
}

fn explain(error: &clap::Error) -> Instead {
    if error.kind() == ErrorKind::DisplayHelp {
        return Instead { text: error.to_string(), code: 0 };
    }
    let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let argument = context(ContextKind::InvalidArg);
    let value = context(ContextKind::InvalidValue);
    let flag = argument.split_whitespace().next().unwrap_or_default().trim_matches('\'').split('[').next().unwrap_or_default().to_owned();
    let message = match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with("--") => format!("unknown flag: {}", flag.split('=').next().unwrap_or_default()),
        ErrorKind::UnknownArgument if flag.starts_with('-') => {
            format!("unknown shorthand flag: '{}' in {flag}", flag.chars().nth(1).unwrap_or('-'))
        }
        ErrorKind::UnknownArgument => format!("unexpected argument \"{flag}\": dhow daemon takes no arguments"),
        ErrorKind::InvalidValue if value.is_empty() => format!("flag needs an argument: {flag}"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
            format!("invalid argument \"{value}\" for \"{}\" flag{why}", with_short(&flag))
        }
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    };
    Instead { text: format!("{message}\n\nUsage:  dhow daemon [OPTIONS]\n\nRun 'dhow daemon --help' for more information\n"), code: 125 }
}

/// `-D, --debug`, as Docker names a flag that has a letter.
fn with_short(flag: &str) -> String {
    let command = command();
    let found = command.get_arguments().find(|arg| arg.get_long() == flag.strip_prefix("--"));
    match found.and_then(clap::Arg::get_short) {
        Some(short) => format!("-{short}, {flag}"),
        None => flag.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str]) -> Result<Args, Instead> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn flags() {
        let args =
            check(&["--data-root", "/d", "--exec-root=/e", "-H", "unix:///a", "--host", "tcp://:1", "-D", "--live-restore=false"]).unwrap();
        assert_eq!(args.data_root, Some("/d".into()));
        assert_eq!(args.hosts, ["unix:///a", "tcp://:1"]);
        assert_eq!((args.debug, args.live_restore), (Some(true), Some(false)));
        let given: Vec<String> = args.given.iter().map(|(flag, values)| format!("{flag}={}", values.join(","))).collect();
        assert_eq!(given, ["data-root=/d", "debug=true", "exec-root=/e", "host=unix:///a,tcp://:1", "live-restore=false"]);
    }

    #[test]
    fn errors_as_docker_has_them() {
        let check = |words: &[&str], expect: &str| {
            let instead = check(words).unwrap_err();
            assert_eq!((instead.text.lines().next().unwrap(), instead.code), (expect, 125));
        };
        check(&["--bogus"], "unknown flag: --bogus");
        check(&["--bogus=3"], "unknown flag: --bogus");
        check(&["-Z"], "unknown shorthand flag: 'Z' in -Z");
        check(&["word"], "unexpected argument \"word\": dhow daemon takes no arguments");
        check(&["--data-root"], "flag needs an argument: --data-root");
        let parse = |kind: &str| format!("strconv.Parse{kind}: parsing \"x\": invalid syntax");
        check(&["--live-restore=x"], &format!("invalid argument \"x\" for \"--live-restore\" flag: {}", parse("Bool")));
        check(&["--debug=x"], &format!("invalid argument \"x\" for \"-D, --debug\" flag: {}", parse("Bool")));
        check(&["--mtu", "x"], &format!("invalid argument \"x\" for \"--mtu\" flag: {}", parse("Int")));
        check(&["--cpu-rt-period", "x"], &format!("invalid argument \"x\" for \"--cpu-rt-period\" flag: {}", parse("Int")));
        check(&["--ip", "x"], "invalid argument \"x\" for \"--ip\" flag: failed to parse IP: \"x\"");
    }

    #[test]
    fn version() {
        assert_eq!(check(&["-v"]).unwrap_err().code, 0);
    }
}
