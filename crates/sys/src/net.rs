//! The little that is needed of interfaces before there is netlink, and of sockets beyond what the standard library asks.

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Switches on the loopback interface of the current network namespace.
pub fn loopback_up() -> io::Result<()> {
    set_up("lo")
}

fn set_up(name: &str) -> io::Result<()> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is plain data for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which `request` is: a terminated name and the flags member of the union.
    let ret = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The network namespace that the caller is in. Takes a third of the time of opening its name below `/proc`, which a new process has no files in
/// yet. Needs CAP_NET_ADMIN there (Linux 4.10).
pub fn namespace() -> io::Result<OwnedFd> {
    // <linux/sockios.h>
    const SIOCGSKNS: libc::c_ulong = 0x894c;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: SIOCGSKNS takes no argument.
    let fd = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS as _) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the answer is a new descriptor, close-on-exec, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Memory that holds what was written to a stream socket and was not taken yet: by the reader of a Unix socket, by the other end of a
/// TCP connection. Zero when all of it was.
pub fn untaken(socket: impl AsFd) -> io::Result<u64> {
    let mut size: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (TIOCOUTQ by another name) writes one int, which `size` is.
    let ret = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut size) };
    if ret == 0 { Ok(u64::try_from(size).unwrap_or_default()) } else { Err(io::Error::last_os_error()) }
}

/// Writes a few bytes to a stream socket without waiting, and without a signal.
///
/// # Errors
/// `WriteZero` where it does not take all of them, `EAGAIN` where none.
pub fn send_now(socket: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = rustix::io::retry_on_intr(|| rustix::net::send(&socket, bytes, flags))?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_bytes_or_an_error() {
        use std::io::Read;
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        send_now(&ours, b"").unwrap();
        send_now(&ours, b"few").unwrap();
        let mut got = [0; 3];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"few");
        // More than it has room for: it never waits, and says that it did not take all.
        let kinds = [io::ErrorKind::WriteZero, io::ErrorKind::WouldBlock];
        let error = (0..64).find_map(|_| send_now(&ours, &vec![0; 1 << 20]).err()).unwrap();
        assert!(kinds.contains(&error.kind()), "{error}");
        drop(theirs);
        assert_eq!(send_now(&ours, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_was_read_is_taken() {
        use std::io::{Read, Write};
        let (mut ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(untaken(&ours).unwrap(), 0);
        ours.write_all(b"head").unwrap();
        assert!(untaken(&ours).unwrap() > 0);
        theirs.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(untaken(&ours).unwrap(), 0);
        let file = tempfile::tempfile().unwrap();
        assert_eq!(untaken(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }

    #[test]
    fn loopback_comes_up_in_a_new_namespace() {
        std::thread::spawn(|| {
            crate::process::unshare(libc::CLONE_NEWNET as u64).unwrap();
            let bind = || std::net::UdpSocket::bind("127.0.0.1:0").and_then(|s| s.connect("127.0.0.1:9"));
            assert!(bind().is_err());
            loopback_up().unwrap();
            bind().unwrap();
            assert_eq!(set_up("nolink").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        })
        .join()
        .unwrap();
    }
}
