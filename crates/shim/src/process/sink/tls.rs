//! TLS to a syslog daemon: spoken by a child of the shim, which has no room for it. The two have a pair of sockets.
//!
//! The child says first what became of the connection: a zero byte, or why there is none. Then everything that it is sent goes to the daemon,
//! until one of both ends.

use crate::config::sink::{Place, Tls};
use dhow_runtime::{Failure, Step};
use dhow_sys::clone::{Forked, fork};
use dhow_sys::process::{close_from, exit_now};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest reason that is told.
const WORDS: usize = 1024;

/// Begins to make a connection. Whoever reaps the shim's children reaps this one; it ends when the socket is closed.
pub(super) fn start(place: &Place, tls: &Tls) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    match fork()? {
        Forked::Parent { .. } => Ok(ours),
        Forked::Child => {
            // Nothing here returns, so no owner of a descriptor sees it closed; and what stayed open would not end when the shim closes it.
            let done = only(&theirs).and_then(|socket| serve(socket, place, tls));
            exit_now(i32::from(done.is_err()))
        }
    }
}

/// The same socket, where nothing else is open beyond the standard streams.
fn only(socket: &OwnedFd) -> io::Result<File> {
    rustix::stdio::dup2_stdin(socket)?;
    close_from(3)?;
    Ok(File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?))
}

/// What the child has said of the connection.
///
/// # Errors
/// `WouldBlock` where it has said nothing yet; else why there is none.
pub(super) fn status(socket: impl AsFd) -> io::Result<()> {
    let mut words = [0; WORDS];
    match rustix::net::recv(socket, &mut words, RecvFlags::DONTWAIT)? {
        (_, 0) => Err(io::Error::other("the process that speaks TLS has ended")),
        (read, _) if words[..read] == [0] => Ok(()),
        (read, _) => Err(io::Error::other(String::from_utf8_lossy(&words[..read]).into_owned())),
    }
}

/// All that the child does.
fn serve(mut socket: File, place: &Place, tls: &Tls) -> io::Result<()> {
    match connect(place, tls) {
        Ok((connection, stream)) => {
            socket.write_all(&[0])?;
            relay(socket, connection, stream)
        }
        Err(error) => {
            let words = error.to_string();
            socket.write_all(words.as_bytes().get(..WORDS).unwrap_or(words.as_bytes()))
        }
    }
}

fn connect(place: &Place, tls: &Tls) -> io::Result<(ClientConnection, TcpStream)> {
    let config = config(tls)?;
    let host = place.name.rsplit_once(':').map_or(place.name.as_str(), |(host, _)| host).trim_matches(['[', ']']);
    let host = if host.is_empty() { "localhost" } else { host };
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut stream = reach(place)?;
    let limit = |limit| stream.set_read_timeout(limit).and_then(|()| stream.set_write_timeout(limit));
    limit(Some(PATIENCE))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            tls.map(|tls| io::Error::other(dhow_tls::words(tls, host))).unwrap_or(error)
        })?;
    }
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    Ok((connection, stream))
}

/// The first address that answers.
fn reach(place: &Place) -> io::Result<TcpStream> {
    let mut last = "no address".to_owned();
    for address in &place.addresses {
        match TcpStream::connect_timeout(address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => last = "connection timed out".to_owned(),
            Err(error) => last = Failure::io(Step::Io, "", Errno::from_io_error(&error).unwrap_or(Errno::IO)).message,
        }
    }
    Err(io::Error::other(format!("dial tcp {}: connect: {last}", place.name)))
}

/// The files, in Docker's words where they are not what they should be.
fn config(tls: &Tls) -> io::Result<ClientConfig> {
    let provider = dhow_tls::provider();
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let builder = if tls.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(dhow_tls::AnyCertificate(provider)))
    } else {
        let own = match &tls.authority {
            Some(path) => certificates(path)
                .map_err(|why| io::Error::other(format!("could not read CA certificate \"{}\": {why}", path.display())))?,
            None => Vec::new(),
        };
        builder.with_root_certificates(dhow_tls::roots(own))
    };
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else { return Ok(builder.with_no_client_auth()) };
    let failed = |why: String| io::Error::other(format!("could not load X509 key pair: {why}"));
    let chain = certificates(certificate).map_err(failed)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(unreadable(key, &error)))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| failed(error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    dhow_tls::certificates(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("open {}: no such file or directory", path.display())
        }
        other => format!("{}: {other}", path.display()),
    }
}

/// Takes what comes until there is no more; what the daemon says is of no interest but its end.
fn relay(mut socket: File, mut connection: ClientConnection, mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let (mut ours, mut theirs) = (PollFd::new(&socket, PollFlags::IN), PollFd::new(&stream, PollFlags::IN));
        let mut fds = [ours.clone(), theirs.clone()];
        rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
        [ours, theirs] = fds;
        let (ours, theirs) = (!ours.revents().is_empty(), !theirs.revents().is_empty());
        if theirs {
            if connection.read_tls(&mut stream)? == 0 {
                return Ok(());
            }
            let state = connection.process_new_packets().map_err(io::Error::other)?;
            connection.reader().take(state.plaintext_bytes_to_read() as u64).read_to_end(&mut Vec::new())?;
            if state.peer_has_closed() {
                return Ok(());
            }
        }
        if ours {
            let read = socket.read(&mut buffer)?;
            match buffer.get(..read).filter(|bytes| !bytes.is_empty()) {
                Some(bytes) => connection.writer().write_all(bytes)?,
                None => connection.send_close_notify(),
            }
            while connection.wants_write() {
                connection.write_tls(&mut stream)?;
            }
            if read == 0 {
                return Ok(());
            }
        }
    }
}
