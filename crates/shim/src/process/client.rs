//! One attached client: what it is sent, what it types.

use super::poll::{Poll, Token, Watched};
use crate::config::AttachConfig;
use crate::detach::Matcher;
use crate::frame::{self, Stream};
use crate::log::Log;
use crate::log::replay::{Progress, Replay};
use rustix::event::epoll::EventFlags;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

/// Read at once from a client.
const READ: usize = 16 * 1024;
/// While a container runs a client that is behind holds it back; output that remains when it has ended is kept for the client up to this,
/// then the client is dropped.
const PENDING_MAX: usize = 4 * 1024 * 1024;
/// Chunks of replay in one turn.
const REPLAY_CHUNKS: usize = 8;

/// What a client's input brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Nothing new, or bytes to pass on.
    Bytes(Vec<u8>),
    /// Bytes, and then the detach keys.
    Detached(Vec<u8>),
    /// The client will send no more.
    End,
}

/// One client. It is served until [`Client::is_gone`].
#[derive(Debug)]
pub(crate) struct Client {
    socket: Watched,
    wants: [bool; 2],
    framed: bool,
    stream: bool,
    keys: Option<Matcher>,
    /// Its input is wanted and has not ended.
    typing: bool,
    /// It has closed its end; watched no more.
    hung_up: bool,
    replay: Option<Replay>,
    /// Bytes that its socket did not take yet.
    pending: Vec<u8>,
    /// To be closed once nothing is pending.
    closing: bool,
    gone: bool,
}

impl Client {
    /// A new client on `socket`. `replay` is where to begin in the log.
    pub(crate) fn new(poll: &Poll, socket: OwnedFd, number: u32, config: &AttachConfig, replay: Option<Replay>) -> Self {
        Self {
            socket: Watched::new(poll, socket, Token::Client(number)),
            wants: [config.stdout, config.stderr],
            framed: config.framed,
            stream: config.stream,
            keys: Matcher::new(&config.detach_keys),
            typing: config.stdin && config.stream,
            hung_up: false,
            replay,
            pending: Vec::new(),
            closing: false,
            gone: false,
        }
    }

    /// Done with, one way or the other.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether it is sent live output of this stream.
    pub(crate) fn follows(&self, stream: Stream) -> bool {
        !self.gone && !self.closing && self.replay.is_none() && self.wants[stream.index()]
    }

    /// Whether it has not yet taken what it was sent.
    pub(crate) fn is_behind(&self) -> bool {
        !self.gone && !self.pending.is_empty()
    }

    /// Whether it may type.
    pub(crate) fn is_typing(&self) -> bool {
        !self.gone && self.typing
    }

    /// Watches the socket for what is useful now; `input` tells whether the session can take what is typed.
    pub(crate) fn arm(&mut self, input: bool) -> io::Result<()> {
        let mut want = EventFlags::empty();
        want.set(EventFlags::IN, input && self.typing);
        want.set(EventFlags::OUT, !self.pending.is_empty() || self.replay.is_some());
        // A hang-up shows whatever is asked for, so nothing is asked for where it is known.
        let quiet = want.is_empty() && self.hung_up;
        self.socket.arm((!quiet && !self.gone).then_some(want))
    }

    /// Sends output, or keeps it until the socket takes it.
    pub(crate) fn send(&mut self, stream: Stream, bytes: &[u8]) {
        if self.gone || bytes.is_empty() {
            return;
        }
        let header = frame::header(stream, bytes.len());
        let header = if self.framed { header.as_slice() } else { &[] };
        let sent = if self.pending.is_empty() {
            match send(&self.socket, header, bytes) {
                Ok(sent) => sent,
                Err(rustix::io::Errno::AGAIN) => 0,
                Err(_) => return self.broken(),
            }
        } else {
            0
        };
        self.pending.extend_from_slice(header.get(sent..).unwrap_or_default());
        let body = bytes.get(sent.saturating_sub(header.len())..).unwrap_or_default();
        self.pending.extend_from_slice(body);
        if self.pending.len() > PENDING_MAX {
            self.gone = true;
        }
    }

    /// Its socket takes bytes again.
    pub(crate) fn writable(&mut self, log: Option<&Log>) {
        if !self.pending.is_empty() {
            match send(&self.socket, &[], &self.pending) {
                Ok(sent) if sent < self.pending.len() => drop(self.pending.drain(..sent)),
                Ok(_) => self.pending = Vec::new(),
                Err(rustix::io::Errno::AGAIN) => {}
                Err(_) => return self.broken(),
            }
        }
        self.continue_replay(log);
        self.close_if_done();
    }

    /// Sends more of the log, as much as the socket takes. At its end the client goes over to live output: what was read of an unfinished
    /// line is in no entry yet, and everybody else has it already.
    fn continue_replay(&mut self, log: Option<&Log>) {
        let Some(mut replay) = self.replay.take() else { return };
        let Some(log) = log else { return self.replayed() };
        for _ in 0..REPLAY_CHUNKS {
            if !self.pending.is_empty() || self.gone {
                break;
            }
            let mut entries = Vec::new();
            let step = replay.step(log, |stream, bytes| entries.push((stream, bytes.to_vec())));
            for (stream, bytes) in entries {
                if self.wants[stream.index()] {
                    self.send(stream, &bytes);
                }
            }
            match step {
                Ok(Progress::More) => {}
                // A log that cannot be read is no reason to withhold what comes now.
                Ok(Progress::CaughtUp) | Err(_) => {
                    for stream in Stream::BOTH {
                        if self.wants[stream.index()] {
                            self.send(stream, log.unfinished(stream));
                        }
                    }
                    return self.replayed();
                }
            }
        }
        self.replay = Some(replay);
    }

    fn replayed(&mut self) {
        self.replay = None;
        self.closing |= !self.stream;
    }

    /// Begins the replay, if there is one.
    pub(crate) fn begin(&mut self, log: Option<&Log>) {
        self.continue_replay(log);
        self.closing |= !self.stream && self.replay.is_none();
        self.close_if_done();
    }

    /// Reads what was typed.
    pub(crate) fn readable(&mut self) -> Typed {
        let mut buffer = Vec::with_capacity(READ);
        match rustix::net::recv(&self.socket, rustix::buffer::spare_capacity(&mut buffer), RecvFlags::DONTWAIT) {
            Ok(_) if buffer.is_empty() => self.typed_all(),
            Ok(_) => self.typed(buffer),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Typed::Bytes(Vec::new()),
            Err(_) => {
                self.broken();
                self.typed_all()
            }
        }
    }

    fn typed_all(&mut self) -> Typed {
        self.typing = false;
        self.gone |= self.hung_up;
        Typed::End
    }

    /// Passes input through the detach keys.
    pub(crate) fn typed(&mut self, bytes: Vec<u8>) -> Typed {
        let Some(keys) = &mut self.keys else { return Typed::Bytes(bytes) };
        let mut out = Vec::with_capacity(bytes.len());
        if keys.feed(&bytes, &mut out) {
            self.typing = false;
            return Typed::Detached(out);
        }
        Typed::Bytes(out)
    }

    /// The other end is closed. What it typed before may still be read.
    pub(crate) fn hang_up(&mut self) {
        self.hung_up = true;
        self.pending = Vec::new();
        self.replay = None;
        self.gone |= !self.typing;
    }

    fn broken(&mut self) {
        // Docker goes on reading from a client that takes no more output.
        self.wants = [false; 2];
        self.pending = Vec::new();
        self.replay = None;
        self.gone |= !self.typing || self.closing;
    }

    /// Closes the connection once all is sent.
    pub(crate) fn finish(&mut self) {
        self.typing = false;
        self.closing = true;
        self.close_if_done();
    }

    fn close_if_done(&mut self) {
        if self.closing && self.pending.is_empty() && self.replay.is_none() && !self.gone {
            self.gone = true;
            // Fails only where the other end is closed already.
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
            self.discard_input();
        }
    }

    /// Unread input at the close would be answered with a reset, which can overtake the last output.
    fn discard_input(&self) {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        for _ in 0..64 {
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

fn send(socket: &Watched, header: &[u8], body: &[u8]) -> rustix::io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    if header.is_empty() {
        return rustix::io::retry_on_intr(|| rustix::net::send(socket, body, flags));
    }
    let parts = [IoSlice::new(header), IoSlice::new(body)];
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket, &parts, &mut SendAncillaryBuffer::default(), flags))
}
