//! Terminals: handed over a socket to whoever asked for one, or relayed to our own.

use crate::error::{At, Error, Result};
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::termios::{OptionalActions, Termios};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Connects to a socket that waits for a descriptor.
pub(crate) fn connect(path: &Path) -> Result<OwnedFd> {
    let what = || format!("connect {}", path.display());
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).at(what())?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path).at(what())?).at(what())?;
    Ok(socket)
}

/// Sends one descriptor, with a word that tells what it is.
pub(crate) fn hand_over(socket: &OwnedFd, fd: BorrowedFd<'_>, word: &str) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Error::new("send descriptor: no room"));
    }
    let parts = [IoSlice::new(word.as_bytes())];
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL)).at("send descriptor")?;
    Ok(())
}

/// Our own terminal while a container has it: every key goes through.
#[derive(Debug)]
pub(crate) struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    /// `None` where standard input is no terminal.
    pub(crate) fn enter() -> Result<Option<Self>> {
        let stdin = rustix::stdio::stdin();
        if !rustix::termios::isatty(stdin) {
            return Ok(None);
        }
        let terminal = rustix::io::fcntl_dupfd_cloexec(stdin, 3).at("terminal")?;
        let before = rustix::termios::tcgetattr(&terminal).at("terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &raw).at("terminal")?;
        Ok(Some(Self { terminal, before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Where this fails the terminal is gone.
        let _ = rustix::termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Gives the container's terminal the size of ours, if ours is one.
pub(crate) fn copy_size(master: impl AsFd) {
    if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
        // A terminal whose other end is closed has no size to set.
        let _ = rustix::termios::tcsetwinsize(master, size);
    }
}
