//! Bodies: of answers, and of requests that are read by blocking code.

use super::limits;
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::io::{self, BufRead, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// All at once.
    Full(Option<Bytes>),
    /// As it comes; the sender's end ends it, and a reader that goes away closes the channel.
    Stream(mpsc::Receiver<Bytes>),
    /// As [`Self::Stream`], after a first piece that came already; an error breaks the connection, so that nobody takes what came for the whole.
    Fallible { first: Option<Vec<u8>>, rest: Pieces },
}

/// What comes out of work that may fail on the way. The channel's end is that of the whole.
pub(crate) type Pieces = mpsc::Receiver<Piece>;

/// One of them.
pub(crate) type Piece = Result<Vec<u8>, dhow_engine::Error>;

impl Body {
    /// An archive on its way out.
    pub(crate) fn fallible(rest: Pieces) -> Self {
        Self::Fallible { first: None, rest }
    }
    pub(crate) fn empty() -> Self {
        Self::Full(None)
    }
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()))
    }
    pub(crate) fn stream() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, receiver) = mpsc::channel(limits::CHUNKS);
        (sender, Self::Stream(receiver))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(receiver) => receiver.poll_recv(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Fallible { first, rest } => match first.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes.into())))),
                None => rest.poll_recv(cx).map(|next| next.map(frame)),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Stream(_) | Self::Fallible { .. } => SizeHint::default(),
        }
    }
}

fn frame(piece: Piece) -> io::Result<Frame<Bytes>> {
    piece.map(|bytes| Frame::data(bytes.into())).map_err(|error| {
        tracing::error!(%error, "an answer was broken off");
        io::Error::other(error)
    })
}

/// A request's body. What nobody reads of it is read away, within bounds: a client that is still sending then finds the answer and not a
/// broken connection.
#[derive(Debug)]
pub(crate) struct Asked(Option<Incoming>);

impl From<Incoming> for Asked {
    fn from(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl HttpBody for Asked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(body) = self.0.take().filter(|body| !body.is_end_stream())
            && let Ok(here) = tokio::runtime::Handle::try_current()
        {
            here.spawn(tokio::time::timeout(limits::UNWANTED_TIME, read_away(body)));
        }
    }
}

async fn read_away(mut body: Incoming) {
    let mut unwanted = 0;
    while let Some(Ok(frame)) = body.frame().await {
        unwanted += frame.data_ref().map_or(0, Bytes::len);
        if unwanted > limits::UNWANTED {
            return;
        }
    }
}

/// A request's body as it comes, read by a task that ends with it, or when nobody wants more.
pub(crate) fn pieces(mut body: Asked) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, pieces) = mpsc::channel(limits::CHUNKS);
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            let piece = match frame.map(Frame::into_data) {
                Ok(Ok(bytes)) => Ok(Vec::from(bytes)),
                Ok(Err(_)) => continue,
                Err(error) => Err(io::Error::other(error)),
            };
            let failed = piece.is_err();
            if sender.send(piece).await.is_err() || failed {
                return;
            }
        }
    });
    pieces
}

/// A request's body as a blocking reader, fed by a task that reads the connection.
pub(crate) struct BlockingBody {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl BlockingBody {
    /// Starts reading. The task ends with the body, or when the reader is dropped.
    pub(crate) fn new(mut body: impl HttpBody<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static) -> Self {
        let (sender, chunks) = mpsc::channel(limits::CHUNKS);
        tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                let chunk = match frame {
                    Ok(frame) => match frame.into_data() {
                        Ok(bytes) => Ok(bytes),
                        Err(_) => continue,
                    },
                    Err(error) => Err(io::Error::other(error)),
                };
                let failed = chunk.is_err();
                if sender.send(chunk).await.is_err() || failed {
                    return;
                }
            }
        });
        Self { chunks, current: Bytes::new() }
    }
}

impl Read for BlockingBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let count = buffer.len().min(chunk.len());
        buffer[..count].copy_from_slice(&chunk[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// The chunks are lent as they came.
impl BufRead for BlockingBody {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count);
    }
}
