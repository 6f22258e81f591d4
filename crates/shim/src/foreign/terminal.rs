//! The socket on which a runtime hands over the master of the terminal that it made.

use rustix::fs::Mode;
use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use rustix::termios::Winsize;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Listens at `path`, for this user alone.
pub(crate) fn listen(path: &Path) -> io::Result<OwnedFd> {
    let _ = rustix::fs::unlink(path);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, Mode::from_raw_mode(0o600))?;
    rustix::net::listen(&socket, 1)?;
    Ok(socket)
}

/// Takes the master from a runtime that has sent it and is done, and sets its size (rows, columns).
pub(crate) fn take(socket: &OwnedFd, size: Option<(u16, u16)>) -> io::Result<OwnedFd> {
    let none = || io::Error::new(io::ErrorKind::InvalidData, "the runtime sent no terminal");
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connection = match rustix::net::accept_with(socket, flags) {
        Err(rustix::io::Errno::AGAIN) => return Err(none()),
        other => other?,
    };
    if !sockopt::socket_peercred(&connection)?.uid.is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(&connection, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut passed = control.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let master = passed.next().ok_or_else(none)?;
    // What is no terminal refuses this.
    let mut wanted = rustix::termios::tcgetwinsize(&master)?;
    if let Some((rows, columns)) = size {
        wanted = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    }
    rustix::termios::tcsetwinsize(&master, wanted)?;
    Ok(master)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    use std::io::IoSlice;
    use std::os::fd::AsFd;

    fn offer(path: &Path, fd: Option<&OwnedFd>) {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        let fds: Vec<_> = fd.iter().map(|fd| fd.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        rustix::net::sendmsg(&socket, &[IoSlice::new(b"/dev/pts/0")], &mut control, SendFlags::empty()).unwrap();
    }

    #[test]
    fn class_17_a_terminal_comes_by_a_private_socket_and_nothing_else_does() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let socket = listen(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(take(&socket, None).unwrap_err().to_string(), "the runtime sent no terminal");
        offer(&path, None);
        assert!(take(&socket, None).is_err());
        let file = OwnedFd::from(std::fs::File::open("/etc/passwd").unwrap());
        offer(&path, Some(&file));
        assert!(take(&socket, None).is_err());
        let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        offer(&path, Some(&master));
        let got = take(&socket, Some((7, 9))).unwrap();
        let size = rustix::termios::tcgetwinsize(&got).unwrap();
        assert_eq!((size.ws_row, size.ws_col), (7, 9));
    }
}
