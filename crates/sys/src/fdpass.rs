//! Messages with descriptors over SOCK_SEQPACKET unix sockets (SCM_RIGHTS), with a memfd for bodies too large for one packet.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most descriptors that one message may carry (the kernel's SCM_MAX_FD is 253).
pub const MAX_FDS: usize = 64;
/// Largest body sent inline; a larger one travels in a sealed memfd passed as the first descriptor.
pub const INLINE_MAX: usize = 64 * 1024;
/// Largest body accepted at all.
pub const BODY_MAX: usize = 16 * 1024 * 1024;

/// A connected pair, close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    todo!()
}

/// Sends one message. Never raises SIGPIPE. `EAGAIN` on a full non-blocking socket.
pub fn send(_socket: impl AsFd, _body: &[u8], _fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    todo!()
}

/// Receives one message; `Ok(None)` at end of stream. Descriptors arrive close-on-exec.
/// A truncated message (`MSG_TRUNC`, `MSG_CTRUNC`) is an error, its descriptors are closed.
pub fn recv(_socket: impl AsFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    todo!()
}
