//! `dhow daemon stop`: ends a daemon that runs on this host; with `--all` its containers too.

use crate::config::Settings;
use anyhow::{Context, Result, bail};
use clap::Parser;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the daemon is sent to end its containers before it leaves.
pub(crate) const WITH_ALL: Signal = Signal::USR2;

/// Stop a daemon. Its containers go on unless --all is given, or the daemon's live-restore is off.
#[derive(Debug, Parser)]
#[command(name = "dhow daemon stop", disable_version_flag = true)]
struct Args {
    /// Stop its containers too; those that a restart policy covers come back with the next daemon
    #[arg(short, long)]
    all: bool,
    /// Daemon configuration file
    #[arg(long)]
    config_file: Option<PathBuf>,
    /// Root directory of its execution state
    #[arg(long)]
    exec_root: Option<PathBuf>,
    /// File with its process id
    #[arg(short, long)]
    pidfile: Option<PathBuf>,
}

/// `words` is what follows `stop`.
pub(crate) fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(std::iter::once(OsString::from("dhow daemon stop")).chain(words)) {
        Ok(args) => args,
        Err(instead) => {
            let code = if instead.use_stderr() { 125 } else { 0 };
            return if instead.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    match stop(args) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever cannot be told is told by the code.
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "dhow: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn stop(args: Args) -> Result<()> {
    let own = crate::args::Args { config_file: args.config_file, exec_root: args.exec_root, pidfile: args.pidfile, ..Default::default() };
    let file = Settings::load(own)?.pidfile;
    let pid = read(&file)?;
    let daemon = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => bail!("no daemon runs: {} is of one that has ended", file.display()),
        opened => opened.with_context(|| format!("open the process {}", pid.as_raw_nonzero()))?,
    };
    // The number may be another program's by now.
    let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
    let line = std::fs::read(&path).with_context(|| format!("read {path}"))?;
    if !line.split(|byte| *byte == 0).any(|word| word == b"daemon" || word.ends_with(b"dockerd")) {
        bail!("no daemon runs: the process {} of {} is another program", pid.as_raw_nonzero(), file.display());
    }
    pidfd_send_signal(&daemon, if args.all { WITH_ALL } else { Signal::TERM }).context("tell the daemon to stop")?;
    let mut fds = [PollFd::new(&daemon, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut fds, None)).context("wait for the daemon's end")?;
    Ok(())
}

fn read(file: &Path) -> Result<Pid> {
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("no daemon runs: there is no {}", file.display()),
        read => read.with_context(|| format!("read {}", file.display()))?,
    };
    text.trim().parse().ok().and_then(Pid::from_raw).with_context(|| format!("{} holds no process id", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_no_daemon_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (file, config) = (dir.path().join("p"), dir.path().join("daemon.json"));
        std::fs::write(&config, "{}").unwrap();
        let check = |text: Option<&str>, expect: &str| {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let args = Args { all: true, config_file: Some(config.clone()), exec_root: None, pidfile: Some(file.clone()) };
            let said = format!("{:#}", stop(args).unwrap_err());
            assert!(said.contains(expect), "{said}");
        };
        check(None, "no daemon runs: there is no ");
        check(Some("x"), "holds no process id");
        check(Some(&std::process::id().to_string()), "is another program");
    }
}
