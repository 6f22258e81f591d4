//! A connection that stopped being HTTP: the raw stream of attach and exec.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::HeaderMap;
use hyper_util::rt::TokioIo;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};

use super::connection::Socket;
use super::{Error, Response};

/// Both directions of a hijacked connection.
#[derive(Debug)]
pub struct Hijacked {
    /// What the container says, framed unless [`Hijacked::raw`].
    pub reader: HijackReader,
    /// What the container hears.
    pub writer: HijackWriter,
    /// The engine says that the stream has no frames (a terminal).
    pub raw: bool,
    headers: HeaderMap,
}

/// What comes of a request that may take its connection over.
#[derive(Debug)]
pub enum Answer {
    /// It did.
    Stream(Hijacked),
    /// It did not.
    Plain(Response),
}

impl Hijacked {
    /// A header of the answer; None when absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The reading half.
#[derive(Debug)]
pub struct HijackReader {
    /// What came together with the answer's head.
    early: Bytes,
    socket: ReadHalf<Socket>,
}

/// The writing half.
#[derive(Debug)]
pub struct HijackWriter {
    socket: WriteHalf<Socket>,
}

pub(super) async fn take(answer: Response) -> Result<Hijacked, Error> {
    let raw = answer.header("content-type") == Some("application/vnd.docker.raw-stream");
    let broken = |source| Error::Broken { source };
    let headers = answer.headers().clone();
    let upgraded = hyper::upgrade::on(answer.into_inner()).await.map_err(broken)?;
    let Ok(parts) = upgraded.downcast::<TokioIo<Socket>>() else {
        // Connections are only ever opened over `Socket`.
        return Err(Error::Stream(io::Error::other("the connection is not a socket")));
    };
    let (reader, writer) = tokio::io::split(parts.io.into_inner());
    let (reader, writer) = (HijackReader { early: parts.read_buf, socket: reader }, HijackWriter { socket: writer });
    Ok(Hijacked { reader, writer, raw, headers })
}

impl AsyncRead for HijackReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.early.has_remaining() {
            let count = this.early.remaining().min(buf.remaining());
            buf.put_slice(&this.early[..count]);
            this.early.advance(count);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.socket).poll_read(cx, buf)
    }
}

impl HijackReader {
    /// Reads some bytes, 0 at the end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.read(buf).await.map_err(Error::Stream)
    }
}

impl HijackWriter {
    /// Writes everything.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.socket.write_all(bytes).await.map_err(Error::Stream)
    }

    /// Tells the engine that nothing more will come; reading goes on.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn close(&mut self) -> Result<(), Error> {
        self.socket.shutdown().await.map_err(Error::Stream)
    }
}
