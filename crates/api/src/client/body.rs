//! What a request carries: nothing, bytes at hand, or a stream that is produced while it is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// Bytes that are read at once.
const PIECE: usize = 128 * 1024;

/// A piece whose memory goes back to its reader when it was sent.
struct Lent {
    room: Vec<u8>,
    count: usize,
    back: std::sync::mpsc::Sender<Vec<u8>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.room[..self.count]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // At the end nobody fills it any more.
        let _over = self.back.send(std::mem::take(&mut self.room));
    }
}

/// The body of a request.
#[derive(Debug)]
pub enum Body {
    /// No body.
    Empty,
    /// A body at hand; it can be sent again.
    Bytes(Bytes),
    /// A body that comes in pieces; it can be sent once.
    Stream(mpsc::Receiver<io::Result<Bytes>>),
}

/// Feeds a [`Body::Stream`]. Dropping it ends the body.
#[derive(Debug, Clone)]
pub struct BodySender(mpsc::Sender<io::Result<Bytes>>);

impl BodySender {
    /// Hands over a piece, waiting while too many are under way; false when nobody wants more. For a plain thread.
    pub fn blocking_send(&self, piece: io::Result<Bytes>) -> bool {
        self.0.blocking_send(piece).is_ok()
    }
}

impl Body {
    /// A streamed body with room for some pieces under way.
    pub fn channel() -> (BodySender, Self) {
        let (sender, receiver) = mpsc::channel(4);
        (BodySender(sender), Self::Stream(receiver))
    }

    /// Reads everything from a source on a thread of its own. Pieces that went out are filled again, so that a large file costs no memory but
    /// that of the pieces under way.
    pub fn from_reader(mut source: impl io::Read + Send + 'static) -> Self {
        let (sender, body) = Self::channel();
        let (back, empty) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            loop {
                let mut room: Vec<u8> = empty.try_recv().unwrap_or_else(|_| vec![0; PIECE]);
                let outcome = match source.read(&mut room) {
                    Ok(0) => return,
                    Ok(count) => Ok(Bytes::from_owner(Lent { room, count, back: back.clone() })),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = outcome.is_err();
                if !sender.blocking_send(outcome) || failed {
                    return;
                }
            }
        });
        body
    }

    pub(super) fn replayable(&self) -> bool {
        !matches!(self, Self::Stream(_))
    }

    /// The body for one sending: a copy where it can be sent again.
    pub(super) fn take(&mut self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Self::Stream(_) => std::mem::replace(self, Self::Empty),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(receiver) => receiver.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
