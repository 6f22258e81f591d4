//! The streams of one process, the container's first or an exec's: from its outputs to log and clients, from clients to its input.
//!
//! ```text
//!   stdout, stderr ──┬─> log          a client or a sink that is behind stops the reading, so the pipe fills and the process waits
//!   (or terminal)    ├─> sink
//!                    └─> clients
//!   clients ──> held (at most one read) ──> stdin (or terminal)
//! ```

use super::client::{Client, Typed};
use super::poll::{Poll, Token, Watched};
use super::sink::Sink;
use crate::config::AttachConfig;
use crate::frame::Stream;
use crate::health::Capture;
use crate::log::Log;
use crate::log::replay::Replay;
use rustix::event::epoll::EventFlags;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

/// Read at once from a process: what a pipe holds.
const READ: usize = 64 * 1024;
/// While an ended process is drained, reads of one output in one turn.
const DRAIN_READS: usize = 128;

/// Our ends of a process's streams. All non-blocking.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// Its input.
    pub(crate) stdin: Option<OwnedFd>,
    /// Its output, or everything of its terminal.
    pub(crate) stdout: Option<OwnedFd>,
    /// Its errors.
    pub(crate) stderr: Option<OwnedFd>,
    /// Its terminal, to be resized.
    pub(crate) console: Option<OwnedFd>,
}

/// The streams of one process.
#[derive(Debug)]
pub(crate) struct Session {
    poll: Poll,
    number: u32,
    stdin: Option<Watched>,
    outputs: [Option<Watched>; 2],
    console: Option<OwnedFd>,
    tty: bool,
    /// The end of a client's input is the end of the process's.
    once: bool,
    /// Input that the process has not taken yet.
    held: Vec<u8>,
    /// The input closes when nothing is held.
    input_ends: bool,
    log: Option<Log>,
    /// Where it goes besides the log.
    sink: Option<Box<Sink>>,
    /// The start of the output, for a probe.
    capture: Option<Box<Capture>>,
    clients: BTreeMap<u32, Client>,
    /// The process has ended: nobody is held back any more.
    draining: bool,
    /// There will be no more output.
    finished: bool,
    /// What went wrong with the log, told once.
    log_error: Option<io::Error>,
    log_failed: bool,
}

impl Session {
    /// The session of this number.
    pub(crate) fn new(poll: &Poll, number: u32, ends: Ends, tty: bool, once: bool, log: Option<Log>) -> Self {
        let watch = |fd: Option<OwnedFd>, token| fd.map(|fd| Watched::new(poll, fd, token));
        Self {
            poll: poll.clone(),
            number,
            stdin: watch(ends.stdin, Token::Input(number)),
            outputs: [watch(ends.stdout, Token::Stdout(number)), watch(ends.stderr, Token::Stderr(number))],
            console: ends.console,
            tty,
            once,
            held: Vec::new(),
            input_ends: false,
            log,
            sink: None,
            capture: None,
            clients: BTreeMap::new(),
            draining: false,
            finished: false,
            log_error: None,
            log_failed: false,
        }
    }

    /// Its number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Keeps the start of the output from now on.
    pub(crate) fn capture(&mut self) {
        self.capture = Some(Box::default());
    }

    /// Sends the output there from now on.
    pub(crate) fn send_to(&mut self, sink: Sink) {
        self.sink = Some(Box::new(sink));
    }

    /// Where the output goes besides the log.
    pub(crate) fn sink_mut(&mut self) -> Option<&mut Sink> {
        self.sink.as_deref_mut()
    }

    /// The start of the output.
    pub(crate) fn captured(self) -> String {
        self.capture.map(|capture| capture.text()).unwrap_or_default()
    }

    /// Its terminal.
    pub(crate) fn console(&self) -> Option<&OwnedFd> {
        self.console.as_ref()
    }

    /// Its log.
    pub(crate) fn log_mut(&mut self) -> Option<&mut Log> {
        self.log.as_mut()
    }

    /// Whether the log holds memory that it does not need while nothing is written.
    pub(crate) fn is_large(&self) -> bool {
        self.log.as_ref().is_some_and(Log::is_large) || self.sink.as_ref().is_some_and(|sink| sink.is_large())
    }

    /// Nothing was written for a while.
    pub(crate) fn rest(&mut self) {
        if let Some(log) = &mut self.log {
            log.rest();
        }
        if let Some(sink) = &mut self.sink {
            sink.rest();
        }
    }

    /// An error of the log that was not told yet.
    pub(crate) fn take_log_error(&mut self) -> Option<io::Error> {
        self.log_error.take().or_else(|| self.sink.as_mut().and_then(|sink| sink.take_error()))
    }

    /// Whether it has this client.
    pub(crate) fn has_client(&self, number: u32) -> bool {
        self.clients.contains_key(&number)
    }

    /// Whether any client is left.
    pub(crate) fn has_clients(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Whether somebody is still to be sent something.
    pub(crate) fn is_owing(&self) -> bool {
        self.has_clients() || self.sink.as_ref().is_some_and(|sink| sink.is_behind())
    }

    /// Attaches a client. `true` if its early input held the detach keys.
    pub(crate) fn attach(&mut self, socket: OwnedFd, number: u32, mut config: AttachConfig) -> bool {
        if !self.tty {
            config.detach_keys.clear();
        }
        let replay = self.log.as_ref().filter(|_| config.replay).map(Replay::new);
        let mut client = Client::new(&self.poll, socket, number, &config, replay);
        client.begin(self.log.as_ref());
        if self.finished {
            client.finish();
        }
        let early = (client.is_typing() && !config.early.is_empty()).then(|| client.typed(config.early));
        self.clients.insert(number, client);
        let detached = early.is_some_and(|typed| self.typed(number, typed));
        self.sweep();
        detached
    }

    /// An output is readable.
    pub(crate) fn output(&mut self, stream: Stream, scratch: &mut Vec<u8>, now: i64) {
        self.read(stream, scratch, now);
        self.sweep();
    }

    /// Reads once. `false` when there is nothing more for now.
    fn read(&mut self, stream: Stream, scratch: &mut Vec<u8>, now: i64) -> bool {
        let Some(output) = &self.outputs[stream.index()] else { return false };
        scratch.clear();
        scratch.reserve(READ);
        match rustix::io::read(output, rustix::buffer::spare_capacity(scratch)) {
            Ok(_) if !scratch.is_empty() => {
                self.deliver(stream, scratch, now);
                true
            }
            Err(rustix::io::Errno::INTR) => true,
            Err(rustix::io::Errno::AGAIN) => false,
            // End of a pipe; for a terminal EIO says that nobody has it open any more.
            Ok(_) | Err(_) => {
                self.end_output(stream, now);
                false
            }
        }
    }

    fn deliver(&mut self, stream: Stream, bytes: &[u8], now: i64) {
        if let Some(log) = &mut self.log {
            let written = log.append(stream, bytes, now);
            self.note(written);
        }
        if let Some(sink) = &mut self.sink {
            sink.append(stream, bytes, now);
        }
        if let Some(capture) = &mut self.capture {
            capture.take(bytes);
        }
        for client in self.clients.values_mut().filter(|client| client.follows(stream)) {
            client.send(stream, bytes);
        }
    }

    fn end_output(&mut self, stream: Stream, now: i64) {
        self.outputs[stream.index()] = None;
        if let Some(log) = &mut self.log {
            let written = log.end(stream, now);
            self.note(written);
        }
        if let Some(sink) = &mut self.sink {
            sink.end(stream, now);
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => self.log_failed = false,
            Err(error) if !self.log_failed => {
                self.log_failed = true;
                self.log_error = Some(error);
            }
            Err(_) => {}
        }
    }

    /// The process has ended: reads what is left without regard to slow clients. `true` once nobody can write any more.
    pub(crate) fn drain(&mut self, scratch: &mut Vec<u8>, now: i64) -> bool {
        self.draining = true;
        self.stdin = None;
        self.held = Vec::new();
        for stream in Stream::BOTH {
            for _ in 0..DRAIN_READS {
                if !self.read(stream, scratch, now) {
                    break;
                }
            }
        }
        self.sweep();
        self.outputs.iter().all(Option::is_none)
    }

    /// Takes no more output; what is unfinished goes to the log.
    pub(crate) fn end_outputs(&mut self, now: i64) {
        for stream in Stream::BOTH {
            if self.outputs[stream.index()].is_some() {
                self.end_output(stream, now);
            }
        }
        self.stdin = None;
        self.console = None;
    }

    /// Closes the clients as soon as they have all of the output; later ones after their replay.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
        self.clients.values_mut().for_each(Client::finish);
        self.sweep();
    }

    /// Drops a client as it is.
    pub(crate) fn drop_client(&mut self, number: u32) {
        self.clients.remove(&number);
    }

    /// The input takes bytes again, or nobody reads it any more.
    pub(crate) fn input(&mut self, flags: EventFlags) {
        if flags.contains(EventFlags::ERR) {
            self.close_input();
            return;
        }
        self.push_input();
    }

    fn push_input(&mut self) {
        while let Some(stdin) = self.stdin.as_ref().filter(|_| !self.held.is_empty()) {
            match rustix::io::write(stdin, &self.held) {
                Ok(n) => drop(self.held.drain(..n.min(self.held.len()))),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => return self.close_input(),
            }
        }
        self.held = Vec::new();
        if self.input_ends {
            self.close_input();
        }
    }

    fn close_input(&mut self) {
        self.stdin = None;
        self.held = Vec::new();
    }

    /// A client's socket has something. `true` if its input held the detach keys.
    pub(crate) fn client(&mut self, number: u32, flags: EventFlags) -> bool {
        let mut detached = false;
        if let Some(client) = self.clients.get_mut(&number) {
            if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
                client.hang_up();
            } else if flags.contains(EventFlags::OUT) {
                client.writable(self.log.as_ref());
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) && client.is_typing() && self.held.is_empty() {
                let typed = client.readable();
                detached = self.typed(number, typed);
            }
        }
        self.sweep();
        detached
    }

    fn typed(&mut self, number: u32, typed: Typed) -> bool {
        match typed {
            Typed::Bytes(bytes) => {
                self.take_input(bytes);
                false
            }
            Typed::Detached(bytes) => {
                self.take_input(bytes);
                self.finish_client(number);
                true
            }
            Typed::End => {
                if self.once && !self.tty {
                    self.input_ends = true;
                    self.push_input();
                } else {
                    // As in Docker: where the input stays open, a client that ends its own ends its attachment.
                    self.finish_client(number);
                }
                false
            }
        }
    }

    fn take_input(&mut self, bytes: Vec<u8>) {
        if self.stdin.is_some() && !self.input_ends {
            self.held.extend_from_slice(&bytes);
            self.push_input();
        }
    }

    fn finish_client(&mut self, number: u32) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.finish();
        }
    }

    fn sweep(&mut self) {
        self.clients.retain(|_, client| !client.is_gone());
    }

    /// Watches everything for what is useful now.
    pub(crate) fn arm(&mut self) -> io::Result<()> {
        if let Some(stdin) = &mut self.stdin {
            stdin.arm((!self.held.is_empty()).then_some(EventFlags::OUT))?;
        }
        for stream in Stream::BOTH {
            let behind = |client: &Client| client.follows(stream) && client.is_behind();
            let held_back = self.clients.values().any(behind) || self.sink.as_ref().is_some_and(|sink| sink.holds_back());
            let open = self.draining || !held_back;
            if let Some(output) = &mut self.outputs[stream.index()] {
                output.arm(open.then_some(EventFlags::IN))?;
            }
        }
        if let Some(sink) = &mut self.sink {
            sink.arm()?;
        }
        let input = self.held.is_empty();
        // What cannot be watched is no socket.
        self.clients.retain(|_, client| client.arm(input).is_ok());
        Ok(())
    }
}
