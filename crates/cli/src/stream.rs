//! An attached stream: the person's terminal or pipes on one side, a hijacked connection on the other.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use dhow_api::client::{Client, HijackReader, HijackWriter, Hijacked, Request};
use dhow_api::stream::{Demux, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::options::DetachKeys;
use crate::signals::{self, Caught};
use crate::terminal;

/// Writes up to this long never wait on a pipe that says it is writable.
const PIPE_BUF: usize = 4096;

/// What to connect.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Standard input goes in.
    pub(crate) stdin: bool,
    /// The container has a terminal: no frames, raw mode.
    pub(crate) tty: bool,
    /// Standard output comes out.
    pub(crate) stdout: bool,
    /// Standard error comes out.
    pub(crate) stderr: bool,
    /// What the person types to leave.
    pub(crate) detach: DetachKeys,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The other side closed it.
    Closed,
    /// The person typed the detach sequence.
    Detached,
}

/// Copies in both directions until the output ends or the person detaches.
pub(crate) async fn copy(stream: Hijacked, streams: Streams) -> Result<Ended, Error> {
    let raw = if streams.tty && streams.stdin && terminal::stdin_is_terminal() {
        Some(terminal::RawMode::enter().map_err(|error| Error::new(format!("cannot make the terminal raw: {error}")))?)
    } else {
        None
    };
    let output = copy_out(stream.reader, &streams);
    tokio::pin!(output);
    let outcome = if streams.stdin {
        let input = copy_in(stream.writer, &streams);
        tokio::pin!(input);
        tokio::select! {
            ended = &mut output => ended.map(|()| Ended::Closed),
            ended = &mut input => match ended {
                Ended::Detached => Ok(Ended::Detached),
                // The input's end is told to the container; what it says goes on.
                Ended::Closed => output.await.map(|()| Ended::Closed),
            },
        }
    } else {
        // Held open: closing the write side would look like a client that went away.
        let _held = stream.writer;
        output.await.map(|()| Ended::Closed)
    };
    drop(raw);
    outcome
}

/// Copies a stream while a container is started, and follows the terminal's size once it runs. The outer error is that it
/// did not start. A container may be done before its start is answered, so the answer always comes first.
pub(crate) async fn started(
    copying: impl Future<Output = Result<Ended, Error>>,
    start: impl Future<Output = Result<(), Error>>,
    size: impl Future<Output = ()>,
) -> Result<Result<Ended, Error>, Error> {
    tokio::pin!(copying, start, size);
    let mut early = None;
    loop {
        tokio::select! {
            outcome = &mut start => break outcome?,
            ended = &mut copying, if early.is_none() => early = Some(ended),
        }
    }
    if let Some(ended) = early {
        return Ok(ended);
    }
    let mut following = true;
    loop {
        tokio::select! {
            ended = &mut copying => return Ok(ended),
            () = &mut size, if following => following = false,
        }
    }
}

async fn copy_out(mut reader: HijackReader, streams: &Streams) -> Result<(), Error> {
    let mut sink = Sink::new(streams.tty, streams.stdout, streams.stderr);
    let mut buf = vec![0; 32 * 1024];
    loop {
        let count = reader.read_some(&mut buf).await?;
        if count == 0 {
            return Ok(());
        }
        sink.take(&buf[..count]).await?;
    }
}

/// The person's standard output and error. A reader that does not read must not keep the client from handling signals: what
/// would wait is written by another thread.
#[derive(Debug)]
pub(crate) struct Sink {
    /// None for a terminal's bytes, which have no frames.
    frames: Option<Demux>,
    stdout: bool,
    stderr: bool,
}

impl Sink {
    /// For a stream of a terminal or of frames, of which one or both outputs are shown.
    pub(crate) fn new(tty: bool, stdout: bool, stderr: bool) -> Self {
        Self { frames: (!tty).then(Demux::new), stdout, stderr }
    }

    /// Takes bytes as they came and writes what they carry.
    pub(crate) async fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(frames) = &mut self.frames else { return write(false, bytes).await };
        let mut rest = bytes;
        while let Some((stream, piece)) = frames.next(&mut rest).map_err(|error| Error::new(error.to_string()))? {
            match stream {
                Stream::SystemError => {
                    let text = String::from_utf8_lossy(piece).into_owned();
                    return Err(Error::new(format!("error from daemon in stream: {text}")));
                }
                Stream::Stdin | Stream::Stdout if self.stdout => write(false, piece).await?,
                Stream::Stderr if self.stderr => write(true, piece).await?,
                _ => {}
            }
        }
        Ok(())
    }
}

async fn write(to_stderr: bool, bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() <= PIPE_BUF && writable(to_stderr) {
        return write_now(to_stderr, bytes).map_err(Error::output);
    }
    let bytes = bytes.to_vec();
    let done = tokio::task::spawn_blocking(move || write_now(to_stderr, &bytes)).await;
    done.map_err(|error| Error::new(error.to_string()))?.map_err(Error::output)
}

fn writable(to_stderr: bool) -> bool {
    let (out, err) = (std::io::stdout(), std::io::stderr());
    let fd = if to_stderr { err.as_fd() } else { out.as_fd() };
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Writes past Rust's line buffer, which would cut what a program wrote in one piece.
fn write_now(to_stderr: bool, bytes: &[u8]) -> std::io::Result<()> {
    if to_stderr {
        return std::io::stderr().write_all(bytes);
    }
    let out = std::io::stdout();
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(out.as_fd(), rest) {
            Ok(count) => rest = &rest[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                poll(&mut [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn copy_in(mut writer: HijackWriter, streams: &Streams) -> Ended {
    let mut pieces = read_stdin();
    let mut keys = streams.detach.watch(streams.tty);
    while let Some(piece) = pieces.recv().await {
        let (bytes, detached) = keys.feed(&piece);
        if detached {
            return Ended::Detached;
        }
        if !bytes.is_empty() && writer.write_all(&bytes).await.is_err() {
            // Nobody reads any more. The output's end will say why.
            return Ended::Closed;
        }
    }
    // The other side may have closed first.
    let _closed_already = writer.close().await;
    Ended::Closed
}

/// Standard input, read by a thread: it may be anything, and making it non-blocking would change it for others that share
/// it. The thread is left behind when the process ends.
fn read_stdin() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(2);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buf = vec![0; 32 * 1024];
        loop {
            match stdin.read(&mut buf) {
                Ok(0) => return,
                Ok(count) => {
                    if sender.blocking_send(buf[..count].to_vec()).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    receiver
}

/// Tells a container's or exec's terminal the size of the person's terminal, now and whenever it changes. `path` is
/// `/containers/ID` or `/exec/ID`.
pub(crate) async fn follow_size(client: &Client, path: String) -> Infallible {
    // The terminal inside may not be there yet.
    for attempt in 1..=10 {
        if send_size(client, &path, 0).await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10 * attempt)).await;
    }
    let mut resizes = signals::resizes();
    loop {
        resizes.next().await;
        send_size(client, &path, 0).await;
    }
}

/// Tells a terminal a size that it does not have, so that the right one is a change.
pub(crate) async fn nudge_size(client: &Client, path: &str) {
    send_size(client, path, 1).await;
}

async fn send_size(client: &Client, path: &str, more: u16) -> bool {
    let Some((rows, columns)) = terminal::size_of_stdout() else { return true };
    if rows == 0 && columns == 0 {
        return true;
    }
    let (rows, columns) = (rows.saturating_add(more), columns.saturating_add(more));
    let request = Request::post(format!("{path}/resize")).query("h", rows.to_string()).query("w", columns.to_string());
    client.call(request).await.is_ok()
}

/// Passes caught signals on to a container as long as somebody waits.
pub(crate) async fn forward_signals(client: &Client, id: String, mut caught: Caught) -> Infallible {
    loop {
        let (_, name) = caught.next().await;
        let request = Request::post(format!("/containers/{id}/kill")).query("signal", name);
        // A container that does not run (yet, any more) has no use for it.
        let _not_running = client.call(request).await;
    }
}

/// With a raw terminal, a signal that ends the client must restore it first; the status is the shell's for that signal.
pub(crate) async fn end_on_signal() -> Error {
    let (number, _) = signals::catch_deadly().next().await;
    Error::Exit(128 + number)
}
