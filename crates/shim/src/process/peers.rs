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
/// Most connections; of more the oldest is dropped.
const PEERS_MAX: usize = 16;
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
        if self.peers.len() >= PEERS_MAX {
            self.peers.pop_first();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Exit, State};

    fn greeting() -> FromShim {
        crate::process::greeting("x", State::Starting, None)
    }

    fn connect(peers: &mut Peers) -> OwnedFd {
        let (ours, theirs) = fdpass::pair().unwrap();
        peers.add(theirs, &greeting()).unwrap();
        ours
    }

    fn kinds(socket: &OwnedFd) -> Vec<String> {
        rustix::io::ioctl_fionbio(socket, true).unwrap();
        let mut all = Vec::new();
        while let Ok(Some((body, _))) = fdpass::recv(socket) {
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            all.push(value["kind"].as_str().unwrap().to_owned());
        }
        all
    }

    #[test]
    fn news_goes_to_the_newest_and_waits_for_somebody() {
        let mut peers = Peers::new(&Poll::new().unwrap());
        peers.announce(&FromShim::Oom, true);
        peers.announce(&FromShim::Exited(Exit { code: 0, at: 0, oom: false }), false);
        let first = connect(&mut peers);
        assert_eq!(kinds(&first), ["hello", "oom"]);
        let second = connect(&mut peers);
        peers.announce(&FromShim::Oom, true);
        assert_eq!((kinds(&first).len(), kinds(&second)), (0, vec!["hello".to_owned(), "oom".to_owned()]));
        drop(second);
        peers.announce(&FromShim::Oom, true);
        assert_eq!(kinds(&first), ["oom"]);
        drop(first);
        peers.announce(&FromShim::Detached { exec: None }, true);
        assert!(peers.is_empty());
        assert_eq!(kinds(&connect(&mut peers)), ["hello", "detached"]);
    }

    #[test]
    fn one_that_reads_nothing_is_dropped_and_too_many_are_not_kept() {
        let mut peers = Peers::new(&Poll::new().unwrap());
        let lazy = connect(&mut peers);
        for _ in 0..10_000 {
            peers.announce(&FromShim::Oom, false);
        }
        assert!(peers.is_empty());
        drop(lazy);
        let all: Vec<_> = (0..PEERS_MAX + 5).map(|_| connect(&mut peers)).collect();
        assert_eq!(peers.peers.len(), PEERS_MAX);
        peers.reply(u32::MAX, 1, Outcome::Ok, None);
        drop(all);
    }
}
