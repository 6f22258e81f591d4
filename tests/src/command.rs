//! Commands with a cleared environment and a deadline, and their outputs.

use crate::wait::patience;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The search path of every command.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command under construction. It has no environment but what it is given, and no input unless told.
#[derive(Debug)]
pub struct Cmd {
    command: Command,
    input: Option<Vec<u8>>,
    deadline: Duration,
}

impl Cmd {
    /// A command with nothing in its environment but a search path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", PATH).stdin(Stdio::null());
        Self { command, input: None, deadline: patience() * 3 }
    }

    /// Adds arguments.
    pub fn args<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.command.args(words);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads on standard input.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// A file or pipe as standard input.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Where it starts.
    pub fn dir(mut self, path: impl AsRef<Path>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// The longest it may take.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// Program and arguments, for messages and for tmux.
    pub fn words(&self) -> Vec<OsString> {
        std::iter::once(self.command.get_program()).chain(self.command.get_args()).map(OsStr::to_os_string).collect()
    }

    /// The variables that were set.
    pub fn variables(&self) -> Vec<(OsString, OsString)> {
        self.command.get_envs().filter_map(|(name, value)| Some((name.to_os_string(), value?.to_os_string()))).collect()
    }

    /// Starts it; its output is the caller's to read.
    pub fn spawn(mut self) -> Child {
        if self.input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {:?}: {error}", self.command));
        if let Some(input) = self.input {
            let mut stdin = child.stdin.take().expect("piped above");
            std::thread::spawn(move || {
                // The program may end before it has read everything.
                let _unread = stdin.write_all(&input);
            });
        }
        child
    }

    /// Runs it to its end; kills it and panics at the deadline.
    #[track_caller]
    pub fn run(self) -> Output {
        let words = self.words().iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
        let limit = self.deadline;
        finish(self.spawn(), words, limit)
    }

    /// Runs it and expects success; gives its standard output without the last newline.
    #[track_caller]
    pub fn ok(self) -> String {
        self.run().ok()
    }
}

/// Waits for a command that [`Cmd::spawn`] started.
#[track_caller]
pub fn finish_child(child: Child) -> Output {
    let words = format!("started command {}", child.id());
    finish(child, words, patience() * 3)
}

/// Waits for a started command.
#[track_caller]
fn finish(mut child: Child, words: String, limit: Duration) -> Output {
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let end = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    let code = loop {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            use std::os::unix::process::ExitStatusExt;
            break status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        }
        if Instant::now() >= end {
            child.kill().expect("kill a child");
            let _status = child.wait().expect("wait for a child");
            let output = Output { words, code: -1, stdout: stdout.join().expect("reader"), stderr: stderr.join().expect("reader") };
            panic!("not done after {limit:?}: {output}");
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    };
    Output { words, code, stdout: stdout.join().expect("reader"), stderr: stderr.join().expect("reader") }
}

fn collect(source: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            source.read_to_end(&mut bytes).expect("read a child's output");
        }
        bytes
    })
}

/// What a command printed and how it ended.
#[must_use = "look at the exit code: ok(), fails(code)"]
#[derive(Debug, Clone)]
pub struct Output {
    words: String,
    /// Exit code; 128 + n when a signal ended it.
    pub code: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output as it is.
    pub fn bytes(&self) -> &[u8] {
        &self.stdout
    }

    /// Standard error as text.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Expects success; standard output without the last newline.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.code == 0, "expected success: {self}");
        let text = self.stdout();
        text.strip_suffix('\n').unwrap_or(&text).to_string()
    }

    /// Expects this exit code; gives standard error.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert!(self.code == code, "expected exit code {code}: {self}");
        self.stderr()
    }

    /// Expects this exit code; gives standard output without the last newline.
    #[track_caller]
    pub fn exits(self, code: i32) -> String {
        assert!(self.code == code, "expected exit code {code}: {self}");
        let text = self.stdout();
        text.strip_suffix('\n').unwrap_or(&text).to_string()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` ended with {}\n-- stdout\n{}\n-- stderr\n{}", self.words, self.code, self.stdout(), self.stderr())
    }
}
