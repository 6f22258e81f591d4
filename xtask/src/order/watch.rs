//! Which functions processes use, in the order of their first use: the first byte of every function is a breakpoint, which is taken off where
//! it was hit. So a process runs nearly as fast as ever, and what it forks is seen too. See ptrace(2).

use super::symbols::Symbols;
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::ScopedJoinHandle;

/// `int3`.
const BREAKPOINT: u8 = 0xcc;

/// Watches a process that runs already, and all that it forks, until the last has ended. What they execute is left alone. The calling thread
/// must have no other children.
pub(super) fn running(symbols: &Symbols, process: i32) -> Result<Vec<String>> {
    let mut seized = BTreeSet::new();
    // A thread that was not yet watched may have made another one meanwhile.
    while let Some(task) = tasks(process)?.into_iter().find(|task| !seized.contains(task)) {
        seized.insert(task);
        match ptrace::seize(Pid::from_raw(task), options()) {
            // One that a watched thread has made is watched already.
            Err(Errno::EPERM) => {}
            done => gone(done).map(drop).with_context(|| format!("watch {task}"))?,
        }
    }
    for task in seized {
        gone(ptrace::interrupt(Pid::from_raw(task))).with_context(|| format!("stop {task}"))?;
    }
    Watch::new(symbols).follow(&Begin::AtOnce)
}

/// The threads of a process.
fn tasks(process: i32) -> Result<Vec<i32>> {
    let dir = format!("/proc/{process}/task");
    let entries = std::fs::read_dir(&dir).with_context(|| format!("read {dir}"))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?)).collect()
}

/// Starts a program and watches it until it has ended.
pub(super) fn started(symbols: &Symbols, command: &Command) -> Result<Vec<String>> {
    // A shell that waits for a line becomes the program.
    let mut shell = Command::new("sh");
    shell.args(["-c", "read -r _; exec \"$0\" \"$@\" </dev/null"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::piped()).stdout(Stdio::null());
    let watch = || {
        let mut child = shell.spawn().context("run sh")?;
        let task = Pid::from_raw(i32::try_from(child.id())?);
        ptrace::seize(task, options()).with_context(|| format!("watch {task}"))?;
        child.stdin.take().context("a pipe")?.write_all(b"go\n").context("tell it to go")?;
        Watch::new(symbols).follow(&Begin::As(PathBuf::from(command.get_program())))
    };
    // A thread of its own has no other children to wait for.
    std::thread::scope(|scope| joined(scope.spawn(watch)))
}

/// What a watch has seen.
pub(super) fn joined(watch: ScopedJoinHandle<'_, Result<Vec<String>>>) -> Result<Vec<String>> {
    watch.join().unwrap_or_else(|_| bail!("a watch panicked"))
}

fn options() -> Options {
    Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEEXEC
}

/// When the breakpoints are set.
#[derive(Debug)]
enum Begin {
    AtOnce,
    /// When a task executes that file: the shell's own beginning may still be on its way when the watch starts.
    As(PathBuf),
}

impl Begin {
    fn with(&self, task: Pid) -> bool {
        match self {
            Self::AtOnce => true,
            Self::As(program) => std::fs::read_link(format!("/proc/{task}/exe")).is_ok_and(|link| link == *program),
        }
    }
}

/// One watch: over processes that share or inherit one memory.
struct Watch<'symbols> {
    symbols: &'symbols Symbols,
    /// The program as it is, from the first function on.
    original: Vec<u8>,
    seen: BTreeSet<u64>,
    names: Vec<String>,
}

impl<'symbols> Watch<'symbols> {
    fn new(symbols: &'symbols Symbols) -> Self {
        Self { symbols, original: Vec::new(), seen: BTreeSet::new(), names: Vec::new() }
    }

    fn follow(mut self, begin: &Begin) -> Result<Vec<String>> {
        // Of this thread only: what other threads have started is theirs to wait for.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            let (task, signal) = match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Stopped(task, Signal::SIGTRAP)) => (task, self.hit(task)?),
                Ok(WaitStatus::Stopped(task, signal)) => (task, Some(signal)),
                Ok(WaitStatus::PtraceEvent(task, _, nix::libc::PTRACE_EVENT_EXEC)) if self.is_armed() => {
                    // Another program, in a memory of its own.
                    gone(ptrace::detach(task, None)).with_context(|| format!("let go of {task}"))?;
                    continue;
                }
                Ok(WaitStatus::PtraceEvent(task, ..)) => {
                    if !self.is_armed() && begin.with(task) {
                        self.arm(task)?;
                    }
                    (task, None)
                }
                // An engine that is watched ends as it is told; what its processes ended with is the engine's affair.
                Ok(WaitStatus::Exited(_, status)) if matches!(begin, Begin::As(_)) && status != 0 => bail!("it ended with {status}"),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => return Ok(self.names),
                Err(error) => return Err(error).context("wait for what is watched"),
            };
            gone(ptrace::cont(task, signal)).with_context(|| format!("go on with {task}"))?;
        }
    }

    fn is_armed(&self) -> bool {
        !self.original.is_empty()
    }

    /// Sets the breakpoints in the memory of a task that stands.
    fn arm(&mut self, task: Pid) -> Result<()> {
        let (first, last) = self.symbols.range()?.into_inner();
        let memory = memory(task)?;
        self.original = vec![0; usize::try_from(last - first)? + 1];
        memory.read_exact_at(&mut self.original, first).with_context(|| format!("read the program of {task}"))?;
        let mut armed = self.original.clone();
        for start in self.symbols.starts() {
            armed[usize::try_from(start - first)?] = BREAKPOINT;
        }
        memory.write_all_at(&armed, first).with_context(|| format!("set breakpoints in {task}"))
    }

    /// Takes a breakpoint off that was hit. A signal that no breakpoint of ours has sent is passed on.
    fn hit(&mut self, task: Pid) -> Result<Option<Signal>> {
        let Some(mut registers) = gone(ptrace::getregs(task)).with_context(|| format!("registers of {task}"))? else {
            return Ok(None);
        };
        let start = registers.rip.wrapping_sub(1);
        if self.symbols.at(start).next().is_none() {
            return Ok(Some(Signal::SIGTRAP));
        }
        if self.seen.insert(start) {
            self.names.extend(self.symbols.at(start).map(str::to_owned));
        }
        let offset = usize::try_from(start - self.symbols.range()?.start())?;
        let Some(byte) = self.original.get(offset) else { bail!("{task} is at {start:#x} before it was seen") };
        memory(task)?.write_all_at(&[*byte], start).with_context(|| format!("take a breakpoint off {task}"))?;
        registers.rip = start;
        gone(ptrace::setregs(task, registers)).with_context(|| format!("set {task} back"))?;
        Ok(None)
    }
}

fn memory(task: Pid) -> Result<File> {
    let path = format!("/proc/{task}/mem");
    OpenOptions::new().read(true).write(true).open(&path).with_context(|| format!("open {path}"))
}

/// Nothing if the task has been killed while it stood.
fn gone<T>(done: nix::Result<T>) -> nix::Result<Option<T>> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}
