//! Messages with descriptors over SOCK_SEQPACKET unix sockets (SCM_RIGHTS), with a memfd for bodies too large for one packet.
//!
//! A packet is one marker byte and the body. Marker [`INLINE`]: the body follows. Marker [`SPILLED`]: nothing follows, the
//! body is the whole of a sealed memfd, which is the first descriptor and is not handed to the receiver.

use crate::sealed;
use rustix::fs::SealFlags;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketFlags, SocketType,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most descriptors that one message may carry (the kernel's SCM_MAX_FD is 253).
pub const MAX_FDS: usize = 128;
/// Largest body sent inline; a larger one travels in a sealed memfd passed as the first descriptor.
pub const INLINE_MAX: usize = 64 * 1024;
/// Largest body accepted at all.
pub const BODY_MAX: usize = 16 * 1024 * 1024;

const INLINE: u8 = 0;
const SPILLED: u8 = 1;
/// Room for the descriptors of a message and the one of a spilled body.
const CONTROL: usize = rustix::cmsg_space!(ScmRights(MAX_FDS + 1));

/// A connected pair, close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message. Never raises SIGPIPE. `EAGAIN` on a full non-blocking socket, `EMSGSIZE` for a body above
/// [`BODY_MAX`], `EINVAL` for more than [`MAX_FDS`] descriptors.
pub fn send(socket: impl AsFd, body: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > MAX_FDS {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    if body.len() > BODY_MAX {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    if body.len() <= INLINE_MAX {
        return send_packet(socket.as_fd(), &[INLINE], body, fds);
    }
    let memfd = sealed::bytes("message", body)?;
    let mut all = Vec::with_capacity(fds.len() + 1);
    all.push(memfd.as_fd());
    all.extend_from_slice(fds);
    send_packet(socket.as_fd(), &[SPILLED], &[], &all)
}

fn send_packet(socket: BorrowedFd<'_>, marker: &[u8], body: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let parts = [IoSlice::new(marker), IoSlice::new(body)];
    let sent = rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL))?;
    if sent != marker.len() + body.len() {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok(())
}

/// Sends one message without descriptors by write(2), where a filter may not let other calls through. At most [`INLINE_MAX`] bytes.
pub fn write(socket: impl AsFd, body: &[u8]) -> io::Result<()> {
    if body.len() > INLINE_MAX {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let packet = [&[INLINE], body].concat();
    let sent = rustix::io::retry_on_intr(|| rustix::io::write(socket.as_fd(), &packet))?;
    if sent == packet.len() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EMSGSIZE)) }
}

/// Sends all bytes over a stream socket, with the descriptors beside the first of them. Never raises SIGPIPE.
pub fn send_stream(socket: impl AsFd, mut bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if fds.len() > MAX_FDS || (!fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds))) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    while !bytes.is_empty() {
        let parts = [IoSlice::new(bytes)];
        let sent = rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket.as_fd(), &parts, &mut control, SendFlags::NOSIGNAL))?;
        bytes = &bytes[sent..];
        control.clear();
    }
    Ok(())
}

/// Receives one message; `Ok(None)` at end of stream. Descriptors arrive close-on-exec.
/// A truncated message (`MSG_TRUNC`, `MSG_CTRUNC`) is an error, its descriptors are closed. One reader a socket.
pub fn recv(socket: impl AsFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let socket = socket.as_fd();
    // The length first, so that a waiting process holds no buffer of the largest size.
    let (_, length) = retry(|| rustix::net::recv(socket, &mut [0u8; 0], RecvFlags::PEEK | RecvFlags::TRUNC))?;
    if length == 0 {
        return Ok(None);
    }
    if length > INLINE_MAX + 1 {
        // Take it off the queue, so that the next message is not lost with it.
        rustix::net::recv(socket, &mut [0u8; 1], RecvFlags::TRUNC)?;
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let mut marker = [0u8; 1];
    let mut body = vec![0u8; length - 1];
    let mut space = [MaybeUninit::uninit(); CONTROL];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = retry(|| {
        let mut parts = [IoSliceMut::new(&mut marker), IoSliceMut::new(&mut body)];
        rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut fds = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = part {
            fds.extend(passed);
        }
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) || message.bytes != length {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    match marker[0] {
        INLINE if fds.len() <= MAX_FDS => Ok(Some((body, fds))),
        SPILLED if !fds.is_empty() && body.is_empty() => Ok(Some((read_spilled(&fds.remove(0))?, fds))),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "malformed packet")),
    }
}

/// Repeats what a signal interrupted, and what found the peer gone with words of ours unread (ECONNRESET): the kernel says that
/// once, before it hands out the peer's own last words.
fn retry<T>(mut act: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match act() {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
            other => return other,
        }
    }
}

/// Reads a spilled body. Only a memfd that can change no more is accepted: its size is then final.
fn read_spilled(memfd: &OwnedFd) -> io::Result<Vec<u8>> {
    let needed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    if !rustix::fs::fcntl_get_seals(memfd)?.contains(needed) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the body's memfd is not sealed"));
    }
    let size = rustix::fs::fstat(memfd)?.st_size as u64;
    if size > BODY_MAX as u64 {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let mut body = vec![0u8; size as usize];
    let mut done = 0;
    while done < body.len() {
        match rustix::io::pread(memfd, &mut body[done..], done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => done += n,
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn round(body: &[u8], fds: &[BorrowedFd<'_>]) -> (Vec<u8>, Vec<OwnedFd>) {
        let (a, b) = pair().unwrap();
        send(&a, body, fds).unwrap();
        recv(&b).unwrap().unwrap()
    }

    #[test]
    fn bodies_of_every_size() {
        for size in [0, 1, 2, 1000, INLINE_MAX - 1, INLINE_MAX, INLINE_MAX + 1, 1 << 20, BODY_MAX] {
            let body: Vec<u8> = (0..size).map(|n| n as u8).collect();
            let (got, fds) = round(&body, &[]);
            assert!(got == body, "size {size}");
            assert!(fds.is_empty());
        }
    }

    #[test]
    fn descriptors_arrive_close_on_exec_and_work() {
        for size in [3, INLINE_MAX + 1] {
            let (mut r, w) = std::io::pipe().unwrap();
            let (_, fds) = round(&vec![7; size], &[w.as_fd(), r.as_fd()]);
            drop(w);
            assert_eq!(fds.len(), 2);
            for fd in &fds {
                assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
            }
            let mut fds = fds.into_iter();
            std::fs::File::from(fds.next().unwrap()).write_all(b"x").unwrap();
            let mut got = [0];
            r.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"x");
        }
    }

    #[test]
    fn limits() {
        let (a, b) = pair().unwrap();
        let many = vec![a.as_fd(); MAX_FDS + 1];
        assert_eq!(send(&a, b"", &many).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(send(&a, &vec![0; BODY_MAX + 1], &[]).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
        send(&a, b"full", &many[1..]).unwrap();
        assert_eq!(recv(&b).unwrap().unwrap().1.len(), MAX_FDS);
        send(&a, &vec![1; INLINE_MAX + 5], &many[1..]).unwrap();
        assert_eq!(recv(&b).unwrap().unwrap().1.len(), MAX_FDS);
    }

    #[test]
    fn hostile_packets() {
        let (a, b) = pair().unwrap();
        // Unknown marker.
        rustix::net::send(&a, &[9, 1, 2], SendFlags::NOSIGNAL).unwrap();
        assert!(recv(&b).is_err());
        // A spilled body without, or with an unsealed, memfd.
        rustix::net::send(&a, &[SPILLED], SendFlags::NOSIGNAL).unwrap();
        assert!(recv(&b).is_err());
        let file = tempfile::tempfile().unwrap();
        send_packet(a.as_fd(), &[SPILLED], &[], &[file.as_fd()]).unwrap();
        assert!(recv(&b).is_err());
        // Too long: refused, and the next one still arrives.
        rustix::net::send(&a, &vec![0; INLINE_MAX + 2], SendFlags::NOSIGNAL).unwrap();
        send(&a, b"next", &[]).unwrap();
        assert_eq!(recv(&b).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(recv(&b).unwrap().unwrap().0, b"next");
    }

    #[test]
    fn last_words_of_a_peer_that_did_not_listen() {
        let (a, b) = pair().unwrap();
        send(&b, b"unread", &[]).unwrap();
        send(&a, b"last", &[]).unwrap();
        drop(a);
        assert_eq!(recv(&b).unwrap().unwrap().0, b"last");
        assert!(recv(&b).unwrap().is_none());
    }

    #[test]
    fn end_of_stream_and_would_block() {
        let (a, b) = pair().unwrap();
        rustix::io::ioctl_fionbio(&b, true).unwrap();
        assert_eq!(recv(&b).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(a);
        assert!(recv(&b).unwrap().is_none());
        assert_eq!(send(&b, b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
