//! The terminal of the person: is there one, how large is it, and raw mode that is always taken back.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};

/// Rows and columns of standard output's terminal.
pub(crate) fn size_of_stdout() -> Option<(u16, u16)> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = termios::tcgetwinsize(stdout.as_fd()).ok()?;
    Some((size.ws_row, size.ws_col))
}

/// Standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// What the terminal was before it was made raw. It is kept aside, so that ways out that run no destructors (a signal, an
/// early exit) can restore it too.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode of standard input, until this is dropped or [`restore`] is called.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Makes standard input raw.
    pub(crate) fn enter() -> std::io::Result<Self> {
        let stdin = std::io::stdin();
        let before = termios::tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        raw.make_raw();
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        termios::tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw)?;
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// A line that the person types.
pub(crate) fn read_line() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// A line that is not shown while it is typed.
pub(crate) fn read_secret() -> std::io::Result<String> {
    let stdin = std::io::stdin();
    let before = termios::tcgetattr(stdin.as_fd())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    termios::tcsetattr(stdin.as_fd(), OptionalActions::Now, &silent)?;
    let line = read_line();
    restore();
    // The line's end was not shown either.
    crate::output::warn("");
    line
}

/// Gives the terminal back as it was. Does nothing when it was not made raw.
pub(crate) fn restore() {
    let Some(before) = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    set(std::io::stdin().as_fd(), &before);
}

fn set(fd: BorrowedFd<'_>, mode: &Termios) {
    // The terminal may be gone (a hang-up): then there is nothing to restore.
    let _gone = termios::tcsetattr(fd, OptionalActions::Now, mode);
}
