//! What a client is told before anything else, by whichever process comes to it first.

use rustix::pipe::PipeFlags;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Longest head. So much is written into a pipe, and read from it, as a whole.
const MOST: usize = 4096;

/// A few bytes in a pipe. Daemon and shim both have it: who takes them out writes them to the client, and the other one finds none. So they
/// are never written twice, and the daemon writes them for a shim that died before it took them.
#[derive(Debug)]
pub struct Head(OwnedFd);

impl Head {
    /// Puts them in.
    ///
    /// # Errors
    /// There are more than 4096, or the process has no descriptors left.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        if bytes.len() > MOST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // A new pipe has room for them, and with this end closed nobody waits for more.
        match rustix::io::retry_on_intr(|| rustix::io::write(&write, bytes))? {
            written if written == bytes.len() => Ok(Self(read)),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// For another process.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Writes them to the client's socket, if nobody has taken them yet. Waits for nobody.
    ///
    /// # Errors
    /// The client has gone, or does not take these few bytes. Nobody else will write them then.
    pub fn give(&self, socket: impl AsFd) -> io::Result<()> {
        let mut bytes = [0; MOST];
        let length = rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut bytes))?;
        dhow_sys::net::send_now(socket, bytes.get(..length).unwrap_or_default())
    }
}

impl From<OwnedFd> for Head {
    fn from(pipe: OwnedFd) -> Self {
        Self(pipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn it_is_given_once() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = OwnedFd::from(ours);
        let long = vec![b'x'; MOST];
        let head = Head::new(&long).unwrap();
        let other = Head::from(head.share().unwrap());
        std::thread::scope(|scope| {
            for head in [&head, &other] {
                scope.spawn(|| (0..10).for_each(|_| head.give(&ours).unwrap()));
            }
        });
        drop(ours);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).unwrap();
        assert_eq!(got, long);
    }

    #[test]
    fn what_is_too_long_or_has_nobody_to_go_to() {
        assert_eq!(Head::new(&[0; MOST + 1]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let head = Head::new(b"head").unwrap();
        assert_eq!(head.give(&ours).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        head.give(&ours).unwrap();
        Head::new(b"").unwrap().give(&ours).unwrap();
    }
}
