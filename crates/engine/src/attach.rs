//! Attaching clients: detach keys, and the logs of a container that does not run.

use crate::container::{Attach, Command, Slot, is_active};
use crate::engine::{AttachRequest, Client, LogRequest, Parts};
use crate::error::{Error, Kind, Result};
use crate::logs;
use crate::model::{Container, Status};
use dhow_shim::config::AttachConfig;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// ctrl-p, ctrl-q.
const DEFAULT_KEYS: [u8; 2] = [16, 17];
/// A client that takes nothing for this long loses the rest of the logs.
const WRITE_WAIT: Duration = Duration::from_secs(30);

/// The bytes behind `ctrl-p,ctrl-q`; the default where nothing is given.
pub(crate) fn detach_keys(text: Option<&str>) -> Result<Vec<u8>> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(DEFAULT_KEYS.to_vec()) };
    let bad = || Error::new(Kind::Invalid, format!("Invalid detach keys ({text}) provided"));
    text.split(',').map(|key| key_byte(key).ok_or_else(bad)).collect()
}

fn key_byte(key: &str) -> Option<u8> {
    if let [byte] = key.as_bytes() {
        return byte.is_ascii().then_some(*byte);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [letter @ b'A'..=b'Z'] => Some(letter - b'A' + 1),
        b"@" => Some(0),
        b"[" => Some(27),
        b"\\" => Some(28),
        b"]" => Some(29),
        b"^" => Some(30),
        b"_" => Some(31),
        _ => None,
    }
}

/// The other end of a client's socket has gone.
pub(crate) fn hung_up(client: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(client, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Checks that an attach is possible.
pub(crate) fn check(parts: &Parts, name: &str, request: &AttachRequest) -> Result<Arc<Container>> {
    detach_keys(request.detach_keys.as_deref())?;
    let container = parts.registry.get(name)?.get();
    match container.state.status {
        Status::Paused => Err(Error::new(Kind::Conflict, format!("container {name} is paused, unpause the container before attach"))),
        Status::Restarting => {
            Err(Error::new(Kind::Conflict, format!("container {name} is restarting, wait until the container is running")))
        }
        _ => Ok(container),
    }
}

/// Gives a client to a container. Its head is written in any case.
pub(crate) async fn attach(parts: &Arc<Parts>, name: &str, request: AttachRequest, mut client: Client) -> Result<()> {
    let found = check(parts, name, &request).and_then(|container| Ok((parts.registry.get(&container.id)?, container)));
    let (slot, container) = match found {
        Ok(found) => found,
        Err(error) => {
            client.greet().map_err(|e| Error::internal("answer a client of container", name, e))?;
            return Err(error);
        }
    };
    if !is_active(container.state.status) && !request.stream {
        client.greet().map_err(|e| Error::internal("answer a client of container", name, e))?;
        if request.logs {
            parts.background.spawn(replay(slot, request, client.socket));
        }
        return Ok(());
    }
    let config = AttachConfig {
        stdin: request.stdin && container.request.open_stdin,
        stdout: request.stdout,
        stderr: request.stderr,
        framed: !container.request.tty && !request.raw,
        detach_keys: if container.request.tty { detach_keys(request.detach_keys.as_deref())? } else { Vec::new() },
        early: std::mem::take(&mut client.early),
        replay: request.logs,
        stream: request.stream,
    };
    let attach = Attach { config, client };
    slot.ask(|reply| Command::Attach { attach, reply }).await
}

/// Sends the log of an ended container to a client, and lets it go.
async fn replay(slot: Arc<Slot>, request: AttachRequest, socket: OwnedFd) {
    let container = slot.get();
    let wanted = LogRequest { stdout: request.stdout, stderr: request.stderr, ..LogRequest::default() };
    let Ok(mut lines) = logs::read(&slot, wanted) else { return };
    while let Some(Ok(batch)) = lines.recv().await {
        for line in batch {
            let bytes = if container.request.tty || request.raw { line.text } else { frame(line.stream, &line.text) };
            if write_all(&socket, &bytes).await.is_err() {
                return;
            }
        }
    }
}

/// One of Docker's frames: stream, three zeros, length, payload.
pub(crate) fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(payload.len() + 8);
    out.extend_from_slice(&[stream, 0, 0, 0]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// Writes a few bytes to a client's socket without waiting; an error if it does not take all of them.
pub(crate) fn write_now(socket: &OwnedFd, bytes: &[u8]) -> std::io::Result<()> {
    use rustix::net::{SendFlags, send};
    if bytes.is_empty() {
        return Ok(());
    }
    let sent = rustix::io::retry_on_intr(|| send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT))?;
    if sent == bytes.len() { Ok(()) } else { Err(std::io::ErrorKind::WriteZero.into()) }
}

/// Writes to a client's socket, which may be non-blocking, without ever holding a thread.
pub(crate) async fn write_all(socket: &OwnedFd, mut bytes: &[u8]) -> std::io::Result<()> {
    use rustix::net::{SendFlags, send};
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let until = tokio::time::Instant::now() + WRITE_WAIT;
    while !bytes.is_empty() {
        match send(socket.as_fd(), bytes, flags) {
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) if tokio::time::Instant::now() < until => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let check = |text: Option<&str>, expect: Option<&[u8]>| match (detach_keys(text), expect) {
            (Ok(got), Some(want)) => assert_eq!(got, want),
            (Err(e), None) => assert_eq!(e.message, format!("Invalid detach keys ({}) provided", text.unwrap())),
            (got, want) => panic!("{got:?}, expected {want:?}"),
        };
        check(None, Some(&[16, 17]));
        check(Some(""), Some(&[16, 17]));
        check(Some("ctrl-a,x"), Some(&[1, b'x']));
        check(Some("ctrl-@,ctrl-[,ctrl-^,ctrl-_,ctrl-\\,ctrl-]"), Some(&[0, 27, 30, 31, 28, 29]));
        check(Some("ctrl-1"), None);
        check(Some("xy"), None);
        check(Some("a,,b"), None);
    }

    #[tokio::test]
    async fn a_gone_client_is_seen_and_a_present_one_is_written_to() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let ours = OwnedFd::from(ours);
        assert!(!hung_up(&ours));
        write_all(&ours, &frame(2, b"x\n")).await.unwrap();
        let mut got = [0u8; 10];
        std::io::Read::read_exact(&mut &theirs, &mut got).unwrap();
        assert_eq!(got, *b"\x02\0\0\0\0\0\0\x02x\n");
        drop(theirs);
        assert!(hung_up(&ours));
        assert!(write_all(&ours, b"x").await.is_err());
    }
}
