//! The little that is needed of network interfaces before there is netlink.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::AsRawFd;

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

#[cfg(test)]
mod tests {
    use super::*;

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
