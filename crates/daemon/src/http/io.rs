//! A client's socket: unix, TCP, or TLS over it.

use super::limits;
use rustls::ServerConfig;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What every record of a TLS handshake begins with.
const HANDSHAKE: u8 = 0x16;
/// What a client gets that speaks plain HTTP where TLS is spoken.
const NOT_TLS: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// How long such a client may go on.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Either sort of stream.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// The process at the other end, where it is one of this machine that this one sees.
    pub(crate) fn peer(&self) -> Option<i32> {
        match self {
            Self::Unix(stream) => stream.peer_cred().ok()?.pid().filter(|pid| *pid > 0),
            Self::Tcp(_) | Self::Tls(_) => None,
        }
    }

    /// Takes the descriptor out of the runtime. It stays non-blocking: who gets it sets its own mode. What is encrypted stays here, and its
    /// plain text goes through a pair of sockets.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(match self {
            Self::Unix(stream) => stream.into_std()?.into(),
            Self::Tcp(stream) => stream.into_std()?.into(),
            Self::Tls(mut stream) => {
                let (mut ours, theirs) = UnixStream::pair()?;
                tokio::spawn(async move {
                    if let Err(error) = tokio::io::copy_bidirectional(&mut stream, &mut ours).await {
                        tracing::debug!(%error, "a client's TLS stream ended badly");
                    }
                });
                theirs.into_std()?.into()
            }
        })
    }

    /// Speaks TLS with a client that has just connected.
    ///
    /// # Errors
    /// It took too long, the client speaks something else, or its certificate is not one of ours.
    pub(crate) async fn secure(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let handshake = async {
            let mut first = [0_u8];
            if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
                stream.write_all(NOT_TLS).await?;
                stream.shutdown().await?;
                // A socket that is closed over what nobody read is reset, and the client would not read why.
                tokio::time::timeout(LAST_WORDS, tokio::io::copy(&mut stream.take(limits::HEAD as u64), &mut tokio::io::sink())).await.ok();
                return Err(io::Error::other("the client does not speak TLS"));
            }
            Ok(Self::Tls(Box::new(TlsAcceptor::from(config).accept(stream).await?)))
        };
        tokio::time::timeout(limits::IDLE, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Unix($stream) => $call,
            Socket::Tcp($stream) => $call,
            Socket::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
}
