//! Answers what containers ask for names, on the sockets that their shims hold: what comes while nobody answers waits there.

use super::names::View;
use crate::model::Container;
use dhow_network::dns::{self, Failure, Question};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Longest question that is taken as a datagram.
const QUESTION_MAX: usize = 4096;
/// Questions of one container that wait for others' answers.
const FORWARDS: usize = 256;
/// Connections of one container.
const STREAMS: usize = 32;
/// Servers that are asked, one after the other, and how long each has, as in Docker.
const SERVERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// Where servers listen.
const PORT: u16 = 53;

/// Who is there, and whom to ask of others.
pub(crate) struct Source {
    /// The asking container.
    pub(crate) id: String,
    /// All containers as they are now.
    pub(crate) all: Box<dyn Fn() -> Vec<Arc<Container>> + Send + Sync>,
    /// The servers of a container.
    pub(crate) servers: Box<dyn Fn(&Container) -> Vec<String> + Send + Sync>,
}

/// Questions are answered for as long as this lives.
#[derive(Debug)]
pub(crate) struct Served([AbortHandle; 2]);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

struct Resolver {
    source: Source,
    turn: AtomicUsize,
    forwards: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// Answers on these sockets, of a container's namespace.
pub(crate) fn serve(udp: OwnedFd, tcp: OwnedFd, source: Source) -> io::Result<Served> {
    let udp = std::net::UdpSocket::from(udp);
    udp.set_nonblocking(true)?;
    let tcp = std::net::TcpListener::from(tcp);
    tcp.set_nonblocking(true)?;
    let (udp, tcp) = (Arc::new(UdpSocket::from_std(udp)?), TcpListener::from_std(tcp)?);
    let resolver = Arc::new(Resolver {
        source,
        turn: AtomicUsize::new(0),
        forwards: Arc::new(Semaphore::new(FORWARDS)),
        streams: Arc::new(Semaphore::new(STREAMS)),
    });
    let datagrams = tokio::spawn(datagrams(resolver.clone(), udp)).abort_handle();
    let streams = tokio::spawn(streams(resolver, tcp)).abort_handle();
    Ok(Served([datagrams, streams]))
}

/// What becomes of a question.
enum Next {
    Say(Vec<u8>),
    Ask(Vec<SocketAddr>),
}

impl Resolver {
    fn decide(&self, question: &Question, stream: bool) -> Next {
        let all = (self.source.all)();
        let Some(own) = all.iter().find(|container| container.id == self.source.id).cloned() else {
            return Next::Say(dns::failure(question, Failure::Server));
        };
        let view = View { own, all, turn: self.turn.fetch_add(1, Ordering::Relaxed) };
        if let Some(answer) = dns::answer(question, &view, stream) {
            return Next::Say(answer);
        }
        let servers = if view.reaches_out() { addresses(&(self.source.servers)(&view.own)) } else { Vec::new() };
        if servers.is_empty() { Next::Say(dns::failure(question, Failure::Server)) } else { Next::Ask(servers) }
    }
}

/// The servers' addresses. Those with a zone are of a link of the host, which only its own programs can name.
fn addresses(servers: &[String]) -> Vec<SocketAddr> {
    servers.iter().filter_map(|server| server.parse::<IpAddr>().ok()).map(|ip| SocketAddr::new(ip, PORT)).take(SERVERS).collect()
}

async fn datagrams(resolver: Arc<Resolver>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; QUESTION_MAX];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(got) => got,
            Err(error) => {
                // An answer that could not be delivered shows here.
                tracing::debug!(container = resolver.source.id, %error, "a question for a name was not read");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let packet = &buffer[..length];
        let Some(question) = dns::parse(packet) else { continue };
        match resolver.decide(&question, false) {
            Next::Say(answer) => say(&socket, &answer, from).await,
            Next::Ask(servers) => {
                let Ok(permit) = resolver.forwards.clone().try_acquire_owned() else {
                    say(&socket, &dns::failure(&question, Failure::Server), from).await;
                    continue;
                };
                let (packet, socket) = (packet.to_vec(), socket.clone());
                tokio::spawn(async move {
                    let answer = forward(&servers, &packet, false).await;
                    say(&socket, &answer.unwrap_or_else(|| dns::failure(&question, Failure::Server)), from).await;
                    drop(permit);
                });
            }
        }
    }
}

async fn say(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    // Who asked may be gone; datagrams may be lost.
    let _ = socket.send_to(answer, to).await;
}

async fn streams(resolver: Arc<Resolver>, listener: TcpListener) {
    loop {
        let Ok(permit) = resolver.streams.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let resolver = resolver.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(&resolver, stream).await {
                        tracing::debug!(container = resolver.source.id, %error, "a connection that asks for names broke");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(container = resolver.source.id, %error, "a connection that asks for names was not taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One connection, to its end.
async fn converse(resolver: &Resolver, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let packet = match tokio::time::timeout(IDLE, read(&mut stream)).await {
            Ok(Ok(packet)) => packet,
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        let Some(question) = dns::parse(&packet) else { return Ok(()) };
        let answer = match resolver.decide(&question, true) {
            Next::Say(answer) => answer,
            Next::Ask(servers) => {
                let answer = forward(&servers, &packet, true).await;
                answer.unwrap_or_else(|| dns::failure(&question, Failure::Server))
            }
        };
        tokio::time::timeout(IDLE, write(&mut stream, &answer)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

async fn write(stream: &mut TcpStream, packet: &[u8]) -> io::Result<()> {
    let length = u16::try_from(packet.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes(), packet].concat()).await
}

/// Asks the servers in turn. What one says is passed on as it is; one that cannot answer is the answer only when no other one can.
async fn forward(servers: &[SocketAddr], packet: &[u8], stream: bool) -> Option<Vec<u8>> {
    let mut refusal = None;
    for server in servers {
        let asked = async { if stream { ask_stream(*server, packet).await } else { ask_datagram(*server, packet).await } };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) if dns::is_refusal(&answer) => refusal = Some(answer),
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%server, %error, "a server of names was not reached"),
            Err(_) => tracing::debug!(%server, "a server of names did not answer"),
        }
    }
    refusal
}

async fn ask_datagram(server: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(packet).await?;
    let mut buffer = vec![0; dns::PACKET_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if dns::answers(&buffer[..length], packet) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_stream(server: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write(&mut stream, packet).await?;
    let answer = read(&mut stream).await?;
    if dns::answers(&answer, packet) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::container;
    use crate::model::network::{Membership, Place};

    fn asker() -> Arc<Container> {
        let mut own = container(&"1".repeat(64), "one");
        let place = Place {
            endpoint: "e".into(),
            ipv4: Some(("10.0.0.2".parse().unwrap(), 24)),
            ipv6: None,
            gateway: Some("10.0.0.1".parse().unwrap()),
            gateway6: None,
            mac: String::new(),
            port: String::new(),
            name: String::new(),
            by_link: false,
        };
        own.networks.insert("net".into(), Membership { network: "n".into(), place: Some(place), ..Membership::default() });
        Arc::new(own)
    }

    fn question(name: &str) -> Vec<u8> {
        let mut packet = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            packet.push(label.len() as u8);
            packet.extend(label.bytes());
        }
        [&packet[..], &[0, 0, 1, 0, 1]].concat()
    }

    /// Sockets at the loopback in place of those in a container.
    async fn served(own: Arc<Container>) -> (Served, SocketAddr, SocketAddr) {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let source = Source { id: own.id.clone(), all: Box::new(move || vec![own.clone()]), servers: Box::new(|_| Vec::new()) };
        (serve(udp.into(), tcp.into(), source).unwrap(), at.0, at.1)
    }

    #[tokio::test]
    async fn datagrams_and_streams() {
        let (_served, udp, tcp) = served(asker()).await;
        let answer = ask_datagram(udp, &question("one")).await.unwrap();
        assert!(answer.ends_with(&[10, 0, 0, 2]));
        let answer = ask_datagram(udp, &question("example.org")).await.unwrap();
        assert!(dns::is_refusal(&answer), "no server is known");
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        for _ in 0..2 {
            write(&mut stream, &question("one.net")).await.unwrap();
            assert!(read(&mut stream).await.unwrap().ends_with(&[10, 0, 0, 2]));
        }
        write(&mut stream, &[1]).await.unwrap();
        assert!(read(&mut stream).await.is_err(), "what is no question ends it");
    }

    #[tokio::test]
    async fn others_are_asked_in_turn() {
        let (_served, udp, _) = served(asker()).await;
        // One that nobody listens at, one that cannot answer, one that can.
        let deaf = { std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
        let (_other, refuses, _) = {
            let mut own = (*asker()).clone();
            own.networks.clear();
            served(Arc::new(own)).await
        };
        let answer = forward(&[deaf, refuses, udp], &question("one"), false).await.unwrap();
        assert!(answer.ends_with(&[10, 0, 0, 2]));
        let refused = forward(&[refuses], &question("one"), false).await.unwrap();
        assert!(dns::is_refusal(&refused));
    }

    #[test]
    fn servers() {
        let list = ["10.0.0.1", "fe80::1%eth0", "::1", "x", "10.0.0.2", "10.0.0.3"].map(str::to_owned);
        let got: Vec<String> = addresses(&list).iter().map(ToString::to_string).collect();
        assert_eq!(got, ["10.0.0.1:53", "[::1]:53", "10.0.0.2:53"]);
    }
}
