//! Names to addresses. A static program has no getaddrinfo to rely on: `/etc/hosts`, then the name servers of `/etc/resolv.conf`, by UDP and,
//! where an answer is cut, by TCP. IPv4 before IPv6.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const A: u16 = 1;
const AAAA: u16 = 28;
/// Longest wait for one server.
const PATIENCE: Duration = Duration::from_secs(5);
/// Rounds over all servers.
const ROUNDS: usize = 2;
/// Servers that count, as in the C library.
const SERVERS: usize = 3;
/// Most answers that are looked at.
const ANSWERS: usize = 64;

/// What `/etc/resolv.conf` says.
#[derive(Debug, PartialEq, Eq)]
struct Config {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
}

/// The addresses of a host: a number, this machine, a name. IPv4 first.
///
/// # Errors
/// Nobody knows it, or no server answers.
pub async fn lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let mut found = in_hosts(&std::fs::read_to_string("/etc/hosts").unwrap_or_default(), host);
    if found.is_empty() && (host == "localhost" || host.ends_with(".localhost")) {
        found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    if found.is_empty() {
        let config = Config::parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        for name in config.candidates(host) {
            found = ask_all(&config, &name).await?;
            if !found.is_empty() {
                break;
            }
        }
    }
    found.sort_by_key(IpAddr::is_ipv6);
    if found.is_empty() { Err(io::Error::new(io::ErrorKind::NotFound, format!("lookup {host}: no such host"))) } else { Ok(found) }
}

fn in_hosts(table: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in table.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) {
            found.push(address);
        }
    }
    found
}

impl Config {
    fn parse(text: &str) -> Self {
        let mut config = Self { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
            match words.next() {
                Some("nameserver") => config.servers.extend(words.next().and_then(|word| word.split('%').next()?.parse::<IpAddr>().ok())),
                Some("search" | "domain") => config.search = words.map(|word| word.trim_end_matches('.').to_owned()).collect(),
                Some("options") => {
                    if let Some(dots) = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok()) {
                        config.ndots = dots;
                    }
                }
                _ => {}
            }
        }
        config.servers.truncate(SERVERS);
        if config.servers.is_empty() {
            config.servers.push(Ipv4Addr::LOCALHOST.into());
        }
        config
    }

    /// The full names to ask for, in order.
    fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{host}.{domain}"));
        let own = std::iter::once(host.to_owned());
        if host.matches('.').count() >= self.ndots { own.chain(searched).collect() } else { searched.chain(own).collect() }
    }
}

/// Asks the servers in turn, for both kinds at once. No address is an answer too.
async fn ask_all(config: &Config, name: &str) -> io::Result<Vec<IpAddr>> {
    let mut last = io::Error::other(format!("lookup {name}: no answer"));
    for _ in 0..ROUNDS {
        for server in &config.servers {
            let server = SocketAddr::new(*server, 53);
            let (v4, v6) = tokio::join!(ask(server, name, A), ask(server, name, AAAA));
            match (v4, v6) {
                (Err(error), Err(_)) => last = io::Error::new(error.kind(), format!("lookup {name} on {server}: {error}")),
                (v4, v6) => return Ok(v4.into_iter().chain(v6).flatten().collect()),
            }
        }
    }
    Err(last)
}

async fn ask(server: SocketAddr, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let timed = |_| io::Error::from(io::ErrorKind::TimedOut);
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let id = u16::from_be_bytes(id);
    let query = question(id, name, kind).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    match timeout(PATIENCE, by_udp(server, &query, id, kind)).await.map_err(timed)?? {
        Some(found) => Ok(found),
        None => timeout(PATIENCE, by_tcp(server, &query, id, kind)).await.map_err(timed)?,
    }
}

/// `None` where the answer is cut.
async fn by_udp(server: SocketAddr, query: &[u8], id: u16, kind: u16) -> io::Result<Option<Vec<IpAddr>>> {
    let any: SocketAddr = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = [0; 4096];
    loop {
        let count = socket.recv(&mut buffer).await?;
        let answer = &buffer[..count];
        // A packet that is no answer to this question is somebody else's.
        if !answers(answer, query, id) {
            continue;
        }
        return if answer[2] & 2 != 0 { Ok(None) } else { read_answer(answer, kind).map(Some) };
    }
}

async fn by_tcp(server: SocketAddr, query: &[u8], id: u16, kind: u16) -> io::Result<Vec<IpAddr>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    if answers(&answer, query, id) { read_answer(&answer, kind) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// A query for one name and one kind, recursion desired.
fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len() + 18);
    out.extend(id.to_be_bytes());
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        out.push(length);
        out.extend(label.bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    (out.len() <= 12 + 255 + 4).then_some(out)
}

/// It has the number and the question of the query.
fn answers(answer: &[u8], query: &[u8], id: u16) -> bool {
    let same =
        |range: std::ops::Range<usize>| answer.get(range.clone()).zip(query.get(range)).is_some_and(|(a, q)| a.eq_ignore_ascii_case(q));
    answer.get(..2) == Some(&id.to_be_bytes()[..]) && answer.get(2).is_some_and(|flags| flags & 0x80 != 0) && same(12..query.len())
}

/// The addresses of an answer. Aliases need not be followed: a server that resolves gives their addresses along.
fn read_answer(answer: &[u8], kind: u16) -> io::Result<Vec<IpAddr>> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed answer");
    match answer.get(3).ok_or_else(malformed)? & 15 {
        0 => {}
        3 => return Ok(Vec::new()),
        code => return Err(io::Error::other(format!("the server answers with the code {code}"))),
    }
    let word = |at: usize| answer.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]])).ok_or_else(malformed);
    let count = usize::from(word(6)?).min(ANSWERS);
    let mut at = skip_name(answer, 12).ok_or_else(malformed)? + 4;
    let mut found = Vec::new();
    for _ in 0..count {
        at = skip_name(answer, at).ok_or_else(malformed)?;
        let (of, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = answer.get(at + 10..at + 10 + length).ok_or_else(malformed)?;
        if of == kind {
            if let Ok(four) = <[u8; 4]>::try_from(data) {
                found.push(IpAddr::from(four));
            } else if let Ok(sixteen) = <[u8; 16]>::try_from(data) {
                found.push(IpAddr::from(sixteen));
            }
        }
        at += 10 + length;
    }
    Ok(found)
}

/// The place behind a name.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let table = "::1 localhost\n127.0.0.1 localhost here # mine\n10.0.0.1 # here\n";
        assert_eq!(in_hosts(table, "HERE"), [IpAddr::from([127, 0, 0, 1])]);
        assert!(in_hosts(table, "mine").is_empty());
    }

    #[test]
    fn names_to_ask_for() {
        let config =
            Config::parse("# x\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch a.example b.example.\noptions rotate ndots:2\n");
        assert_eq!(config.servers.len(), 2);
        assert_eq!(config.candidates("r"), ["r.a.example", "r.b.example", "r"]);
        assert_eq!(config.candidates("r.x.y"), ["r.x.y", "r.x.y.a.example", "r.x.y.b.example"]);
        assert_eq!(config.candidates("r."), ["r"]);
        assert_eq!(Config::parse("").servers, [IpAddr::from([127, 0, 0, 1])]);
    }

    #[test]
    fn answers_are_read() {
        let query = question(7, "r.example", A).unwrap();
        let mut answer = query.clone();
        answer[2] |= 0x80;
        answer[7] = 2;
        // An alias, then the address of what it means.
        answer.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 9]);
        assert!(answers(&answer, &query, 7));
        assert!(!answers(&answer, &query, 8));
        assert!(!answers(&query, &query, 7));
        assert_eq!(read_answer(&answer, A).unwrap(), [IpAddr::from([10, 0, 0, 9])]);
        answer[3] = 3;
        assert!(read_answer(&answer, A).unwrap().is_empty());
        answer[3] = 2;
        assert!(read_answer(&answer, A).is_err());
        answer[3] = 0;
        for end in 0..answer.len() {
            // Cut anywhere, it is an error or less, never a panic.
            let _either = read_answer(&answer[..end], A);
        }
        assert!(question(1, "a..b", A).is_none());
        assert!(question(1, &"a".repeat(64), A).is_none());
    }
}
