//! Hooks: programs that somebody wants run at moments of a container's life. Each gets the container's state on its standard input.
//!
//! ```text
//! createRuntime     outside, once the namespaces are there
//! createContainer   inside, before the root changes: the host's files are still there, the container's are at BUNDLE/rootfs
//! startContainer    inside, instead of the program and with its rights, before it
//! poststart         outside, once the program runs
//! poststop          outside, once all of it is gone
//! ```

use crate::error::{Failure, Kind, Result, Step, describe};
use dhow_sys::clone::{Forked, fork};
use dhow_sys::process::{self, Ended};
use dhow_sys::signal;
use oci_spec::runtime::{Hook, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, SeekFrom};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest that a hook without a limit of its own may take, in seconds. Whoever waits for the container has no more patience.
const LIMIT: u64 = 15;
/// What a hook that failed has said is told up to this length.
const WORDS: u64 = 4096;

/// When hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum Moment {
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Moment {
    fn name(self) -> &'static str {
        match self {
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The container's status at that time.
    fn status(self) -> &'static str {
        match self {
            Self::CreateRuntime | Self::CreateContainer => "creating",
            Self::StartContainer => "created",
            Self::Poststart => "running",
            Self::Poststop => "stopped",
        }
    }
}

/// A container's hooks, checked.
#[derive(Debug)]
pub struct Hooks {
    programs: Vec<(Moment, Vec<Program>)>,
    state: Value,
    /// Where `createContainer` finds the container's root.
    rootfs: PathBuf,
    /// Longest that one may take, in seconds, whatever its own limit is.
    most: Option<u64>,
}

/// One hook's program.
#[derive(Debug)]
struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
    /// In seconds.
    limit: Option<u64>,
}

impl Hooks {
    /// Those of a specification; `None` where it has none. `bundle` is the directory that they are told of: it holds `config.json` and an
    /// empty `rootfs`, which the caller makes.
    pub fn of(spec: &Spec, id: &str, bundle: &Path) -> Result<Option<Self>> {
        let Some(hooks) = spec.hooks() else { return Ok(None) };
        // The older name has no accessor that is not deprecated.
        let wrong = |e: serde_json::Error| Failure::invalid("hooks.prestart", e.to_string());
        let prestart = serde_json::to_value(hooks).map_err(wrong)?.get_mut("prestart").map(Value::take);
        let prestart: Option<Vec<Hook>> = prestart.map(serde_json::from_value).transpose().map_err(wrong)?;
        let mut programs = Vec::new();
        for (moment, list) in [
            (Moment::CreateRuntime, &prestart),
            (Moment::CreateRuntime, hooks.create_runtime()),
            (Moment::CreateContainer, hooks.create_container()),
            (Moment::StartContainer, hooks.start_container()),
            (Moment::Poststart, hooks.poststart()),
            (Moment::Poststop, hooks.poststop()),
        ] {
            if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
                // In the container it has the environment of the program unless it brings its own.
                let inherited = spec.process().as_ref().and_then(|process| process.env().as_ref());
                let inherited = inherited.filter(|_| moment == Moment::StartContainer);
                programs.push((moment, list.iter().map(|hook| Program::of(moment, hook, inherited)).collect::<Result<_>>()?));
            }
        }
        let state = json!({
            "ociVersion": spec.version(),
            "id": id,
            "bundle": bundle,
            "annotations": spec.annotations().clone().unwrap_or_default(),
        });
        let (rootfs, most) = (bundle.join("rootfs"), Some(LIMIT));
        Ok((!programs.is_empty()).then(|| Self { programs, state, rootfs, most }))
    }

    /// With the root at another place than the bundle's `rootfs`, and each as long as its own limit lets it: nobody waits but the caller.
    #[must_use]
    pub fn at_leisure(self, rootfs: &Path) -> Self {
        Self { rootfs: rootfs.to_owned(), most: None, ..self }
    }

    /// Whether there are any for this moment.
    pub fn has(&self, moment: Moment) -> bool {
        self.programs.iter().any(|(other, _)| *other == moment)
    }

    /// Where `createContainer` finds the container's root.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.rootfs.clone()
    }

    /// Runs those of a moment in their order, up to the first failure. `pid` is the container's process as the hooks see it; 0: there is none
    /// any more. The caller has one thread.
    pub fn run(&self, moment: Moment, pid: i32) -> Result<()> {
        self.run_confined(moment, pid, || Ok(()))
    }

    /// The same with a last word in the hook's own process, before it becomes the hook.
    pub(crate) fn run_confined(&self, moment: Moment, pid: i32, confine: impl Fn() -> Result<()>) -> Result<()> {
        let mut state = self.state.clone();
        state["status"] = moment.status().into();
        if pid != 0 {
            state["pid"] = pid.into();
        }
        let state = state.to_string();
        let programs = self.programs.iter().filter(|(other, _)| *other == moment).flat_map(|(_, programs)| programs);
        for (at, program) in programs.enumerate() {
            let object = || format!("{} hook #{at}", moment.name());
            program.run(state.as_bytes(), self.most, &confine).map_err(|why| Failure::new(Step::Hook, object(), Kind::Other, why))?;
        }
        Ok(())
    }
}

impl Program {
    fn of(moment: Moment, hook: &Hook, inherited: Option<&Vec<String>>) -> Result<Self> {
        let field = |name: &str| format!("hooks.{}.{name}", moment.name());
        let text = |name: &str, bytes: &[u8]| CString::new(bytes).map_err(|_| Failure::invalid(field(name), "contains a zero byte"));
        let list = |name: &str, list: Option<&Vec<String>>| {
            list.into_iter().flatten().map(|word| text(name, word.as_bytes())).collect::<Result<Vec<_>>>()
        };
        if !hook.path().is_absolute() {
            return Err(Failure::invalid(field("path"), "must be absolute"));
        }
        let positive =
            |seconds| u64::try_from(seconds).ok().filter(|n| *n > 0).ok_or_else(|| Failure::invalid(field("timeout"), "must be positive"));
        let limit = hook.timeout().map(positive).transpose()?;
        let path = text("path", hook.path().as_os_str().as_bytes())?;
        let mut args = list("args", hook.args().as_ref())?;
        if args.is_empty() {
            args.push(path.clone());
        }
        let env = hook.env().as_ref().filter(|env| !env.is_empty()).or(inherited);
        Ok(Self { path, args, env: list("env", env)?, limit })
    }

    /// Runs it to its end; the error is Docker's text behind the hook's name.
    fn run(&self, state: &[u8], most: Option<u64>, confine: &impl Fn() -> Result<()>) -> std::result::Result<(), String> {
        let told = |e: io::Error| describe(&e);
        let mut input = File::from(rustix::fs::memfd_create("state", MemfdFlags::CLOEXEC).map_err(|e| told(e.into()))?);
        input.write_all(state).map_err(told)?;
        rustix::fs::seek(&input, SeekFrom::Start(0)).map_err(|e| told(e.into()))?;
        let mut says = [memory("stdout").map_err(told)?, memory("stderr").map_err(told)?];
        // The end of the stream tells that it is executed; before that come the reasons why not.
        let (mut reader, mut writer) = io::pipe().map_err(told)?;
        let Forked::Parent { pidfd, .. } = fork().map_err(told)? else {
            drop(reader);
            let stdio = [input.as_fd(), says[0].as_fd(), says[1].as_fd()];
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.execute(stdio, confine)));
            let why = match failed {
                Ok(Err(why)) => why,
                Ok(Ok(never)) => match never {},
                Err(_) => "panicked".to_owned(),
            };
            // Where even this cannot be said the exit code is all there is.
            let _ = writer.write_all(why.as_bytes());
            process::exit_now(127);
        };
        drop(writer);
        let mut why = String::new();
        let executed = reader.read_to_string(&mut why).is_ok() && why.is_empty();
        let ended = if executed { self.end(&pidfd, most)? } else { process::wait(&pidfd).map_err(told)? };
        let how = match ended {
            _ if !executed => return Err(format!("fork/exec {}: {why}", self.path.to_string_lossy())),
            Ended::Code(0) => return Ok(()),
            Ended::Code(code) => format!("exit status {code}"),
            Ended::Signal(number) => format!("signal: {number}"),
        };
        let [out, err] = says.each_mut().map(words);
        Err(format!("{how}, stdout: {out}, stderr: {err}"))
    }

    fn end(&self, pidfd: &impl AsFd, most: Option<u64>) -> std::result::Result<Ended, String> {
        let told = |e: io::Error| describe(&e);
        let Some(seconds) = self.limit.into_iter().chain(most).min() else { return process::wait(pidfd).map_err(told) };
        let limit = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: 0 };
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit))).map_err(|e| told(e.into()))? > 0 {
            return process::wait(pidfd).map_err(told);
        }
        process::pidfd_signal(pidfd, libc::SIGKILL).map_err(told)?;
        process::wait(pidfd).map_err(told)?;
        Err(format!("hook ran past specified timeout of {seconds}.0s"))
    }

    /// In the child.
    fn execute(&self, stdio: [BorrowedFd<'_>; 3], confine: &impl Fn() -> Result<()>) -> std::result::Result<Infallible, String> {
        let prepare = || -> io::Result<()> {
            let mut high = Vec::with_capacity(3);
            for fd in stdio {
                high.push(rustix::io::fcntl_dupfd_cloexec(fd, 3)?);
            }
            rustix::stdio::dup2_stdin(&high[0])?;
            rustix::stdio::dup2_stdout(&high[1])?;
            rustix::stdio::dup2_stderr(&high[2])?;
            process::cloexec_from(3)?;
            rustix::process::umask(Mode::from_raw_mode(0o022));
            signal::reset()
        };
        prepare().map_err(|e| describe(&e))?;
        confine().map_err(|failure| failure.to_string())?;
        match nix::unistd::execve(&self.path, &self.args, &self.env) {
            Ok(never) => match never {},
            Err(errno) => Err(describe(&io::Error::from_raw_os_error(errno as i32))),
        }
    }
}

fn memory(name: &str) -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?))
}

/// What was written, up to a bound.
fn words(file: &mut File) -> String {
    let mut text = Vec::new();
    let read = rustix::fs::seek(&*file, SeekFrom::Start(0)).map_err(io::Error::from).and_then(|_| file.take(WORDS).read_to_end(&mut text));
    // Words that cannot be read are missing words: the hook has failed anyhow.
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(json: Value) -> Result<Option<Hooks>> {
        let spec = json!({"ociVersion": "1.2.0", "root": {"path": "rootfs"}, "annotations": {"a": "b"}, "hooks": json});
        Hooks::of(&serde_json::from_value(spec).unwrap(), "box", Path::new("/bundle"))
    }

    #[test]
    fn what_there_is() {
        assert!(hooks(json!({})).unwrap().is_none());
        assert!(hooks(json!({"poststop": []})).unwrap().is_none());
        let some =
            hooks(json!({"prestart": [{"path": "/a"}], "createRuntime": [{"path": "/b", "args": ["x"], "timeout": 3}]})).unwrap().unwrap();
        assert!(some.has(Moment::CreateRuntime) && !some.has(Moment::Poststop));
        let limits: Vec<_> = some.programs.iter().map(|(_, programs)| (programs[0].limit, programs[0].args[0].to_str().unwrap())).collect();
        assert_eq!(limits, [(None, "/a"), (Some(3), "x")]);
        assert_eq!(some.state, json!({"ociVersion": "1.2.0", "id": "box", "bundle": "/bundle", "annotations": {"a": "b"}}));
    }

    #[test]
    fn in_the_container_it_has_the_programs_environment() {
        let process = json!({"user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["A=b"]});
        let hooks = json!({"startContainer": [{"path": "/a"}, {"path": "/b", "env": ["C=d"]}], "poststart": [{"path": "/c"}]});
        let spec = json!({"ociVersion": "1.2.0", "root": {"path": "rootfs"}, "process": process, "hooks": hooks});
        let hooks = Hooks::of(&serde_json::from_value(spec).unwrap(), "box", Path::new("/bundle")).unwrap().unwrap();
        let env = |program: &Program| program.env.iter().map(|entry| entry.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        let all: Vec<_> = hooks.programs.iter().flat_map(|(_, programs)| programs.iter().map(env)).collect();
        assert_eq!(all, [vec!["A=b".to_owned()], vec!["C=d".to_owned()], Vec::new()]);
    }

    #[test]
    fn refusals_name_the_field() {
        let check = |hook: Value, field: &str| assert_eq!(hooks(json!({"poststart": [hook]})).unwrap_err().object, field);
        check(json!({"path": "a"}), "hooks.poststart.path");
        check(json!({"path": "/a", "timeout": 0}), "hooks.poststart.timeout");
        check(json!({"path": "/a", "timeout": -1}), "hooks.poststart.timeout");
        check(json!({"path": "/a", "args": ["\0"]}), "hooks.poststart.args");
        check(json!({"path": "/a", "env": ["A=\0"]}), "hooks.poststart.env");
    }
}
