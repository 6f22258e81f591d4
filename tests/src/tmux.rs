//! A terminal that is typed at: tmux, with a server of its own.

use crate::command::Cmd;
use crate::wait::{until, until_some};
use std::path::PathBuf;

/// A tmux server with one pane.
#[derive(Debug)]
pub struct Terminal {
    socket: PathBuf,
    program: PathBuf,
}

impl Terminal {
    /// Runs the command in a pane of 100 by 30, where tmux is installed; otherwise it is counted as skipped.
    /// When the command ends, the pane says `[ended CODE]`.
    #[track_caller]
    pub fn open(engine: &crate::Engine, command: &Cmd) -> Option<Self> {
        let Some(program) = crate::paths::program("tmux") else {
            crate::skip("tmux is not installed");
            return None;
        };
        let terminal = Self { socket: engine.dir().join("h").join("t"), program };
        let quote = |text: &std::ffi::OsStr| format!("'{}'", text.to_string_lossy().replace('\'', r"'\''"));
        let variables: Vec<String> =
            command.variables().iter().map(|(name, value)| format!("{}={}", name.to_string_lossy(), quote(value))).collect();
        let words: Vec<String> = command.words().iter().map(|word| quote(word)).collect();
        let script = format!("env -i TERM=xterm {} {}; echo \"[ended $?]\"; exec sleep 1000", variables.join(" "), words.join(" "));
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "sh", "-c", &script]).ok();
        Some(terminal)
    }

    fn tmux(&self, words: &[&str]) -> crate::Output {
        Cmd::new(&self.program).env("TERM", "xterm").env("LANG", "C.UTF-8").args(["-S"]).args([&self.socket]).args(words).run()
    }

    /// Types text, literally.
    #[track_caller]
    pub fn text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]).ok();
    }

    /// Types keys by tmux's names (`Enter`, `C-c`, `C-p`).
    #[track_caller]
    pub fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat()).ok();
    }

    /// Types a line.
    #[track_caller]
    pub fn line(&self, text: &str) {
        self.text(text);
        self.keys(&["Enter"]);
    }

    /// What the pane shows.
    #[track_caller]
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"]).ok()
    }

    /// Waits until a line of the pane is exactly this.
    #[track_caller]
    pub fn until_line(&self, wanted: &str) {
        let mut last = String::new();
        let found = crate::wait::within(crate::wait::patience(), &mut || {
            last = self.screen();
            last.lines().any(|line| line.trim_end() == wanted).then_some(())
        });
        assert!(found.is_some(), "no line {wanted:?} on the screen:\n{last}");
    }

    /// Waits until the pane shows this somewhere.
    #[track_caller]
    pub fn until_shown(&self, wanted: &str) {
        let mut last = String::new();
        let found = crate::wait::within(crate::wait::patience(), &mut || {
            last = self.screen();
            last.contains(wanted).then_some(())
        });
        assert!(found.is_some(), "no {wanted:?} on the screen:\n{last}");
    }

    /// Changes the size.
    #[track_caller]
    pub fn resize(&self, width: u16, height: u16) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]).ok();
    }

    /// Waits for the command's end; its exit code.
    #[track_caller]
    pub fn ended(&self) -> i32 {
        until_some("the command in the terminal ends", || {
            self.screen().lines().find_map(|line| line.trim().rsplit_once("[ended ")?.1.strip_suffix(']')?.parse().ok())
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _output = self.tmux(&["kill-server"]);
        if !std::thread::panicking() {
            until("the terminal is gone", || std::os::unix::net::UnixStream::connect(&self.socket).is_err());
        }
        let _removed = std::fs::remove_file(&self.socket);
    }
}
