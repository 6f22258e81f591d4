//! Sockets to listen on.

use super::address::Address;
use super::connection::serve;
use super::io::Socket;
use super::limits;
use crate::app::App;
use crate::process::{activation, group};
use rustls::ServerConfig;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;

/// Longest path that fits into a socket's address, with its zero byte.
const PATH_MAX: usize = 107;
/// Why listening is impossible.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum ListenError {
    #[error("socket path {0} has more than {PATH_MAX} bytes")]
    TooLong(PathBuf),
    #[error("{0} is already served by another engine")]
    Live(PathBuf),
    #[error("can't create unix socket {0}: it exists and is not a socket")]
    NotASocket(PathBuf),
    #[error("{0}")]
    Activation(String),
    #[error("{step} {object}: {source}")]
    Io { step: &'static str, object: String, source: io::Error },
}

/// How sockets are made.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    /// Group of socket files.
    pub(crate) group: Option<u32>,
    /// What is on the network speaks TLS.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// A bound socket.
#[derive(Debug)]
pub(crate) enum Listener {
    /// The path is that of a file that we made and remove.
    Unix(UnixListener, Option<PathBuf>),
    Tcp(TcpListener, Option<Arc<ServerConfig>>),
}

/// A client that has connected; its first words may be a handshake that somebody must wait for.
enum Accepted {
    Plain(Socket),
    Tls(TcpStream, Arc<ServerConfig>),
}

impl Accepted {
    async fn ready(self) -> io::Result<Socket> {
        match self {
            Self::Plain(socket) => Ok(socket),
            Self::Tls(stream, config) => Socket::secure(stream, config).await,
        }
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(_, Some(path)) => write!(f, "unix://{}", path.display()),
            Self::Unix(listener, None) => match listener.local_addr().ok().as_ref().and_then(|address| address.as_pathname()) {
                Some(path) => write!(f, "unix://{}", path.display()),
                None => f.write_str("unix"),
            },
            Self::Tcp(listener, tls) => match listener.local_addr() {
                Ok(address) => write!(f, "tcp://{address}{}", if tls.is_some() { " (TLS)" } else { "" }),
                Err(_) => f.write_str("tcp"),
            },
        }
    }
}

impl Listener {
    /// Binds, or takes what the service manager has bound. A socket file that nobody serves any more is replaced.
    pub(crate) async fn bind(address: &Address, manner: &Manner) -> Result<Vec<Self>, ListenError> {
        match address {
            Address::Unix(path) => Ok(vec![Self::Unix(bind_unix(path, manner.group)?, Some(path.clone()))]),
            Address::Tcp(text) => {
                let listener = TcpListener::bind(text.as_str()).await;
                let listener = listener.map_err(|source| ListenError::Io { step: "listen on", object: text.clone(), source })?;
                Ok(vec![Self::Tcp(listener, manner.tls.clone())])
            }
            Address::Activated(which) => {
                let sockets = activation::take(which).map_err(|error| ListenError::Activation(format!("{error:#}")))?;
                let listen = |socket| Self::activated(socket, manner);
                let failed = |source| ListenError::Io { step: "listen on", object: format!("fd://{which}"), source };
                sockets.into_iter().map(listen).collect::<io::Result<_>>().map_err(failed)
            }
        }
    }

    fn activated(socket: OwnedFd, manner: &Manner) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(if rustix::net::sockopt::socket_domain(&socket)? == rustix::net::AddressFamily::UNIX {
            Self::Unix(UnixListener::from_std(socket.into())?, None)
        } else {
            Self::Tcp(TcpListener::from_std(socket.into())?, manner.tls.clone())
        })
    }

    async fn accept(&self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Unix(listener, _) => Accepted::Plain(Socket::Unix(listener.accept().await?.0)),
            Self::Tcp(listener, tls) => {
                let stream = listener.accept().await?.0;
                stream.set_nodelay(true)?;
                match tls {
                    Some(config) => Accepted::Tls(stream, config.clone()),
                    None => Accepted::Plain(Socket::Tcp(stream)),
                }
            }
        })
    }

    /// Removes the socket file.
    pub(crate) fn remove(&self) {
        if let Self::Unix(_, Some(path)) = self
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "the socket was not removed");
        }
    }
}

fn bind_unix(path: &Path, group: Option<u32>) -> Result<UnixListener, ListenError> {
    if path.as_os_str().len() > PATH_MAX {
        return Err(ListenError::TooLong(path.into()));
    }
    let fail = |step: &'static str| move |source| ListenError::Io { step, object: path.display().to_string(), source };
    if let Some(parent) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(fail("create the directory of"))?;
    }
    clear(path)?;
    // Fresh it belongs to root and only root may write, that is connect; then it is opened to the group.
    let listener = UnixListener::bind(path).map_err(fail("listen on"))?;
    if let Some(group) = group {
        std::os::unix::fs::chown(path, None, Some(group)).map_err(fail("change the group of"))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(fail("change the mode of"))?;
    Ok(listener)
}

fn clear(path: &Path) -> Result<(), ListenError> {
    use std::os::unix::fs::FileTypeExt;
    let fail = |source| ListenError::Io { step: "look at", object: path.display().to_string(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(ListenError::NotASocket(path.into())),
        Ok(_) => {}
    }
    if is_served(path) {
        return Err(ListenError::Live(path.into()));
    }
    std::fs::remove_file(path).map_err(fail)
}

/// True where somebody accepts connections at the path (or where that cannot be told).
pub(crate) fn is_served(path: &Path) -> bool {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound),
    }
}

/// Group of the socket: the named one must exist, Docker's own only may.
pub(crate) fn socket_group(named: Option<&str>) -> anyhow::Result<Option<u32>> {
    match named {
        Some(name) => Ok(Some(group::find(name)?.ok_or_else(|| anyhow::anyhow!("group {name} not found"))?)),
        None => Ok(group::find("docker").unwrap_or(None)),
    }
}

/// Accepts for ever.
pub(crate) async fn accept_all(app: Arc<App>, listener: Arc<Listener>, free: Arc<Semaphore>) {
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok(socket) => {
                let app = app.clone();
                tokio::spawn(async move {
                    match socket.ready().await {
                        Ok(socket) => serve(app, socket).await,
                        Err(error) => tracing::info!(%error, "a client was turned away: TLS"),
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: give others time to close some.
                tracing::warn!(%error, "accepting a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Connections that may be served at once.
pub(crate) fn permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits::CONNECTIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stale_sockets_are_replaced_and_live_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/x.sock");
        let address = Address::Unix(path.clone());
        let first = Listener::bind(&address, &Manner::default()).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(Listener::bind(&address, &Manner::default()).await, Err(ListenError::Live(_))));
        drop(first);
        let second = Listener::bind(&address, &Manner::default()).await.unwrap();
        second[0].remove();
        std::fs::write(&path, "").unwrap();
        assert!(matches!(Listener::bind(&address, &Manner::default()).await, Err(ListenError::NotASocket(_))));
        let long = Address::Unix(dir.path().join("y".repeat(120)));
        assert!(matches!(Listener::bind(&long, &Manner::default()).await, Err(ListenError::TooLong(_))));
    }
}
