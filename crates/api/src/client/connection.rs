//! Opening a connection: a socket, perhaps with TLS, and the task that drives HTTP/1.1 over it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Body, Error, Host};

/// A connected socket of either kind.
#[derive(Debug)]
pub(super) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects and starts the connection's task on the current runtime.
pub(super) async fn open(host: &Host, tls: Option<&Arc<ClientConfig>>) -> Result<SendRequest<Body>, Error> {
    let failed = |source| Error::Connect { host: host.clone(), source };
    let socket = match host {
        Host::Unix(path) => Socket::Unix(UnixStream::connect(path).await.map_err(failed)?),
        Host::Tcp { host: name, port, .. } => {
            let stream = connect_tcp(name, *port).await.map_err(failed)?;
            // A keystroke must not wait for the answer to the last one.
            stream.set_nodelay(true).map_err(failed)?;
            match tls {
                Some(config) => Socket::Tls(Box::new(secure(name, stream, config.clone()).await.map_err(failed)?)),
                None => Socket::Tcp(stream),
            }
        }
    };
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(1024 * 1024)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(|source| Error::Handshake { host: host.clone(), source })?;
    tokio::spawn(async move {
        // What goes wrong reaches the request that is under way; an idle connection may just end.
        let _ended = connection.with_upgrades().await;
    });
    Ok(sender)
}

async fn secure(name: &str, stream: TcpStream, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}

async fn connect_tcp(name: &str, port: u16) -> io::Result<TcpStream> {
    if let Ok(address) = name.parse::<std::net::IpAddr>() {
        return TcpStream::connect((address, port)).await;
    }
    // A static program has no getaddrinfo to rely on: what can be known without a name server is known here.
    let mut last = None;
    for address in super::host::addresses_of(name)? {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("lookup {name}: no such host"))))
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    // What is sent in pieces need not be copied together.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
