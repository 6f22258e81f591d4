//! A seqpacket socket on tokio.

use dhow_sys::fdpass;
use serde::Serialize;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use tokio::io::Interest;

/// One connection. Any number of senders, one receiver.
///
/// tokio has no type for seqpacket sockets; its stream waits for readiness just as well, and nothing is read or written through it.
#[derive(Debug)]
pub(super) struct Wire(tokio::net::UnixStream);

impl Wire {
    /// Takes a connected socket over.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self(tokio::net::UnixStream::from_std(socket)?))
    }

    /// Sends one message if there is room for it.
    pub(super) fn try_send<T: Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        fdpass::send(&self.0, &serde_json::to_vec(message)?, fds)
    }

    /// Sends one message.
    pub(super) async fn send<T: Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let body = serde_json::to_vec(message)?;
        // Mostly there is room, and then there is nothing to wait for.
        match fdpass::send(&self.0, &body, fds) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        self.0.async_io(Interest::WRITABLE, || fdpass::send(&self.0, &body, fds)).await
    }

    /// The next message; `None` at the end of the stream.
    pub(super) async fn receive(&self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        self.0.async_io(Interest::READABLE, || fdpass::recv(&self.0)).await
    }
}
