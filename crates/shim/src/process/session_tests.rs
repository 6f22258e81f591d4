//! The session with pipes and sockets in place of a container.

use super::poll::{Poll, Token};
use super::session::{Ends, Session};
use crate::config::{AttachConfig, LogConfig};
use crate::frame::Stream;
use crate::log::Log;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A session, its poll, and the process's ends of the pipes.
struct Stage {
    poll: Poll,
    session: Session,
    stdin: PipeReader,
    stdout: Option<PipeWriter>,
    stderr: Option<PipeWriter>,
    scratch: Vec<u8>,
    next: u32,
    detached: bool,
}

fn log(dir: &Path) -> Log {
    let config = LogConfig { path: dir.join("log"), max_size: 0, max_file: 1, compress: false, attrs: Default::default() };
    Log::open(&config).unwrap()
}

impl Stage {
    fn new(tty: bool, once: bool, log: Option<Log>) -> Self {
        let poll = Poll::new().unwrap();
        let (stdin, in_writer) = std::io::pipe().unwrap();
        let (out_reader, stdout) = std::io::pipe().unwrap();
        let (err_reader, stderr) = std::io::pipe().unwrap();
        let ours = |fd: OwnedFd| {
            rustix::io::ioctl_fionbio(&fd, true).unwrap();
            Some(fd)
        };
        let ends = Ends { stdin: ours(in_writer.into()), stdout: ours(out_reader.into()), stderr: ours(err_reader.into()), console: None };
        let session = Session::new(&poll, 0, ends, tty, once, log);
        Self { poll, session, stdin, stdout: Some(stdout), stderr: Some(stderr), scratch: Vec::new(), next: 0, detached: false }
    }

    fn attach(&mut self, config: AttachConfig) -> UnixStream {
        let (theirs, ours) = UnixStream::pair().unwrap();
        self.next += 1;
        self.detached |= self.session.attach(ours.into(), self.next, config);
        theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        theirs
    }

    /// Handles events until none is left. Fails if that never happens: something spins.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.session.arm().unwrap();
            let ready = self.poll.wait(Some(Duration::ZERO)).unwrap();
            if ready.is_empty() {
                return;
            }
            for ready in ready {
                match ready.token {
                    Token::Input(_) => self.session.input(ready.flags),
                    Token::Stdout(_) => self.session.output(Stream::Stdout, &mut self.scratch, 1),
                    Token::Stderr(_) => self.session.output(Stream::Stderr, &mut self.scratch, 1),
                    Token::Client(number) => self.detached |= self.session.client(number, ready.flags),
                    token => panic!("{token:?}"),
                }
            }
        }
        panic!("events without end");
    }

    fn out(&mut self, bytes: &[u8]) {
        self.stdout.as_mut().unwrap().write_all(bytes).unwrap();
        self.settle();
    }

    fn err(&mut self, bytes: &[u8]) {
        self.stderr.as_mut().unwrap().write_all(bytes).unwrap();
        self.settle();
    }

    /// The process ends.
    fn end(&mut self) {
        self.stdout = None;
        self.stderr = None;
        assert!(self.session.drain(&mut self.scratch, 2));
        self.session.end_outputs(2);
        self.session.finish();
        self.settle();
    }

    /// What the process can read now.
    fn typed(&mut self) -> Vec<u8> {
        rustix::io::ioctl_fionbio(&self.stdin, true).unwrap();
        let mut got = Vec::new();
        let _ = self.stdin.read_to_end(&mut got);
        got
    }

    /// Whether the process sees the end of its input.
    fn input_ended(&mut self) -> bool {
        rustix::io::ioctl_fionbio(&self.stdin, true).unwrap();
        matches!(self.stdin.read(&mut [0; 1]), Ok(0))
    }
}

fn all() -> AttachConfig {
    AttachConfig { stdin: true, stdout: true, stderr: true, stream: true, ..AttachConfig::default() }
}

fn rest(mut client: UnixStream) -> Vec<u8> {
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    got
}

fn have(client: &mut UnixStream) -> Vec<u8> {
    let mut got = vec![0; 65536];
    client.set_nonblocking(true).unwrap();
    let read = client.read(&mut got).unwrap_or(0);
    client.set_nonblocking(false).unwrap();
    got.truncate(read);
    got
}

#[test]
fn two_clients_one_framed_get_all_of_it_and_then_the_end() {
    let mut stage = Stage::new(false, false, None);
    let raw = stage.attach(all());
    let framed = stage.attach(AttachConfig { framed: true, ..all() });
    let errors = stage.attach(AttachConfig { stdout: false, ..all() });
    stage.out(b"one\n");
    stage.err(b"two");
    stage.stdout.as_mut().unwrap().write_all(b"three").unwrap();
    stage.end();
    assert_eq!(rest(raw), b"one\ntwothree");
    assert_eq!(rest(framed), b"\x01\0\0\0\0\0\0\x04one\n\x02\0\0\0\0\0\0\x03two\x01\0\0\0\0\0\0\x05three");
    assert_eq!(rest(errors), b"two");
    assert!(!stage.session.has_clients());
}

#[test]
fn a_slow_client_holds_back_and_loses_nothing() {
    let mut stage = Stage::new(false, false, None);
    let slow = stage.attach(all());
    let chunk = vec![b'x'; 4096];
    rustix::io::ioctl_fionbio(stage.stdout.as_ref().unwrap(), true).unwrap();
    let mut written = 0;
    let mut idle = 0;
    while idle < 3 {
        match stage.stdout.as_mut().unwrap().write(&chunk) {
            Ok(n) => (written, idle) = (written + n, 0),
            Err(_) => idle += 1,
        }
        stage.settle();
    }
    assert!(written < 1_000_000, "the process is held back");
    let reader = std::thread::spawn(move || rest(slow).len());
    for _ in 0..200 {
        stage.settle();
        std::thread::sleep(Duration::from_millis(1));
    }
    stage.end();
    while stage.session.has_clients() {
        stage.settle();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(reader.join().unwrap(), written);
}

#[test]
fn the_end_does_not_wait_for_a_slow_client() {
    let mut stage = Stage::new(false, false, None);
    let slow = stage.attach(all());
    rustix::io::ioctl_fionbio(stage.stdout.as_ref().unwrap(), true).unwrap();
    let mut written = 0;
    for _ in 0..400 {
        written += stage.stdout.as_mut().unwrap().write(&[b'y'; 4096]).unwrap_or(0);
        stage.settle();
    }
    stage.end();
    assert!(stage.session.has_clients());
    let reader = std::thread::spawn(move || rest(slow).len());
    while stage.session.has_clients() {
        stage.settle();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(reader.join().unwrap(), written);
}

#[test]
fn a_dead_client_is_dropped_and_harms_nobody() {
    let mut stage = Stage::new(false, false, None);
    let mut good = stage.attach(all());
    let dead = stage.attach(AttachConfig { stdin: false, ..all() });
    let typing = stage.attach(AttachConfig { stdin: true, ..all() });
    drop((dead, typing));
    stage.settle();
    stage.out(b"on");
    assert_eq!(have(&mut good), b"on");
    good.write_all(b"hi").unwrap();
    stage.settle();
    assert_eq!(stage.typed(), b"hi");
    drop(good);
    stage.settle();
    assert!(!stage.session.has_clients());
    assert!(!stage.input_ended());
}

#[test]
fn half_close_ends_the_input_only_once() {
    let half = |client: &UnixStream| client.shutdown(std::net::Shutdown::Write).unwrap();
    // stdin_once: the process sees the end, the client still its output.
    let mut stage = Stage::new(false, true, None);
    let mut client = stage.attach(all());
    client.write_all(b"last").unwrap();
    half(&client);
    stage.settle();
    assert_eq!(stage.typed(), b"last");
    assert!(stage.input_ended());
    stage.out(b"out");
    assert_eq!(have(&mut client), b"out");
    stage.end();
    assert_eq!(rest(client), b"");

    // Without it the input stays open and the attachment ends, as in Docker.
    let mut stage = Stage::new(false, false, None);
    let client = stage.attach(all());
    half(&client);
    stage.settle();
    assert!(!stage.input_ended());
    assert_eq!(rest(client), b"");

    // So it is with a terminal.
    let mut stage = Stage::new(true, true, None);
    let client = stage.attach(all());
    half(&client);
    stage.settle();
    assert!(!stage.input_ended());

    // A client that never types may close its half as it likes.
    let mut stage = Stage::new(false, true, None);
    let client = stage.attach(AttachConfig { stdin: false, ..all() });
    half(&client);
    stage.settle();
    stage.out(b"still");
    stage.end();
    assert!(!stage.typed().contains(&0));
    assert_eq!(rest(client), b"still");
}

#[test]
fn input_waits_for_the_process() {
    let mut stage = Stage::new(false, true, None);
    let client = stage.attach(all());
    let big: Vec<u8> = (0..400_000u32).map(|n| n as u8).collect();
    let sent = big.clone();
    let writer = std::thread::spawn(move || {
        let mut client = client;
        client.write_all(&sent).unwrap();
        client
    });
    let mut got = Vec::new();
    while got.len() < big.len() {
        stage.settle();
        got.extend(stage.typed());
    }
    drop(writer.join().unwrap());
    stage.settle();
    assert!(got == big);
    assert!(stage.input_ended());
}

#[test]
fn what_was_typed_before_a_hang_up_arrives() {
    let mut stage = Stage::new(false, true, None);
    let mut client = stage.attach(all());
    let big = vec![b'z'; 100_000];
    client.write_all(&big).unwrap();
    drop(client);
    let mut got = Vec::new();
    for _ in 0..100 {
        stage.settle();
        got.extend(stage.typed());
    }
    assert_eq!(got.len(), big.len());
    assert!(stage.input_ended());
    assert!(!stage.session.has_clients());
}

#[test]
fn early_input_and_a_process_that_reads_nothing() {
    let mut stage = Stage::new(false, true, None);
    let mut client = stage.attach(AttachConfig { early: b"early ".to_vec(), ..all() });
    client.write_all(b"bird").unwrap();
    stage.settle();
    assert_eq!(stage.typed(), b"early bird");
    let (closed, _) = std::io::pipe().unwrap();
    drop(std::mem::replace(&mut stage.stdin, closed));
    client.write_all(b"into the void").unwrap();
    stage.settle();
    client.write_all(b"again").unwrap();
    stage.settle();
    stage.out(b"alive");
    assert_eq!(have(&mut client), b"alive");
}

#[test]
fn detach_keys_work_with_a_terminal_only() {
    let keys = AttachConfig { detach_keys: vec![16, 17], ..all() };
    let mut stage = Stage::new(true, false, None);
    let mut client = stage.attach(keys.clone());
    client.write_all(b"ls\x10").unwrap();
    stage.settle();
    assert_eq!(stage.typed(), b"ls");
    client.write_all(b"\x11rest").unwrap();
    stage.settle();
    assert!(stage.detached);
    assert_eq!(stage.typed(), b"");
    assert_eq!(rest(client), b"");

    let mut stage = Stage::new(false, false, None);
    let mut client = stage.attach(keys.clone());
    client.write_all(b"\x10\x11").unwrap();
    stage.settle();
    assert!(!stage.detached);
    assert_eq!(stage.typed(), b"\x10\x11");

    let mut stage = Stage::new(true, false, None);
    stage.attach(AttachConfig { early: b"a\x10\x11".to_vec(), ..keys });
    assert!(stage.detached);
    assert_eq!(stage.typed(), b"a");
}

#[test]
fn replay_then_live_without_gap_or_duplicate() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(false, false, Some(log(dir.path())));
    let mut expect = Vec::new();
    for n in 0..3000 {
        let line = format!("line {n}\n");
        stage.out(line.as_bytes());
        expect.extend_from_slice(line.as_bytes());
    }
    stage.out(b"unfin");
    let client = stage.attach(AttachConfig { replay: true, ..all() });
    let reader = std::thread::spawn(move || rest(client));
    for n in 0..300 {
        let line = format!("ished {n}\n");
        stage.out(line.as_bytes());
        expect.extend_from_slice(if n == 0 { b"unfin" } else { b"" });
        expect.extend_from_slice(line.as_bytes());
    }
    stage.end();
    while stage.session.has_clients() {
        stage.settle();
    }
    let got = reader.join().unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), String::from_utf8(expect).unwrap());
}

#[test]
fn replay_alone_and_after_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(false, false, Some(log(dir.path())));
    stage.out(b"a\n");
    stage.err(b"b\n");
    let config = AttachConfig { replay: true, stream: false, framed: true, ..all() };
    let client = stage.attach(config.clone());
    stage.settle();
    assert_eq!(rest(client), b"\x01\0\0\0\0\0\0\x02a\n\x02\0\0\0\0\0\0\x02b\n");
    stage.end();
    let client = stage.attach(AttachConfig { stream: true, ..config });
    stage.settle();
    assert_eq!(rest(client).len(), 20);
    assert!(!stage.session.has_clients());
    let neither = stage.attach(AttachConfig { stream: false, ..all() });
    assert_eq!(rest(neither), b"");
}
