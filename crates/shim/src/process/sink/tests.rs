//! Sinks with sockets of the test in place of daemons.

use super::*;
use crate::config::sink::{Address, Format, Place};
use crate::process::poll::Token;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

/// Handles what is ready until nothing waits.
fn settle(poll: &Poll, sink: &mut Sink) {
    for _ in 0..1000 {
        sink.arm().unwrap();
        if !sink.is_behind() {
            return;
        }
        for ready in poll.wait(Some(Duration::from_millis(100))).unwrap() {
            assert_eq!(ready.token, Token::Sink);
            sink.ready(ready.flags);
        }
    }
    panic!("the receiver takes nothing");
}

fn syslog(poll: &Poll, address: Address, buffer: Option<u64>) -> io::Result<Sink> {
    let target = Target::Syslog { address, format: Format::Rfc5424, facility: 3, tag: "web".into() };
    Sink::open(poll, &SinkConfig { target, buffer })
}

fn journal(poll: &Poll, socket: &std::path::Path, buffer: Option<u64>, fields: &[(&str, &str)]) -> io::Result<Sink> {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sink::open(poll, &SinkConfig { target: Target::Journal { socket: socket.into(), fields }, buffer })
}

fn text(line: &str) -> &str {
    line.trim_end().rsplit(" - ").next().unwrap()
}

#[test]
fn datagrams_and_connections() {
    let dir = tempfile::tempdir().unwrap();
    let poll = Poll::new().unwrap();
    let feed = |sink: &mut Sink| {
        sink.append(Stream::Stdout, b"one\n\ntwo\nthr", 1);
        sink.append(Stream::Stderr, b"bad\n", 1);
        sink.append(Stream::Stdout, b"ee\nfour", 1);
        sink.end(Stream::Stdout, 1);
        settle(&poll, sink);
    };
    let expect = ["one", "two", "bad", "three", "four"];

    let path = dir.path().join("gram");
    let gram = UnixDatagram::bind(&path).unwrap();
    feed(&mut syslog(&poll, Address::Unixgram(path), None).unwrap());
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = |address: std::net::SocketAddr| Place { name: address.to_string(), addresses: vec![address] };
    feed(&mut syslog(&poll, Address::Udp(place(udp.local_addr().unwrap())), None).unwrap());
    let mut buffer = [0; 1000];
    for expect in expect {
        let read = gram.recv(&mut buffer).unwrap();
        let line = String::from_utf8_lossy(&buffer[..read]).into_owned();
        assert_eq!(text(&line), expect);
        assert!(line.starts_with(if expect == "bad" { "<27>1 " } else { "<30>1 " }) && line.ends_with('\n'), "{line}");
        let read = udp.recv(&mut buffer).unwrap();
        assert_eq!(text(&String::from_utf8_lossy(&buffer[..read])), expect);
    }

    let path = dir.path().join("stream");
    let stream = UnixListener::bind(&path).unwrap();
    feed(&mut syslog(&poll, Address::Unix(path), None).unwrap());
    let lines = BufReader::new(stream.accept().unwrap().0).lines().map(Result::unwrap);
    assert_eq!(lines.map(|line| text(&line).to_owned()).collect::<Vec<_>>(), expect);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    feed(&mut syslog(&poll, Address::Tcp(place(tcp.local_addr().unwrap())), None).unwrap());
    let lines = BufReader::new(tcp.accept().unwrap().0).lines().map(Result::unwrap);
    assert_eq!(lines.map(|line| text(&line).to_owned()).collect::<Vec<_>>(), expect);
}

#[test]
fn long_lines_and_large_entries_reach_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let poll = Poll::new().unwrap();
    let path = dir.path().join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut sink = journal(&poll, &path, None, &[("CONTAINER_LOG_EPOCH", &"e".repeat(64))]).unwrap();
    let mut buffer = vec![0; 200_000];
    let mut next = |sink: &mut Sink| {
        settle(&poll, sink);
        let read = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..read].to_vec()).unwrap()
    };
    sink.append(Stream::Stdout, &[b'x'; 20_000], 1);
    let first = next(&mut sink);
    assert!(first.contains("CONTAINER_PARTIAL_ORDINAL=1\n") && first.contains("CONTAINER_PARTIAL_MESSAGE=true\n"), "{first}");
    sink.append(Stream::Stdout, b"y\nshort\n", 2);
    let last = next(&mut sink);
    assert!(last.contains("CONTAINER_PARTIAL_LAST=true\n") && !last.contains("CONTAINER_PARTIAL_MESSAGE"), "{last}");
    let line = |entry: &str| entry.lines().find(|line| line.starts_with("CONTAINER_PARTIAL_ID=")).map(str::to_owned);
    assert!(line(&first).is_some() && line(&first) == line(&last));
    let short = next(&mut sink);
    assert!(short.starts_with("MESSAGE=short\n") && line(&short).is_none(), "{short}");

    // More than a datagram holds comes as a file.
    let label = "v".repeat(4 << 20);
    let mut sink = journal(&poll, &path, None, &[("LABEL", &label)]).unwrap();
    sink.append(Stream::Stdout, b"big\n", 1);
    assert!(!sink.is_behind() && sink.take_error().is_none());
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(&socket, &mut [], &mut control, rustix::net::RecvFlags::CMSG_CLOEXEC).unwrap();
    assert_eq!(received.bytes, 0);
    let files = control.drain().find_map(|part| match part {
        rustix::net::RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let mut file = std::fs::File::from(files.unwrap());
    std::io::Seek::rewind(&mut file).unwrap();
    let mut entry = String::new();
    file.read_to_string(&mut entry).unwrap();
    assert!(entry.starts_with("MESSAGE=big\n") && entry.contains(&format!("LABEL={label}\n")));
}

#[test]
fn a_slow_receiver_holds_back_or_loses() {
    let dir = tempfile::tempdir().unwrap();
    let poll = Poll::new().unwrap();
    let path = dir.path().join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let lines: String = (0..2000).map(|n| format!("line {n}\n")).collect();
    let received = |sink: &mut Sink| {
        let mut buffer = [0; 1000];
        let mut all = Vec::new();
        loop {
            match socket.recv(&mut buffer) {
                Ok(read) => all.push(String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap().to_owned()),
                Err(_) if !sink.is_behind() => return all,
                Err(_) => {
                    sink.arm().unwrap();
                    for ready in poll.wait(Some(Duration::from_secs(5))).unwrap() {
                        sink.ready(ready.flags);
                    }
                }
            }
        }
    };

    let mut sink = journal(&poll, &path, None, &[]).unwrap();
    sink.append(Stream::Stdout, lines.as_bytes(), 1);
    assert!(sink.holds_back());
    let all = received(&mut sink);
    assert!(!sink.holds_back() && sink.take_error().is_none());
    assert_eq!(all, (0..2000).map(|n| format!("MESSAGE=line {n}")).collect::<Vec<_>>());

    let mut sink = journal(&poll, &path, Some(10_000), &[]).unwrap();
    sink.append(Stream::Stdout, lines.as_bytes(), 1);
    assert!(!sink.holds_back() && sink.is_behind() && sink.bytes <= 10_000);
    assert!(sink.take_error().unwrap().to_string().contains("messages are dropped"));
    let all = received(&mut sink);
    assert!(all.len() > 50 && all.len() < 1000, "{}", all.len());
    assert_eq!(all[..50], (0..50).map(|n| format!("MESSAGE=line {n}")).collect::<Vec<_>>());
    // Told once for each time that it falls behind.
    sink.append(Stream::Stdout, lines.as_bytes(), 1);
    sink.append(Stream::Stdout, lines.as_bytes(), 1);
    assert!(sink.take_error().is_some() && sink.take_error().is_none());
    received(&mut sink);
}

#[test]
fn receivers_that_go_and_come() {
    let dir = tempfile::tempdir().unwrap();
    let poll = Poll::new().unwrap();
    let path = dir.path().join("socket");
    assert_eq!(journal(&poll, &path, None, &[]).unwrap_err().to_string(), "journald is not enabled on this host");
    let message = syslog(&poll, Address::Unix(path.clone()), None).unwrap_err().to_string();
    assert_eq!(message, format!("dial unix {}: connect: no such file or directory", path.display()));

    let gone = UnixDatagram::bind(&path).unwrap();
    let mut sink = syslog(&poll, Address::Unixgram(path.clone()), None).unwrap();
    drop(gone);
    sink.append(Stream::Stdout, b"lost\n", 1);
    assert!(!sink.is_behind() && sink.take_error().unwrap().to_string().ends_with("connection refused"));
    sink.append(Stream::Stdout, b"lost too\n", 1);
    assert!(!sink.is_behind() && sink.take_error().is_none());
    std::fs::remove_file(&path).unwrap();
    let back = UnixDatagram::bind(&path).unwrap();
    sink.append(Stream::Stdout, b"found\n", 1);
    let mut buffer = [0; 100];
    let read = back.recv(&mut buffer).unwrap();
    assert_eq!(text(&String::from_utf8_lossy(&buffer[..read])), "found");

    // A connection that was closed meanwhile costs no message.
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let place = Place { name: address.to_string(), addresses: vec![address] };
    let mut sink = syslog(&poll, Address::Tcp(place.clone()), None).unwrap();
    drop(tcp.accept().unwrap());
    sink.arm().unwrap();
    for ready in poll.wait(Some(Duration::from_secs(20))).unwrap() {
        sink.ready(ready.flags);
    }
    sink.append(Stream::Stdout, b"again\n", 1);
    settle(&poll, &mut sink);
    drop(sink);
    let line = BufReader::new(tcp.accept().unwrap().0).lines().next().unwrap().unwrap();
    assert_eq!(text(&line), "again");
    drop(tcp);
    let refused = syslog(&poll, Address::Tcp(place), None).unwrap_err().to_string();
    assert_eq!(refused, format!("dial tcp {address}: connect: connection refused"));
}
