//! epoll, and descriptors that remember what they are watched for.

use rustix::event::epoll::{self, EventData, EventFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

/// Most events taken in one turn.
const BATCH: usize = 16;

/// What a watched descriptor is. The number tells one of a kind from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// The signalfd.
    Signals,
    /// The listening socket.
    Listener,
    /// A daemon's connection.
    Peer(u32),
    /// The input of a session.
    Input(u32),
    /// The first output of a session.
    Stdout(u32),
    /// The second one.
    Stderr(u32),
    /// A client.
    Client(u32),
    /// The kernel's notice of memory events.
    Memory,
    /// A published port, or a connection to one.
    Relay(u32),
    /// The receiver of log entries.
    Sink,
}

impl Token {
    fn encode(self) -> u64 {
        let (kind, number) = match self {
            Self::Signals => (0, 0),
            Self::Listener => (1, 0),
            Self::Peer(n) => (2, n),
            Self::Input(n) => (3, n),
            Self::Stdout(n) => (4, n),
            Self::Stderr(n) => (5, n),
            Self::Client(n) => (6, n),
            Self::Memory => (7, 0),
            Self::Relay(n) => (8, n),
            Self::Sink => (9, 0),
        };
        kind << 32 | u64::from(number)
    }

    fn decode(raw: u64) -> Option<Self> {
        let number = raw as u32;
        Some(match raw >> 32 {
            0 => Self::Signals,
            1 => Self::Listener,
            2 => Self::Peer(number),
            3 => Self::Input(number),
            4 => Self::Stdout(number),
            5 => Self::Stderr(number),
            6 => Self::Client(number),
            7 => Self::Memory,
            8 => Self::Relay(number),
            9 => Self::Sink,
            _ => return None,
        })
    }
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// Of which descriptor.
    pub(crate) token: Token,
    /// What happened.
    pub(crate) flags: EventFlags,
}

/// An epoll instance, shared by all it watches.
#[derive(Debug, Clone)]
pub(crate) struct Poll(Rc<OwnedFd>);

impl Poll {
    /// A new one.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Rc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?)))
    }

    /// Waits for events, at most for `timeout`.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Ready>> {
        let mut raw: [std::mem::MaybeUninit<epoll::Event>; BATCH] = [const { std::mem::MaybeUninit::uninit() }; BATCH];
        let timeout = timeout.map(|t| rustix::event::Timespec {
            tv_sec: t.as_secs().min(i32::MAX as u64 / 1000) as i64,
            tv_nsec: i64::from(t.subsec_nanos()),
        });
        let events = match epoll::wait(&*self.0, &mut raw, timeout.as_ref()) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        let ready = |event: &epoll::Event| {
            let (data, flags) = (event.data, event.flags);
            Token::decode(data.u64()).map(|token| Ready { token, flags })
        };
        Ok(events.iter().filter_map(ready).collect())
    }
}

/// A descriptor and what it is watched for. Leaves the epoll instance before it closes: a copy in another process would keep it there.
#[derive(Debug)]
pub(crate) struct Watched<F: AsFd = OwnedFd> {
    fd: F,
    poll: Poll,
    token: Token,
    armed: Option<EventFlags>,
}

impl<F: AsFd> Watched<F> {
    /// Not watched yet.
    pub(crate) fn new(poll: &Poll, fd: F, token: Token) -> Self {
        Self { fd, poll: poll.clone(), token, armed: None }
    }

    /// Watches for `want` from now on (errors and hang-ups included, whatever it holds); `None` watches for nothing at all.
    pub(crate) fn arm(&mut self, want: Option<EventFlags>) -> io::Result<()> {
        if want == self.armed {
            return Ok(());
        }
        let data = EventData::new_u64(self.token.encode());
        match (self.armed, want) {
            (None, Some(flags)) => epoll::add(&*self.poll.0, &self.fd, data, flags)?,
            (Some(_), Some(flags)) => epoll::modify(&*self.poll.0, &self.fd, data, flags)?,
            (Some(_), None) => epoll::delete(&*self.poll.0, &self.fd)?,
            (None, None) => {}
        }
        self.armed = want;
        Ok(())
    }
}

impl<F: AsFd> std::ops::Deref for Watched<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.fd
    }
}

impl<F: AsFd> AsFd for Watched<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<F: AsFd> Drop for Watched<F> {
    fn drop(&mut self) {
        // Fails only if the descriptor is not there any more, which is what is wanted.
        let _ = self.arm(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive() {
        for token in [
            Token::Signals,
            Token::Listener,
            Token::Peer(7),
            Token::Input(0),
            Token::Stdout(u32::MAX),
            Token::Stderr(1),
            Token::Client(9),
            Token::Memory,
            Token::Relay(3),
            Token::Sink,
        ] {
            assert_eq!(Token::decode(token.encode()), Some(token));
        }
        assert_eq!(Token::decode(99 << 32), None);
    }

    #[test]
    fn armed_and_disarmed() {
        let poll = Poll::new().unwrap();
        let (r, w) = std::io::pipe().unwrap();
        let mut watched = Watched::new(&poll, OwnedFd::from(r), Token::Stdout(3));
        let zero = Some(Duration::ZERO);
        watched.arm(Some(EventFlags::IN)).unwrap();
        assert!(poll.wait(zero).unwrap().is_empty());
        rustix::io::write(&w, b"x").unwrap();
        assert_eq!(poll.wait(zero).unwrap()[0].token, Token::Stdout(3));
        watched.arm(None).unwrap();
        assert!(poll.wait(zero).unwrap().is_empty());
        watched.arm(Some(EventFlags::empty())).unwrap();
        drop(w);
        assert!(poll.wait(zero).unwrap()[0].flags.contains(EventFlags::HUP));
        let copy = rustix::io::dup(&watched).unwrap();
        drop(watched);
        assert!(poll.wait(zero).unwrap().is_empty());
        drop(copy);
    }
}
