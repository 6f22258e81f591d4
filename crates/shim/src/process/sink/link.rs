//! The socket that leads to a receiver: made, watched, lost, made anew. It never blocks but at the start.

use super::super::poll::{Poll, Token, Watched};
use super::tls;
use crate::config::sink::{Address, Place, Tls};
use dhow_runtime::{Failure, Step};
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where this machine's own syslog daemon listens.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];
/// How long the start waits for a connection.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// Room for one descriptor beside a message.
const CONTROL: usize = rustix::cmsg_space!(ScmRights(1));

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is sent.
    All,
    /// So many bytes of it are.
    Some(usize),
    /// The receiver takes nothing now.
    Later,
}

/// Where a socket may be connected to.
#[derive(Debug, Clone)]
enum Way {
    Path(PathBuf, SocketType),
    Net(SocketAddr, SocketType),
    /// Through a process that speaks TLS.
    Tls(Place, Tls),
}

/// A connected socket.
#[derive(Debug)]
struct Socket {
    fd: Watched,
    stream: bool,
    /// The connection is being made.
    connecting: bool,
    /// By somebody else, who tells what becomes of it.
    told: bool,
}

/// The way to one receiver.
#[derive(Debug)]
pub(super) struct Link {
    poll: Poll,
    name: String,
    ways: Vec<Way>,
    /// Of these, the one that is tried first.
    next: usize,
    /// What a datagram cannot hold is handed over in a file.
    by_file: bool,
    socket: Option<Socket>,
}

impl Link {
    /// To the journal.
    pub(super) fn journal(poll: &Poll, socket: &Path) -> io::Result<Self> {
        let mut link = Self::new(poll, "journald".into(), vec![Way::Path(socket.into(), SocketType::DGRAM)]);
        link.by_file = true;
        link.open().map_err(|_| io::Error::other("journald is not enabled on this host"))?;
        Ok(link)
    }

    /// To a syslog daemon.
    pub(super) fn syslog(poll: &Poll, address: &Address) -> io::Result<Self> {
        let net = |place: &Place, kind| place.addresses.iter().map(|address| Way::Net(*address, kind)).collect();
        let (name, ways) = match address {
            Address::Local => {
                let kinds = [SocketType::DGRAM, SocketType::STREAM];
                let all = kinds.iter().flat_map(|kind| LOCAL.map(|path| Way::Path(path.into(), *kind)));
                let mut link = Self::new(poll, "syslog".into(), all.collect());
                link.open().map_err(|_| io::Error::other("Unix syslog delivery error"))?;
                return Ok(link);
            }
            Address::Unix(path) => (format!("unix {}", path.display()), vec![Way::Path(path.clone(), SocketType::STREAM)]),
            Address::Unixgram(path) => (format!("unixgram {}", path.display()), vec![Way::Path(path.clone(), SocketType::DGRAM)]),
            Address::Udp(place) => (format!("udp {}", place.name), net(place, SocketType::DGRAM)),
            Address::Tcp(place) => (format!("tcp {}", place.name), net(place, SocketType::STREAM)),
            Address::TcpTls(place, tls) => (format!("tcp {}", place.name), vec![Way::Tls(place.clone(), tls.clone())]),
        };
        let mut link = Self::new(poll, format!("dial {name}"), ways);
        link.open()?;
        Ok(link)
    }

    fn new(poll: &Poll, name: String, ways: Vec<Way>) -> Self {
        Self { poll: poll.clone(), name, ways, next: 0, by_file: false, socket: None }
    }

    /// What it leads to, for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The first connection, which is waited for.
    fn open(&mut self) -> io::Result<()> {
        self.connect()?;
        let Some(socket) = self.socket.as_mut().filter(|socket| socket.connecting) else { return Ok(()) };
        let flags = if socket.told { PollFlags::IN } else { PollFlags::OUT };
        let mut fds = [PollFd::new(&socket.fd, flags)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&PATIENCE)))?;
        if socket.told && ready > 0 {
            socket.connecting = false;
            return tls::status(&socket.fd);
        }
        let failed = if ready == 0 { Err(Errno::TIMEDOUT) } else { rustix::net::sockopt::socket_error(&socket.fd)? };
        socket.connecting = false;
        failed.map_err(|error| self.say("connect", error))
    }

    /// Tries all ways once.
    fn connect(&mut self) -> io::Result<()> {
        let mut last = self.say("connect", Errno::DESTADDRREQ);
        for _ in 0..self.ways.len() {
            let way = self.ways[self.next % self.ways.len()].clone();
            match way.connect() {
                Ok((fd, connecting)) => {
                    let fd = Watched::new(&self.poll, fd, Token::Sink);
                    let told = matches!(way, Way::Tls(..));
                    self.socket = Some(Socket { fd, stream: way.kind() == SocketType::STREAM, connecting, told });
                    return Ok(());
                }
                Err(error) => last = self.say("connect", error),
            }
            self.next = (self.next + 1) % self.ways.len();
        }
        Err(last)
    }

    fn say(&self, call: &str, error: Errno) -> io::Error {
        io::Error::other(format!("{}: {call}: {}", self.name, Failure::io(Step::Io, "", error).message))
    }

    /// Sends (the rest of) a message. Without a connection one is made.
    ///
    /// # Errors
    /// `EMSGSIZE` where no datagram holds it; all else means that the connection is lost, and the next call tries another.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        if self.socket.is_none() {
            self.connect()?;
        }
        let Some(socket) = self.socket.as_ref().filter(|socket| !socket.connecting) else { return Ok(Sent::Later) };
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&socket.fd, bytes, flags));
        let sent = match sent {
            Err(Errno::MSGSIZE | Errno::NOBUFS) if self.by_file => by_file(&socket.fd, bytes, flags).map(|()| bytes.len()),
            sent => sent,
        };
        match sent {
            Ok(count) if count < bytes.len() && socket.stream => Ok(Sent::Some(count)),
            Ok(_) => Ok(Sent::All),
            Err(Errno::AGAIN) => Ok(Sent::Later),
            Err(Errno::MSGSIZE) => Err(Errno::MSGSIZE.into()),
            Err(error) => {
                self.socket = None;
                self.next += 1;
                Err(self.say("write", error))
            }
        }
    }

    /// Whether there is a connection, or one is being made.
    pub(super) fn is_up(&self) -> bool {
        self.socket.is_some()
    }

    /// Something is to be seen at the socket.
    ///
    /// # Errors
    /// The connection that was being made is refused.
    pub(super) fn ready(&mut self, flags: EventFlags) -> io::Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        if socket.connecting && socket.told {
            match tls::status(&socket.fd) {
                Ok(()) => socket.connecting = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.socket = None;
                    return Err(error);
                }
            }
        } else if socket.connecting {
            match rustix::net::sockopt::socket_error(&socket.fd) {
                Ok(Ok(())) => socket.connecting = false,
                Ok(Err(error)) | Err(error) => {
                    self.socket = None;
                    self.next += 1;
                    return Err(self.say("connect", error));
                }
            }
        } else if socket.stream && flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            // Nothing of what it says is of interest but its end.
            let mut buffer = [0; 512];
            match rustix::net::recv(&socket.fd, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => self.socket = None,
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.socket = None,
            }
        } else if flags.contains(EventFlags::ERR) {
            // Takes the error of an earlier datagram off the socket, which would be told again and again.
            let _ = rustix::net::sockopt::socket_error(&socket.fd);
        }
        Ok(())
    }

    /// Watches for what is useful now; `waiting` tells whether there is something to send.
    pub(super) fn arm(&mut self, waiting: bool) -> io::Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let mut want = EventFlags::empty();
        let told = socket.connecting && socket.told;
        want.set(EventFlags::IN, socket.stream && (!socket.connecting || told));
        want.set(EventFlags::OUT, (waiting || socket.connecting) && !told);
        socket.fd.arm((!want.is_empty()).then_some(want))
    }
}

impl Way {
    fn kind(&self) -> SocketType {
        match self {
            Self::Path(_, kind) | Self::Net(_, kind) => *kind,
            Self::Tls(..) => SocketType::STREAM,
        }
    }

    /// A socket, and whether its connection is still being made.
    fn connect(&self) -> rustix::io::Result<(OwnedFd, bool)> {
        match self {
            Self::Path(path, kind) => connect(AddressFamily::UNIX, *kind, &SocketAddrUnix::new(path)?),
            Self::Net(address, kind) if address.is_ipv4() => connect(AddressFamily::INET, *kind, address),
            Self::Net(address, kind) => connect(AddressFamily::INET6, *kind, address),
            Self::Tls(place, how) => Ok((tls::start(place, how).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?, true)),
        }
    }
}

fn connect(family: AddressFamily, kind: SocketType, address: &impl SocketAddrArg) -> rustix::io::Result<(OwnedFd, bool)> {
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match rustix::net::connect(&socket, address) {
        Ok(()) => Ok((socket, false)),
        Err(Errno::INPROGRESS) => Ok((socket, true)),
        Err(error) => Err(error),
    }
}

/// Hands a message over as a sealed file.
fn by_file(socket: impl AsFd, bytes: &[u8], flags: SendFlags) -> rustix::io::Result<()> {
    let error = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let file = dhow_sys::sealed::bytes("journal-entry", bytes).map_err(error)?;
    let fds = [file.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); CONTROL];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(&socket, &[], &mut control, flags)).map(drop)
}
