//! Opening a connection: a socket, perhaps through a proxy, TLS over it, and the task that drives HTTP/1.1.

use super::body::Body;
use super::settings::Proxies;
use super::target::{Origin, Scheme, Target, Trust};
use super::{dns, tls};
use base64::Engine;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest answer of a proxy to CONNECT.
const PROXY_ANSWER: usize = 16 * 1024;
/// Largest head of an answer, and what is read at once of a body.
const BUFFER: usize = 256 * 1024;

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) message: String,
    /// It spoke, and it was not TLS.
    pub(super) plain: bool,
    /// It may work the next time.
    pub(super) temporary: bool,
}

impl Failed {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), plain: false, temporary: false }
    }
}

/// The proxy on the way to an origin.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) target: Target,
    credentials: Option<String>,
    /// How to speak TLS with it, where it wants that. The caller's to fill in.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Proxy {
    /// The one for an origin, if one is wanted.
    pub(super) fn find(origin: &Origin, proxies: &Proxies) -> Result<Option<Self>, Failed> {
        let Some(text) = proxy(origin, proxies) else { return Ok(None) };
        let target = Target::parse(&text).ok_or_else(|| Failed::new(format!("invalid proxy {text:?}")))?;
        Ok(Some(Self { target, credentials: credentials(&text), tls: None }))
    }
}

/// Connects and starts the connection's task.
pub(super) async fn open(
    origin: &Origin,
    tls: Option<Arc<ClientConfig>>,
    trust: Trust,
    proxy: Option<&Proxy>,
) -> Result<SendRequest<Body>, Failed> {
    let Some(proxy) = proxy else { return speak(dial(&origin.host, origin.port).await?, origin, tls, trust).await };
    let at = &proxy.target.origin;
    let unreachable = |error: Failed| Failed { message: format!("proxyconnect tcp: {}", error.message), ..error };
    let stream = dial(&at.host, at.port).await.map_err(unreachable)?;
    let Some(config) = proxy.tls.clone() else { return speak(through(stream, proxy, origin).await?, origin, tls, trust).await };
    let name = ServerName::try_from(at.host.clone()).map_err(|error| unreachable(Failed::new(format!("tls: {error}"))))?;
    let greeted = TlsConnector::from(config).connect(name, stream).await;
    let stream = greeted.map_err(|error| unreachable(Failed::new(tls::explain(&error, &at.host).0)))?;
    speak(through(stream, proxy, origin).await?, origin, tls, trust).await
}

/// HTTP over what leads to an origin, with TLS where it wants that.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    origin: &Origin,
    tls: Option<Arc<ClientConfig>>,
    trust: Trust,
) -> Result<SendRequest<Body>, Failed> {
    let Some(config) = tls.filter(|_| origin.scheme == Scheme::Https) else { return handshake(stream).await };
    let name = ServerName::try_from(origin.host.clone()).map_err(|error| Failed::new(format!("tls: {error}")))?;
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => handshake(stream).await,
        Err(error) => {
            let (message, plain) = tls::explain(&error, &origin.host);
            // A registry that may speak plain HTTP may also just hang up on a greeting that it does not understand.
            let hung_up = trust == Trust::Any && error.get_ref().is_none_or(|inner| !inner.is::<rustls::Error>());
            Err(Failed { message, plain: plain || hung_up, temporary: hung_up })
        }
    }
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<SendRequest<Body>, Failed> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failed { temporary: true, ..Failed::new(error.to_string()) })?;
    tokio::spawn(async move {
        // What goes wrong reaches the request that is under way; an idle connection may just end.
        let _ended = connection.await;
    });
    Ok(sender)
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, Failed> {
    let addresses = dns::lookup(host).await.map_err(|error| Failed::new(format!("dial tcp: {error}")))?;
    let mut last = Failed::new("no address");
    for address in addresses {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => {
                let _slower = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => {
                let at = std::net::SocketAddr::new(address, port);
                let temporary = error.kind() != io::ErrorKind::ConnectionRefused;
                last = Failed { temporary, ..Failed::new(format!("dial tcp {at}: connect: {}", words(&error))) };
            }
        }
    }
    Err(last)
}

/// The kernel's words in small letters, without the number that Rust appends.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// The proxy for an origin, if one is wanted.
fn proxy(origin: &Origin, proxies: &Proxies) -> Option<String> {
    let given = match origin.scheme {
        Scheme::Http => proxies.http.as_ref(),
        Scheme::Https => proxies.https.as_ref(),
    }?;
    if given.is_empty() || is_excepted(origin, &proxies.none) {
        return None;
    }
    Some(if given.contains("://") { given.clone() } else { format!("http://{given}") })
}

/// It is reached through a proxy.
pub(super) fn is_proxied(origin: &Origin, proxies: &Proxies) -> bool {
    proxy(origin, proxies).is_some()
}

/// Go's rules: this machine never; names with what is below them; networks; `*` is all.
fn is_excepted(origin: &Origin, none: &str) -> bool {
    let host = origin.host.as_str();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    none.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" || entry == host {
            return true;
        }
        if let (Some(address), Some(network)) = (address, Network::parse(&entry)) {
            return network.contains(address);
        }
        let (entry, port) = match entry.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, port.parse::<u16>().ok()),
            _ => (entry.as_str(), None),
        };
        let entry = entry.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(entry);
        // `.example` and `*.example` are what is below it, `example` is that and itself.
        let domain = entry.strip_prefix('*').unwrap_or(entry).trim_start_matches('.');
        let below = host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'));
        (below || (host == domain && domain == entry)) && port.is_none_or(|port| port == origin.port)
    })
}

/// A network in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, bits })
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u32::from(own) ^ u32::from(other)).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (u128::from(own) ^ u128::from(other)).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// A tunnel. Plain HTTP goes through one as well: the proxy then sees no header of ours, and one way of writing requests is enough.
async fn through<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, proxy: &Proxy, origin: &Origin) -> Result<S, Failed> {
    let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
    let mut request = format!("CONNECT {host}:{0} HTTP/1.1\r\nHost: {host}:{0}\r\n", origin.port);
    if let Some(credentials) = &proxy.credentials {
        request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
    }
    request.push_str("\r\n");
    let broken = |error: io::Error| Failed { temporary: true, ..Failed::new(format!("proxyconnect tcp: {error}")) };
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= PROXY_ANSWER {
            return Err(Failed::new("proxyconnect tcp: the proxy's answer is too long"));
        }
        answer.push(stream.read_u8().await.map_err(broken)?);
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.lines().next().unwrap_or_default();
    match status.split_whitespace().nth(1) {
        Some("200") => Ok(stream),
        _ => Err(Failed::new(format!("proxyconnect tcp: {status}"))),
    }
}

/// Name and password of a proxy stand in its address.
fn credentials(address: &str) -> Option<String> {
    let authority = address.split_once("://")?.1.split('/').next()?.to_owned();
    let (user, _) = authority.rsplit_once('@')?;
    let plain: Vec<u8> = form_urlencoded::parse(user.replace('+', "%2B").as_bytes()).next()?.0.bytes().collect();
    Some(base64::engine::general_purpose::STANDARD.encode(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_and_exceptions() {
        let check = |url: &str, none: &str| {
            let proxies = Proxies { http: Some("p:1".into()), https: Some("http://u:p%40@s:2".into()), none: none.into() };
            proxy(&Target::parse(url).unwrap().origin, &proxies)
        };
        assert_eq!(check("http://r.example/", "").as_deref(), Some("http://p:1"));
        assert_eq!(check("https://r.example/", "").as_deref(), Some("http://u:p%40@s:2"));
        for (url, none) in [
            ("http://127.0.0.1:5000/", ""),
            ("http://localhost/", ""),
            ("http://r.example/", "*"),
            ("http://r.example/", "x, R.example"),
            ("http://r.example/", ".example"),
            ("http://r.example/", "example"),
            ("http://10.1.2.3/", "10.0.0.0/8"),
            ("http://r.example:5000/", "r.example:5000"),
            ("http://r.example:5000/", ".example:5000"),
            ("http://r.example/", "*.example"),
            ("http://[fd00::1]/", "fd00::1"),
            ("http://[fd00::1]:5000/", "[fd00::1]:5000"),
            ("http://[fd00::1]/", "[fd00::1]"),
            ("http://[fd00::1]/", "fd00::/16"),
            ("http://10.1.2.3:5000/", "10.1.2.3"),
        ] {
            assert_eq!(check(url, none), None, "{url} {none}");
        }
        for (url, none) in [
            ("http://r.example/", "xr.example"),
            ("http://r.example/", ".r.example"),
            ("http://r.example/", "*.r.example"),
            ("http://11.1.2.3/", "10.0.0.0/8"),
            ("http://r.example:1/", "r.example:2"),
            ("http://[fd00::1]:1/", "[fd00::1]:2"),
            ("http://[fd00::1]/", "fd01::/16"),
        ] {
            assert!(check(url, none).is_some(), "{url} {none}");
        }
    }

    #[test]
    fn networks() {
        for (network, address, expect) in [
            ("127.0.0.0/8", "127.9.9.9", true),
            ("10.0.0.0/31", "10.0.0.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("::1/128", "::1", true),
            ("::/0", "1.2.3.4", false),
        ] {
            assert_eq!(Network::parse(network).unwrap().contains(address.parse().unwrap()), expect, "{network} {address}");
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "x/8"] {
            assert_eq!(Network::parse(text), None);
        }
    }
}
