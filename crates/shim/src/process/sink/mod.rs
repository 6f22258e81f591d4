//! Log drivers that are no files: entries go to the journal or to a syslog daemon.
//!
//! Everything happens in the shim's one loop. What the receiver does not take at once waits here: in blocking mode the container is not
//! read any further meanwhile (so its pipe fills, and it waits), in non-blocking mode what exceeds the buffer is dropped. TLS is spoken by a
//! process of its own.

mod journal;
mod link;
mod syslog;
#[cfg(test)]
mod tests;
mod tls;

use super::poll::Poll;
use crate::config::sink::{Address, SinkConfig, Target};
use crate::frame::Stream;
use crate::log::split::{Ending, Splitter};
use link::{Link, Sent};
use rustix::event::epoll::EventFlags;
use std::collections::VecDeque;
use std::io;

/// Bytes that wait at most where the container is to wait instead: more than reads of both outputs become.
const MOST: usize = 16 * 1024 * 1024;
/// Room that is kept while nothing is sent.
const KEPT: usize = 8 * 1024;

/// One line of output, or a piece of a long one.
#[derive(Debug)]
struct Entry {
    stream: Stream,
    /// Nanoseconds since 1970.
    time: i64,
    part: Option<Part>,
    text: Vec<u8>,
}

/// Which piece of a line that is longer than an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// The same for all pieces of one line.
    line: u64,
    /// Counts from 1.
    ordinal: u32,
    last: bool,
}

/// How an entry is said.
#[derive(Debug)]
enum Encoder {
    Journal(journal::Encoder),
    Syslog(syslog::Encoder),
}

/// A receiver and what waits for it.
#[derive(Debug)]
pub(crate) struct Sink {
    encoder: Encoder,
    link: Link,
    splitters: [Splitter; 2],
    /// Lines of which pieces were sent.
    open: [Option<(u64, u32)>; 2],
    /// Counts long lines.
    lines: u64,
    queue: VecDeque<Entry>,
    /// What the queue holds.
    bytes: usize,
    /// The first of the queue as it is said, and how much of that was sent.
    message: Vec<u8>,
    sent: usize,
    buffer: Option<usize>,
    /// What went wrong and was not told yet.
    error: Option<io::Error>,
    /// It was told that the receiver cannot be reached, or is behind.
    complained: bool,
}

impl Sink {
    /// Reaches the receiver.
    ///
    /// # Errors
    /// It cannot be reached.
    pub(crate) fn open(poll: &Poll, config: &SinkConfig) -> io::Result<Self> {
        let (encoder, link) = match &config.target {
            Target::Journal { socket, fields } => (Encoder::Journal(journal::Encoder::new(fields)), Link::journal(poll, socket)?),
            Target::Syslog { address, format, facility, tag } => {
                let framed = matches!(address, Address::TcpTls(..));
                (Encoder::Syslog(syslog::Encoder::new(*format, *facility, tag, framed)), Link::syslog(poll, address)?)
            }
        };
        Ok(Self {
            encoder,
            link,
            splitters: Default::default(),
            open: [None; 2],
            lines: 0,
            queue: VecDeque::new(),
            bytes: 0,
            message: Vec::new(),
            sent: 0,
            buffer: config.buffer.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            error: None,
            complained: false,
        })
    }

    /// Sends all finished lines of `chunk`, or keeps them until the receiver takes them.
    pub(crate) fn append(&mut self, stream: Stream, chunk: &[u8], now: i64) {
        self.cut(stream, |splitter, emit| splitter.feed(chunk, now, |piece, ending, time| emit(piece, ending == Ending::Newline, time)));
    }

    /// A stream has ended: sends its unfinished line.
    pub(crate) fn end(&mut self, stream: Stream, now: i64) {
        self.cut(stream, |splitter, emit| splitter.end(now, |piece, _, time| emit(piece, true, time)));
    }

    fn cut(&mut self, stream: Stream, split: impl FnOnce(&mut Splitter, &mut dyn FnMut(&[u8], bool, i64))) {
        let mut splitter = std::mem::take(&mut self.splitters[stream.index()]);
        split(&mut splitter, &mut |piece, last, time| self.push(stream, piece, last, time));
        self.splitters[stream.index()] = splitter;
        self.pump();
    }

    fn push(&mut self, stream: Stream, piece: &[u8], last: bool, time: i64) {
        let part = self.part(stream, last);
        // As with Docker: a syslog daemon is not sent empty lines.
        if piece.is_empty() && matches!(self.encoder, Encoder::Syslog(_)) {
            return;
        }
        let size = weight(piece);
        if self.is_full(size) {
            self.pump();
        }
        if self.is_full(size) {
            return self.complain(io::Error::other(format!("{}: it is behind, and messages are dropped", self.link.name())));
        }
        self.bytes += size;
        self.queue.push_back(Entry { stream, time, part, text: piece.to_vec() });
    }

    fn part(&mut self, stream: Stream, last: bool) -> Option<Part> {
        let open = &mut self.open[stream.index()];
        let part = match open.take() {
            None if last => return None,
            None => {
                self.lines += 1;
                Part { line: self.lines, ordinal: 1, last }
            }
            Some((line, ordinal)) => Part { line, ordinal: ordinal.saturating_add(1), last },
        };
        *open = (!last).then_some((part.line, part.ordinal));
        Some(part)
    }

    /// One entry is always taken, however small the buffer.
    fn is_full(&self, size: usize) -> bool {
        !self.queue.is_empty() && self.bytes.saturating_add(size) > self.buffer.unwrap_or(MOST)
    }

    /// Sends what waits, as much as the receiver takes. One that was lost is looked for once; if it stays away, what waits is lost too.
    fn pump(&mut self) {
        let (mut again, mut taken) = (true, false);
        while let Some(entry) = self.queue.front() {
            if self.message.is_empty() {
                match &self.encoder {
                    Encoder::Journal(encoder) => encoder.write(&mut self.message, entry),
                    Encoder::Syslog(encoder) => encoder.write(&mut self.message, entry),
                }
            }
            match self.link.send(self.message.get(self.sent..).unwrap_or_default()) {
                Ok(Sent::All) => {
                    self.pop();
                    (again, taken) = (true, true);
                }
                Ok(Sent::Some(count)) => self.sent += count,
                Ok(Sent::Later) => return,
                // What no datagram holds is lost; the others are not.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                    self.pop();
                    self.complain(error);
                }
                // A message that was cut off is said anew on the next connection.
                Err(_) if again => (again, self.sent) = (false, 0),
                Err(error) => {
                    self.clear();
                    return self.complain(error);
                }
            }
        }
        self.complained &= !taken;
    }

    fn pop(&mut self) {
        if let Some(entry) = self.queue.pop_front() {
            self.bytes -= weight(&entry.text);
        }
        self.message.clear();
        self.sent = 0;
    }

    fn clear(&mut self) {
        self.queue.clear();
        self.message.clear();
        (self.bytes, self.sent) = (0, 0);
    }

    fn complain(&mut self, error: io::Error) {
        if !self.complained {
            self.complained = true;
            self.error = Some(error);
        }
    }

    /// What went wrong since it was last asked.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Whether the container is to wait.
    pub(crate) fn holds_back(&self) -> bool {
        self.buffer.is_none() && self.is_behind()
    }

    /// Whether anything waits for the receiver.
    pub(crate) fn is_behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Something is to be seen at its socket.
    pub(crate) fn ready(&mut self, flags: EventFlags) {
        if let Err(error) = self.link.ready(flags) {
            self.clear();
            self.complain(error);
        }
        if !self.link.is_up() {
            self.sent = 0;
        }
        self.pump();
    }

    /// Watches the socket for what is useful now.
    pub(crate) fn arm(&mut self) -> io::Result<()> {
        self.link.arm(!self.queue.is_empty())
    }

    /// Whether it holds memory that [`Sink::rest`] gives back.
    pub(crate) fn is_large(&self) -> bool {
        self.message.capacity() > KEPT || self.queue.capacity() * size_of::<Entry>() > KEPT
    }

    /// Nothing was sent for a while.
    pub(crate) fn rest(&mut self) {
        self.message.shrink_to(KEPT);
        self.queue.shrink_to(KEPT / size_of::<Entry>());
    }
}

/// What an entry costs while it waits.
fn weight(text: &[u8]) -> usize {
    text.len() + size_of::<Entry>()
}
