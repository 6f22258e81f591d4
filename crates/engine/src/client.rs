//! Clients whose streams the engine was given: what they ask for, and the few bytes that it writes to them itself.

use dhow_sys::net::send_now;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// A client that takes nothing for this long loses the rest of the logs.
const WRITE_WAIT: Duration = Duration::from_secs(30);

/// A client's stream, taken over from the front end. The shim serves it; the front end must not touch it any more.
#[derive(Debug)]
pub struct Client {
    /// The socket.
    pub socket: OwnedFd,
    /// Input that was read with the request.
    pub early: Vec<u8>,
    /// What it is to read before anything else (HTTP's answer). The engine writes it when the client has its place, or when it has none: who
    /// has read it may start the container, and that start must not come before the client.
    pub head: Vec<u8>,
}

/// Longest wait for a client to read its head, and the time between two looks.
const HEAD_WAIT: Duration = Duration::from_millis(250);
const HEAD_LOOK: Duration = Duration::from_micros(100);

impl Client {
    /// Writes the head, once. Its socket is fresh: one that does not take these few bytes at once has not read its answers before.
    pub(crate) fn greet(&mut self) -> std::io::Result<()> {
        let head = std::mem::take(&mut self.head);
        send_now(&self.socket, &head)
    }

    /// Waits until the head was read, for a moment: a client that reads it together with the first bytes of the stream loses these where its
    /// HTTP library keeps what it read too far (docker-py). Programs that take long to start hide that, ours do not.
    pub(crate) async fn settled(&self) -> std::io::Result<()> {
        self.settled_within(HEAD_WAIT).await
    }

    async fn settled_within(&self, limit: Duration) -> std::io::Result<()> {
        if dhow_sys::net::untaken(&self.socket)? == 0 {
            return Ok(());
        }
        let socket = self.socket.try_clone()?;
        // Timers are too coarse for what takes a client some ten microseconds.
        let look = move || {
            let end = std::time::Instant::now() + limit;
            while std::time::Instant::now() < end && dhow_sys::net::untaken(&socket)? > 0 {
                std::thread::sleep(HEAD_LOOK);
            }
            Ok(())
        };
        tokio::task::spawn_blocking(look).await.map_err(std::io::Error::other)?
    }
}

/// The head of a client that is attached to be there when the container starts: it comes before what the program writes, and not sooner than it
/// must, since who reads it takes the processor from those that make the container. So the shim writes it, if it comes to that.
#[derive(Debug)]
pub struct Head {
    socket: OwnedFd,
    bytes: dhow_shim::head::Head,
}

impl Head {
    /// Takes it out of the client.
    ///
    /// # Errors
    /// The process has no descriptors left, or the head is very long. The client still has it then.
    pub fn of(client: &mut Client) -> std::io::Result<Arc<Self>> {
        let socket = client.socket.try_clone()?;
        let bytes = dhow_shim::head::Head::new(&client.head)?;
        client.head.clear();
        Ok(Arc::new(Self { socket, bytes }))
    }

    /// For the shim that serves the client. Without a descriptor for that it is written now.
    pub(crate) fn share(&self) -> Option<OwnedFd> {
        self.bytes.share().inspect_err(|_| self.write()).ok()
    }

    /// Writes it, if neither this was called before nor a shim did.
    pub fn write(&self) {
        if let Err(error) = self.bytes.give(&self.socket) {
            tracing::debug!(%error, "a client has gone before it was answered");
        }
    }
}

/// How a client attaches.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "Docker's query parameters by their names")]
pub struct AttachRequest {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub logs: bool,
    pub stream: bool,
    pub detach_keys: Option<String>,
    /// Without frames, whatever the container has.
    pub raw: bool,
}

/// How an exec is started.
#[derive(Debug, Default)]
pub struct ExecStart {
    /// Who sees its output; `None` when it is detached.
    pub client: Option<Client>,
    /// Height and width of its terminal.
    pub console_size: Option<(u16, u16)>,
    /// The client wants bytes as they come, not in frames. It is the start that says so, whether the exec has a terminal or not.
    pub raw: bool,
}

/// The other end of a client's socket has gone.
pub(crate) fn hung_up(client: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(client, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
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

    #[tokio::test]
    async fn a_head_is_read_before_anything_comes() {
        use std::io::Read;
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut client = Client { socket: ours.into(), early: Vec::new(), head: b"head".to_vec() };
        client.greet().unwrap();
        let reader = std::thread::spawn(move || theirs.read_exact(&mut [0; 4]).map(|()| theirs));
        client.settled_within(Duration::from_secs(30)).await.unwrap();
        assert_eq!(dhow_sys::net::untaken(&client.socket).unwrap(), 0);
        let _theirs = reader.join().unwrap().unwrap();
        // Who never reads is not waited for for ever.
        send_now(&client.socket, b"more").unwrap();
        client.settled_within(Duration::from_millis(1)).await.unwrap();
    }

    #[test]
    fn a_head_is_written_once() {
        use std::io::Read;
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut client = Client { socket: ours.into(), early: Vec::new(), head: b"head".to_vec() };
        let head = Head::of(&mut client).unwrap();
        client.greet().unwrap();
        send_now(&client.socket, b"<").unwrap();
        let shared = dhow_shim::head::Head::from(head.share().unwrap());
        head.write();
        shared.give(&client.socket).unwrap();
        head.write();
        send_now(&client.socket, b">").unwrap();
        drop((client, head));
        let mut got = String::new();
        theirs.read_to_string(&mut got).unwrap();
        assert_eq!(got, "<head>");
    }

    #[test]
    fn a_head_that_is_too_long_stays() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut client = Client { socket: ours.into(), early: Vec::new(), head: vec![b'x'; 5000] };
        assert!(Head::of(&mut client).is_err());
        assert_eq!(client.head.len(), 5000);
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
