//! The socket. It belongs to the network namespace in which it was opened, wherever its user goes.
//!
//! The kernel does all that a packet asks for before the sending call returns, and it tells of failures only: when nothing is there to be
//! read afterwards, everything was done.

use super::message::{Message, Reply, number, split};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::os::fd::OwnedFd;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const DUMP: u16 = 0x300;
/// Larger than any packet of the kernel's.
const ROOM: usize = 64 * 1024;

/// Which of several messages failed.
#[derive(Debug)]
pub struct Failed {
    /// By its place.
    pub index: usize,
    /// Why.
    pub error: io::Error,
}

/// A netlink socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    next: u32,
}

impl Socket {
    /// Links, addresses and routes.
    pub fn route() -> io::Result<Self> {
        Self::open(None, 0)
    }

    /// The packet filter.
    pub fn netfilter() -> io::Result<Self> {
        Self::open(Some(rustix::net::netlink::NETFILTER), 0)
    }

    /// News of these groups of the packet filter, a bit each.
    pub fn netfilter_news(groups: u32) -> io::Result<Self> {
        Self::open(Some(rustix::net::netlink::NETFILTER), groups)
    }

    /// Its number, by which the kernel tells who did something.
    pub fn port(&self) -> io::Result<u32> {
        let address = rustix::net::getsockname(&self.fd)?;
        Ok(SocketAddrNetlink::try_from(address)?.pid())
    }

    /// What has come unasked, without waiting. ENOBUFS where more came than there was room for.
    pub fn news(&mut self) -> io::Result<Vec<Reply>> {
        let mut found = Vec::new();
        let mut buffer = vec![0; ROOM];
        loop {
            match rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, length)) => found.extend(split(&buffer[..length])),
                Err(Errno::AGAIN) => return Ok(found),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn open(protocol: Option<Protocol>, groups: u32) -> io::Result<Self> {
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { fd, next: 1 })
    }

    /// Room for packets of this size, if the kernel allows it.
    pub fn make_room(&self, bytes: usize) {
        let force = rustix::net::sockopt::set_socket_send_buffer_size_force(&self.fd, bytes);
        if force.is_err() {
            // Without the right the usual limit stays, and a packet above it is refused when it is sent.
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(&self.fd, bytes);
        }
    }

    fn send(&mut self, messages: Vec<Message>) -> io::Result<u32> {
        let first = self.next;
        let mut packet = Vec::new();
        for message in messages {
            packet.extend(message.finish(self.next));
            self.next = self.next.wrapping_add(1).max(1);
        }
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&self.fd, &packet, SendFlags::empty()))?;
        if sent == packet.len() { Ok(first) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Does all of these, in order. Of route messages the kernel does those after a failed one too; a batch of nf_tables is done as a whole
    /// or not at all.
    pub fn run(&mut self, messages: Vec<Message>) -> Result<(), Failed> {
        let first = self.send(messages).map_err(|error| Failed { index: 0, error })?;
        let mut failed = None;
        for reply in self.drain().map_err(|error| Failed { index: 0, error })? {
            let code = number(&reply.body) as i32;
            if reply.kind == ERROR && code != 0 && failed.is_none() && reply.sequence >= first {
                failed = Some(Failed { index: (reply.sequence - first) as usize, error: io::Error::from_raw_os_error(-code) });
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Does one.
    pub fn one(&mut self, message: Message) -> io::Result<()> {
        self.run(vec![message]).map_err(|failed| failed.error)
    }

    /// Asks one thing: the first answer to it.
    pub fn get(&mut self, message: Message) -> io::Result<Reply> {
        self.send(vec![message])?;
        let mut all = self.drain()?.into_iter();
        match all.next() {
            Some(reply) if reply.kind == ERROR => Err(io::Error::from_raw_os_error(-(number(&reply.body) as i32))),
            Some(reply) => Ok(reply),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Asks for all of a kind.
    pub fn dump(&mut self, kind: u16, body: &[u8]) -> io::Result<Vec<Reply>> {
        let mut found = Vec::new();
        self.dump_each(kind, body, |reply| found.push(reply))?;
        Ok(found)
    }

    /// Asks for all of a kind, of which there may be very many.
    pub fn dump_each(&mut self, kind: u16, body: &[u8], mut each: impl FnMut(Reply)) -> io::Result<()> {
        self.send(vec![Message::new(kind, DUMP).body(body)])?;
        let mut buffer = vec![0; ROOM];
        loop {
            let length = receive(&self.fd, &mut buffer, RecvFlags::empty())?;
            for reply in split(&buffer[..length]) {
                match reply.kind {
                    DONE => return Ok(()),
                    ERROR => return Err(io::Error::from_raw_os_error(-(number(&reply.body) as i32))),
                    _ => each(reply),
                }
            }
        }
    }

    /// What has come.
    fn drain(&mut self) -> io::Result<Vec<Reply>> {
        let mut found = Vec::new();
        let mut buffer = Vec::new();
        loop {
            // The length first: mostly there is nothing, and then no buffer is needed.
            match receive(&self.fd, &mut [], RecvFlags::DONTWAIT | RecvFlags::PEEK | RecvFlags::TRUNC) {
                Ok(length) => buffer.resize(length, 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(found),
                Err(error) => return Err(error),
            }
            let length = receive(&self.fd, &mut buffer, RecvFlags::DONTWAIT)?;
            found.extend(split(&buffer[..length]));
        }
    }
}

impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn receive(fd: &OwnedFd, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    loop {
        match rustix::net::recv(fd, &mut *buffer, flags) {
            Ok((_, length)) => return Ok(length),
            Err(Errno::INTR) => {}
            // More was said than the socket had room for: what is left can still be read.
            Err(Errno::NOBUFS) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
