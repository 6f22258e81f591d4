//! A foreign OCI runtime, driven by runc's command line from a bundle in the shim's directory.
//!
//! ```text
//! DIR/bundle/config.json  the specification
//! DIR/bundle/rootfs       empty for the host; the root filesystem in a mount namespace that only the runtime's calls see
//! DIR/runtime/            the runtime's own state (--root)
//! DIR/runtime.log         its last words, JSON (--log)
//! DIR/runtime.pid, DIR/process.json, DIR/resources.json, DIR/tty.sock   for one call each
//! ```
//!
//! The container's processes come to the shim, a subreaper, when the runtime's own process has ended; so everything above is as with
//! containers of our own making: streams, log, exit, adoption.

pub(crate) mod bundle;
mod program;
mod terminal;
mod words;

use crate::config::Foreign;
use crate::document;
use dhow_runtime::{Failure, Stdio, Step};
use dhow_sys::overlay::Overlay;
use dhow_sys::{mount, process};
use oci_spec::runtime::{LinuxResources, Process, Spec};
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The runtime's state.
const STATE: &str = "runtime";
/// The runtime's words.
const LOG: &str = "runtime.log";
const PID: &str = "runtime.pid";
/// The bundle, which hooks are told of, too.
pub(crate) const BUNDLE: &str = "bundle";
const PROCESS: &str = "process.json";
const RESOURCES: &str = "resources.json";
const TERMINAL: &str = "tty.sock";

/// Drives the runtime of one container.
#[derive(Debug)]
pub(crate) struct Driver {
    runtime: Foreign,
    id: String,
    dir: PathBuf,
    /// The mount namespace that has the root filesystem.
    namespace: Option<OwnedFd>,
}

/// A container that was created and waits for its start.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) start_time: u64,
    /// The root as the container sees it, or, where the runtime does not show it, the root without the container's mounts.
    pub(crate) root: OwnedFd,
    /// Layers of it that the daemon holds too.
    pub(crate) layers: Vec<OwnedFd>,
    /// `None` where the runtime does not show it.
    pub(crate) netns: Option<OwnedFd>,
    pub(crate) console: Option<OwnedFd>,
}

/// A further process.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) console: Option<OwnedFd>,
}

impl Driver {
    /// For the container `id` of the shim in `dir`.
    pub(crate) fn new(runtime: Foreign, id: &str, dir: &Path) -> Self {
        Self { runtime, id: id.to_owned(), dir: dir.to_owned(), namespace: None }
    }

    /// Mounts the root, writes the bundle and creates the container.
    pub(crate) fn create(&mut self, spec: &Spec, root: &Overlay, stdio: &Stdio, trees: &[(PathBuf, OwnedFd)]) -> Result<Made, Failure> {
        const WHAT: &str = "OCI runtime create failed";
        let bundle = self.dir.join(BUNDLE);
        let fail = |step: Step, path: &Path, e: &io::Error| failure(step, &path.display().to_string(), e);
        bundle::write(&bundle, spec).map_err(|e| fail(Step::Io, &bundle, &e))?;
        let places = bundle::places(&bundle, spec, trees).map_err(|e| fail(Step::Io, &bundle, &e))?;
        let (root, layers) = root.mount_held().map_err(|e| failure(Step::Root, "overlay", &e))?;
        let target = bundle.join("rootfs");
        self.namespace = Some(bundle::mount(&root, &target, &places).map_err(|e| fail(Step::Root, &target, &e))?);
        let (pid, console) = self.beget(WHAT, "create", &[("--bundle", bundle.into())], stdio)?;
        let look = |e: &io::Error| failure(Step::Other, &format!("process {pid}"), e);
        let start_time = process::start_time(pid).map_err(|e| look(&e))?;
        let pidfd = process::pidfd_open(pid).map_err(|e| look(&e))?;
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let seen = mount::open_path(&proc.join("root"));
        let netns = rustix::fs::open(proc.join("ns/net"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        Ok(Made { pid, pidfd, start_time, root: seen.unwrap_or(root), layers, netns: netns.ok(), console })
    }

    /// Lets the created container run.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        self.command("OCI runtime start failed", "start", &[], &[])
    }

    /// Runs a further process in it.
    pub(crate) fn exec(&self, process: &Process, stdio: &Stdio) -> Result<Executed, Failure> {
        const WHAT: &str = "OCI runtime exec failed";
        let file = self.write(PROCESS, process)?;
        let done = self.beget(WHAT, "exec", &[("--detach", OsString::new()), ("--process", file.clone().into())], stdio);
        remove(&file);
        let (pid, console) = done?;
        let pidfd = process::pidfd_open(pid).map_err(|e| failure(Step::Exec, &format!("process {pid}"), &e))?;
        Ok(Executed { pid, pidfd, console })
    }

    /// Signals the first process, or all.
    pub(crate) fn kill(&self, signal: i32, all: bool) -> Result<(), Failure> {
        let flags: &[(&str, OsString)] = if all { &[("--all", OsString::new())] } else { &[] };
        self.command("OCI runtime kill failed", "kill", flags, &[signal.to_string().into()])
    }

    /// Freezes or thaws.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<(), Failure> {
        let (what, verb) = if frozen { ("OCI runtime pause failed", "pause") } else { ("OCI runtime resume failed", "resume") };
        match self.command(what, verb, &[], &[]) {
            // It was killed, and thawed by that.
            Err(failure) if !frozen && failure.message.contains("not paused") => Ok(()),
            other => other,
        }
    }

    /// Changes limits.
    pub(crate) fn update(&self, resources: &LinuxResources) -> Result<(), Failure> {
        let file = self.write(RESOURCES, resources)?;
        let done = self.command("OCI runtime update failed", "update", &[("--resources", file.clone().into())], &[]);
        remove(&file);
        done
    }

    /// Makes the runtime forget the container, which has ended; `force` ends it first.
    pub(crate) fn delete(&self, force: bool) -> Result<(), Failure> {
        let flags: &[(&str, OsString)] = if force { &[("--force", OsString::new())] } else { &[] };
        self.command("OCI runtime delete failed", "delete", flags, &[])
    }

    /// A call that begets a process: its number, and the terminal's master where one is wanted.
    fn beget(&self, what: &str, verb: &str, flags: &[(&str, OsString)], stdio: &Stdio) -> Result<(i32, Option<OwnedFd>), Failure> {
        let pid_file = self.dir.join(PID);
        remove(&pid_file);
        let mut all: Vec<(&str, OsString)> = flags.to_vec();
        all.push(("--pid-file", pid_file.clone().into()));
        let fail = |step: Step, object: &Path, e: &io::Error| failure(step, &object.display().to_string(), e);
        let console = match stdio {
            Stdio::Given { stdin, stdout, stderr } => {
                self.call(what, verb, &all, &[], [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
                None
            }
            Stdio::Terminal { size } => {
                let path = self.dir.join(TERMINAL);
                let socket = terminal::listen(&path).map_err(|e| fail(Step::Console, &path, &e))?;
                all.push(("--console-socket", path.clone().into()));
                let called = self.command(what, verb, &all, &[]);
                let master = called.and_then(|()| terminal::take(&socket, *size).map_err(|e| fail(Step::Console, &path, &e)));
                remove(&path);
                Some(master?)
            }
        };
        let text = std::fs::read_to_string(&pid_file).map_err(|e| fail(Step::Io, &pid_file, &e))?;
        remove(&pid_file);
        let pid = text.trim().parse().ok().filter(|pid| *pid > 1);
        let pid = pid.ok_or_else(|| fail(Step::Io, &pid_file, &io::Error::new(io::ErrorKind::InvalidData, "holds no process id")))?;
        Ok((pid, console))
    }

    /// A call without streams.
    fn command(&self, what: &str, verb: &str, flags: &[(&str, OsString)], last: &[OsString]) -> Result<(), Failure> {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let null = null.map_err(|e| failure(Step::Io, "/dev/null", &e.into()))?;
        self.call(what, verb, flags, last, [null.as_fd(); 3])
    }

    fn call(
        &self,
        what: &str,
        verb: &str,
        flags: &[(&str, OsString)],
        last: &[OsString],
        stdio: [std::os::fd::BorrowedFd<'_>; 3],
    ) -> Result<(), Failure> {
        let log = self.dir.join(LOG);
        remove(&log);
        let words = arguments(&self.runtime, &self.dir, &self.id, verb, flags, last);
        let ended = program::run(&self.runtime.path, &words, stdio, self.namespace.as_ref().map(AsFd::as_fd));
        let said = words::last_error(&log);
        remove(&log);
        words::judge(what, &self.runtime.path, ended, said)
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<PathBuf, Failure> {
        let path = self.dir.join(name);
        document::write(&self.dir, name, value).map_err(|e| failure(Step::Io, &path.display().to_string(), &e))?;
        Ok(path)
    }
}

/// What a call's words are: the runtime's own ones, the global flags, the verb with its flags, the container.
fn arguments(runtime: &Foreign, dir: &Path, id: &str, verb: &str, flags: &[(&str, OsString)], last: &[OsString]) -> Vec<OsString> {
    let mut words: Vec<OsString> = runtime.args.iter().map(OsString::from).collect();
    words.extend(["--root".into(), dir.join(STATE).into(), "--log".into(), dir.join(LOG).into(), "--log-format".into(), "json".into()]);
    words.push(verb.into());
    for (flag, value) in flags {
        words.push((*flag).into());
        if !value.is_empty() {
            words.push(value.clone());
        }
    }
    words.push(id.into());
    words.extend(last.iter().cloned());
    words
}

/// Removes what the runtime and its calls have left in `dir`. What is missing is fine.
pub(crate) fn remove_files(dir: &Path) -> io::Result<()> {
    for name in [LOG, PID, PROCESS, RESOURCES, TERMINAL, "process.json.tmp", "resources.json.tmp"] {
        remove(&dir.join(name));
    }
    let mut result = Ok(());
    for name in [BUNDLE, STATE] {
        match std::fs::remove_dir_all(dir.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => result = result.and(Err(e)),
            _ => {}
        }
    }
    result
}

/// Lets the runtime forget a container whose shim was killed. Not for the shim: its processes are started in another way.
pub(crate) fn forget(runtime: &Foreign, dir: &Path, id: &str) -> io::Result<()> {
    if !dir.join(STATE).exists() {
        return Ok(());
    }
    let words = arguments(runtime, dir, id, "delete", &[("--force", OsString::new())], &[]);
    program::run_elsewhere(&runtime.path, &words)
}

/// A file of one call. One that stays goes with the directory.
fn remove(path: &Path) {
    let _ = rustix::fs::unlink(path);
}

fn failure(step: Step, object: &str, error: &io::Error) -> Failure {
    let source = error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error);
    Failure::io(step, object, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_call() {
        let runtime = Foreign { path: "/usr/bin/x".into(), args: vec!["--debug".into()] };
        let words = arguments(&runtime, Path::new("/d"), "id", "kill", &[("--all", OsString::new())], &["9".into()]);
        let words: Vec<_> = words.iter().map(|w| w.to_str().unwrap()).collect();
        assert_eq!(words.join(" "), "--debug --root /d/runtime --log /d/runtime.log --log-format json kill --all id 9");
    }
}
