//! The connections of daemons: the one that was there at birth, and those that came through the listening socket.

use super::poll::{Poll, Token, Watched};
use crate::protocol::{FromShim, Outcome};
use dhow_sys::fdpass;
use rustix::event::epoll::EventFlags;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Most messages that wait for one daemon; one that reads nothing is dropped.
const QUEUE_MAX: usize = 256;
/// Most news kept while no daemon is there.
const BACKLOG_MAX: usize = 256;

#[derive(Debug)]
struct Peer {
    socket: Watched,
    queue: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
}

/// All connections. News goes to the newest; answers to whoever asked.
#[derive(Debug)]
pub(crate) struct Peers {
    poll: Poll,
    next: u32,
    peers: BTreeMap<u32, Peer>,
    backlog: VecDeque<Vec<u8>>,
}

impl Peers {
    /// None yet.
    pub(crate) fn new(poll: &Poll) -> Self {
        Self { poll: poll.clone(), next: 0, peers: BTreeMap::new(), backlog: VecDeque::new() }
    }

    /// A daemon connected: it is greeted and told what happened meanwhile.
    pub(crate) fn add(&mut self, socket: OwnedFd, greeting: &FromShim) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let socket = Watched::new(&self.poll, socket, Token::Peer(number));
        let queue = VecDeque::new();
        self.peers.insert(number, Peer { socket, queue });
        self.send(number, encode(greeting), None);
        for news in std::mem::take(&mut self.backlog) {
            self.send(number, news, None);
        }
        Ok(())
    }

    /// Whether nobody is connected.
    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Drops a connection.
    pub(crate) fn remove(&mut self, number: u32) {
        self.peers.remove(&number);
    }

    /// Closes all connections.
    pub(crate) fn clear(&mut self) {
        self.peers.values().for_each(|peer| discard_input(&peer.socket));
        self.peers.clear();
    }

    /// Answers a request.
    pub(crate) fn reply(&mut self, number: u32, seq: u64, outcome: Outcome, fd: Option<OwnedFd>) {
        self.send(number, encode(&FromShim::Reply { seq, outcome }), fd);
    }

    /// Tells the newest daemon. `keep` is for news that a later daemon cannot learn otherwise.
    pub(crate) fn announce(&mut self, news: &FromShim, keep: bool) {
        let body = encode(news);
        while let Some((&newest, _)) = self.peers.last_key_value() {
            if self.send(newest, body.clone(), None) {
                return;
            }
        }
        if keep && self.backlog.len() < BACKLOG_MAX {
            self.backlog.push_back(body);
        }
    }

    /// `false` if the connection was found dead.
    fn send(&mut self, number: u32, body: Vec<u8>, fd: Option<OwnedFd>) -> bool {
        let Some(peer) = self.peers.get_mut(&number) else { return false };
        peer.queue.push_back((body, fd));
        let alive = peer.flush().is_ok() && peer.queue.len() <= QUEUE_MAX;
        if !alive {
            self.peers.remove(&number);
        }
        alive
    }

    /// A connection can be written, or has ended.
    pub(crate) fn writable(&mut self, number: u32) {
        if let Some(peer) = self.peers.get_mut(&number)
            && peer.flush().is_err()
        {
            self.peers.remove(&number);
        }
    }

    /// The next message of a connection; `None` when there is none now, or it has ended.
    pub(crate) fn receive(&mut self, number: u32) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
        let peer = self.peers.get(&number)?;
        match fdpass::recv(&peer.socket) {
            Ok(Some(message)) => Some(message),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
            // The end, or something that is no message: not a daemon of ours.
            Ok(None) | Err(_) => {
                self.peers.remove(&number);
                None
            }
        }
    }

    /// Watches all connections for what is useful now.
    pub(crate) fn arm(&mut self) {
        let want = |peer: &Peer| match peer.queue.is_empty() {
            true => EventFlags::IN,
            false => EventFlags::IN | EventFlags::OUT,
        };
        self.peers.retain(|_, peer| {
            let flags = want(peer);
            peer.socket.arm(Some(flags)).is_ok()
        });
    }
}

impl Peer {
    fn flush(&mut self) -> io::Result<()> {
        while let Some((body, fd)) = self.queue.front() {
            let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
            match fdpass::send(&self.socket, body, &fds) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Reads away what a daemon has sent. Unread input at the close would reach it as a reset, which overtakes what we have sent.
pub(crate) fn discard_input(socket: impl AsFd) {
    let socket = socket.as_fd();
    if rustix::io::ioctl_fionbio(socket, true).is_ok() {
        while let Ok(Some(_)) = fdpass::recv(socket) {}
    }
}

/// Our own messages have only what JSON can express; the empty body that an error would leave is skipped by every reader.
pub(crate) fn encode(message: &FromShim) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_default()
}
