//! Published ports as the shim holds them: a socket for each, so that nobody else has the port, and a relay for what the packet filter
//! cannot translate: what comes from the host's loopback, from containers of other networks, and by IPv6 to a container that has none.

use super::poll::{Poll, Token, Watched};
use crate::config::RelayConfig;
use dhow_network::ports::Protocol;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrAny, SocketFlags, SocketType};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Connections at once; more wait in the kernel's queue.
const PAIRS_MAX: usize = 512;
/// Senders of datagrams that are remembered; of more the one that was silent longest is forgotten.
const FLOWS_MAX: usize = 256;
/// Descriptors beside those of ports.
const SPARE: usize = 256;
/// Read at once.
const READ: usize = 64 * 1024;
/// Datagrams, or connections, taken in one turn.
const BATCH: usize = 16;

/// All of them.
#[derive(Debug)]
pub(crate) struct Relays {
    poll: Poll,
    ports: BTreeMap<u32, Port>,
    /// By the number of the near end; the far end's is the next one.
    pairs: BTreeMap<u32, Pair>,
    flows: BTreeMap<u32, Flow>,
    next: u32,
}

#[derive(Debug)]
struct Port {
    socket: Watched,
    config: RelayConfig,
}

/// A connection: who came, and the container.
#[derive(Debug)]
struct Pair {
    ends: [Watched; 2],
    /// What each end has yet to take.
    pending: [Vec<u8>; 2],
    /// Each end will send no more.
    ended: [bool; 2],
}

/// One sender of datagrams.
#[derive(Debug)]
struct Flow {
    socket: Watched,
    port: u32,
    from: SocketAddrAny,
    used: u64,
}

/// Descriptors that this process may have.
fn limit() -> usize {
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    soft.map_or(usize::MAX, |soft| usize::try_from(soft).unwrap_or(usize::MAX))
}

fn again(error: &Errno) -> bool {
    matches!(*error, Errno::AGAIN | Errno::INTR)
}

impl Relays {
    /// `sockets` are those of `configs`, in their order.
    pub(crate) fn new(poll: &Poll, configs: Vec<RelayConfig>, sockets: Vec<OwnedFd>) -> Self {
        let mut relays = Self { poll: poll.clone(), ports: BTreeMap::new(), pairs: BTreeMap::new(), flows: BTreeMap::new(), next: 0 };
        relays.add(configs, sockets);
        relays
    }

    /// Takes more of them.
    pub(crate) fn add(&mut self, configs: Vec<RelayConfig>, sockets: Vec<OwnedFd>) {
        for (config, socket) in configs.into_iter().zip(sockets) {
            // Fails for nothing that is a socket.
            let _ = rustix::io::ioctl_fionbio(&socket, true);
            let number = self.number();
            self.ports.insert(number, Port { socket: Watched::new(&self.poll, socket, Token::Relay(number)), config });
        }
        if self.ports.len() + SPARE > limit() {
            crate::raise_descriptors();
        }
    }

    /// Watches for what is useful now.
    pub(crate) fn arm(&mut self) -> io::Result<()> {
        let full = self.pairs.len() >= PAIRS_MAX;
        for port in self.ports.values_mut() {
            let wanted = match port.config.protocol {
                Protocol::Tcp => !full,
                Protocol::Udp => true,
                Protocol::Sctp => false,
            };
            port.socket.arm(wanted.then_some(EventFlags::IN))?;
        }
        for pair in self.pairs.values_mut() {
            for end in [0, 1] {
                let mut want = EventFlags::empty();
                want.set(EventFlags::IN, !pair.ended[end] && pair.pending[1 - end].is_empty());
                want.set(EventFlags::OUT, !pair.pending[end].is_empty());
                // A hang-up shows whatever is asked for: where nothing is of use, it would for ever.
                pair.ends[end].arm(Some(want).filter(|want| !want.is_empty()))?;
            }
        }
        self.flows.values_mut().try_for_each(|flow| flow.socket.arm(Some(EventFlags::IN)))
    }

    /// A descriptor has something.
    pub(crate) fn ready(&mut self, number: u32, scratch: &mut Vec<u8>) {
        let near = number & !1;
        if let Some(port) = self.ports.get(&number) {
            match port.config.protocol {
                Protocol::Tcp => self.accept(number),
                Protocol::Udp => self.datagrams(number, scratch),
                Protocol::Sctp => {}
            }
        } else if let Some(pair) = self.pairs.get_mut(&near) {
            if pair.turn(usize::from(number != near), scratch).is_err() || pair.is_done() {
                self.pairs.remove(&near);
            }
        } else if self.flows.contains_key(&number) {
            self.answers(number, scratch);
        }
    }

    /// Drops whatever has this number, but for the ports themselves.
    pub(crate) fn expel(&mut self, number: u32) {
        self.pairs.remove(&(number & !1));
        self.flows.remove(&number);
    }

    /// An even number of which the next is free too.
    fn number(&mut self) -> u32 {
        loop {
            self.next = self.next.wrapping_add(2);
            let taken = self.ports.contains_key(&self.next) || self.pairs.contains_key(&self.next) || self.flows.contains_key(&self.next);
            if !taken {
                return self.next;
            }
        }
    }

    fn accept(&mut self, number: u32) {
        for _ in 0..BATCH {
            if self.pairs.len() >= PAIRS_MAX {
                return;
            }
            let Some(port) = self.ports.get(&number) else { return };
            let Ok(near) = rustix::net::accept_with(&port.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else { return };
            // Where the container cannot be reached the connection is closed: that is the answer.
            let Ok(far) = connect(port.config.target, SocketType::STREAM) else { continue };
            let first = self.number();
            let ends = [Watched::new(&self.poll, near, Token::Relay(first)), Watched::new(&self.poll, far, Token::Relay(first + 1))];
            self.pairs.insert(first, Pair { ends, pending: Default::default(), ended: [false; 2] });
        }
    }

    fn datagrams(&mut self, number: u32, scratch: &mut Vec<u8>) {
        for _ in 0..BATCH {
            let Some(port) = self.ports.get(&number) else { return };
            scratch.clear();
            scratch.reserve(READ);
            let got = rustix::net::recvfrom(&port.socket, rustix::buffer::spare_capacity(scratch), RecvFlags::DONTWAIT);
            let Ok((_, _, Some(from))) = got else { return };
            let target = port.config.target;
            let Some(flow) = self.flow(number, from, target) else { continue };
            if let Some(flow) = self.flows.get(&flow) {
                // Datagrams may be lost.
                let _ = rustix::net::send(&flow.socket, scratch, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            }
        }
    }

    /// The flow of a sender, made if need be.
    fn flow(&mut self, port: u32, from: SocketAddrAny, target: SocketAddr) -> Option<u32> {
        let latest = self.flows.values().map(|flow| flow.used).max().unwrap_or(0) + 1;
        if let Some((number, flow)) = self.flows.iter_mut().find(|(_, flow)| flow.port == port && flow.from == from) {
            flow.used = latest;
            return Some(*number);
        }
        if self.flows.len() >= FLOWS_MAX
            && let Some(oldest) = self.flows.iter().min_by_key(|(_, flow)| flow.used).map(|(number, _)| *number)
        {
            self.flows.remove(&oldest);
        }
        let socket = connect(target, SocketType::DGRAM).ok()?;
        let number = self.number();
        let socket = Watched::new(&self.poll, socket, Token::Relay(number));
        self.flows.insert(number, Flow { socket, port, from, used: latest });
        Some(number)
    }

    fn answers(&mut self, number: u32, scratch: &mut Vec<u8>) {
        for _ in 0..BATCH {
            let Some(flow) = self.flows.get(&number) else { return };
            let Some(port) = self.ports.get(&flow.port) else { return };
            scratch.clear();
            scratch.reserve(READ);
            match rustix::net::recv(&flow.socket, rustix::buffer::spare_capacity(scratch), RecvFlags::DONTWAIT) {
                Ok(_) => drop(rustix::net::sendto(&port.socket, scratch, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &flow.from)),
                // A refusal by the container is told by the next look.
                Err(error) if again(&error) => return,
                Err(_) => {}
            }
        }
    }
}

/// Begins a connection.
fn connect(to: SocketAddr, kind: SocketType) -> rustix::io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

impl Pair {
    /// One end has something, or takes something.
    fn turn(&mut self, end: usize, scratch: &mut Vec<u8>) -> rustix::io::Result<()> {
        self.flush(end)?;
        let other = 1 - end;
        if self.ended[end] || !self.pending[other].is_empty() {
            return Ok(());
        }
        scratch.clear();
        scratch.reserve(READ);
        match rustix::net::recv(&self.ends[end], rustix::buffer::spare_capacity(scratch), RecvFlags::DONTWAIT) {
            Ok(_) if scratch.is_empty() => self.ended[end] = true,
            Ok(_) => {
                let sent = match rustix::net::send(&self.ends[other], scratch, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                    Ok(sent) => sent,
                    Err(error) if again(&error) => 0,
                    Err(error) => return Err(error),
                };
                self.pending[other].extend_from_slice(&scratch[sent..]);
            }
            Err(error) if again(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.flush(other)
    }

    /// Sends what waits; when nothing does and no more will come, the end is told.
    fn flush(&mut self, end: usize) -> rustix::io::Result<()> {
        if !self.pending[end].is_empty() {
            match rustix::net::send(&self.ends[end], &self.pending[end], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.pending[end].drain(..sent)),
                Err(error) if again(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if self.pending[end].is_empty() {
            self.pending[end] = Vec::new();
            if self.ended[1 - end] {
                // One that is not connected any more has heard it already.
                let _ = rustix::net::shutdown(&self.ends[end], Shutdown::Write);
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.ended == [true; 2] && self.pending.iter().all(Vec::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    /// Serves a port of this kind in the background; `act` gets its address.
    fn with(config: RelayConfig, act: impl FnOnce(SocketAddr)) {
        let done = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let ended = done.clone();
        let serve = std::thread::spawn(move || {
            let (socket, at): (OwnedFd, _) = match config.protocol {
                Protocol::Tcp => {
                    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                    let at = listener.local_addr().unwrap();
                    (listener.into(), at)
                }
                _ => {
                    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                    let at = socket.local_addr().unwrap();
                    (socket.into(), at)
                }
            };
            tell.send(at).unwrap();
            let poll = Poll::new().unwrap();
            let mut relays = Relays::new(&poll, vec![config], vec![socket]);
            let mut scratch = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                relays.arm().unwrap();
                for ready in poll.wait(Some(Duration::from_millis(20))).unwrap() {
                    let Token::Relay(number) = ready.token else { panic!("{ready:?}") };
                    relays.ready(number, &mut scratch);
                }
            }
            relays.pairs.len()
        });
        act(told.recv().unwrap());
        done.store(true, Ordering::Relaxed);
        assert_eq!(serve.join().unwrap(), 0, "connections are left");
    }

    #[test]
    fn a_stream_in_both_directions_to_its_end() {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = RelayConfig { protocol: Protocol::Tcp, target: target.local_addr().unwrap() };
        with(config, |at| {
            let large = vec![7u8; 3_000_000];
            let mut near = TcpStream::connect(at).unwrap();
            let (mut far, _) = target.accept().unwrap();
            let mut writer = near.try_clone().unwrap();
            let sent = large.clone();
            let write = std::thread::spawn(move || {
                writer.write_all(&sent).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            far.read_to_end(&mut got).unwrap();
            write.join().unwrap();
            assert!(got == large);
            // The other direction is still open.
            far.write_all(b"answer").unwrap();
            drop(far);
            let mut answer = String::new();
            near.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "answer");
            drop(near);
            // Who connects when nobody listens is told by the end.
            drop(target);
            let mut late = TcpStream::connect(at).unwrap();
            assert!(matches!(late.read(&mut [0; 8]), Ok(0) | Err(_)));
        });
    }

    #[test]
    fn datagrams_find_their_way_back() {
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        let config = RelayConfig { protocol: Protocol::Udp, target: target.local_addr().unwrap() };
        with(config, |at| {
            let senders: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
            for (number, sender) in senders.iter().enumerate() {
                sender.send_to(&[number as u8], at).unwrap();
            }
            for _ in &senders {
                let mut byte = [0];
                let (_, from) = target.recv_from(&mut byte).unwrap();
                target.send_to(&[byte[0] + 10], from).unwrap();
            }
            for (number, sender) in senders.iter().enumerate() {
                let mut byte = [0];
                assert_eq!(sender.recv_from(&mut byte).unwrap().1, at);
                assert_eq!(usize::from(byte[0]), number + 10);
            }
        });
    }
}
