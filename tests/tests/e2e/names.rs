//! Questions for names that others answer: servers that are slow, that cannot, that have more to say than fits.

use crate::network::engine;
use dhow_tests::netns::Netns;
use dhow_tests::until;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// A question for `name`.
fn question(name: &str, kind: u8) -> Vec<u8> {
    let mut packet = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.bytes());
    }
    [&packet[..], &[0, 0, kind, 0, 1]].concat()
}

/// The answer that a server gives: these flags and this end.
fn reply(asked: &[u8], flags: [u8; 2], rest: &[u8]) -> Vec<u8> {
    let mut packet = asked.to_vec();
    packet[2..4].copy_from_slice(&flags);
    packet.extend(rest);
    packet
}

fn by_datagram(container: &Netns, packet: &[u8]) -> Vec<u8> {
    container.run(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        socket.send_to(packet, "127.0.0.11:53").expect("ask");
        let mut buffer = [0; 4096];
        let (length, _) = socket.recv_from(&mut buffer).expect("an answer");
        buffer[..length].to_vec()
    })
}

fn by_stream(container: &Netns, packet: &[u8]) -> Vec<u8> {
    container.run(|| {
        let mut stream = TcpStream::connect("127.0.0.11:53").expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        stream.write_all(&[&(packet.len() as u16).to_be_bytes(), packet].concat()).expect("ask");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("a length");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).expect("an answer");
        answer
    })
}

/// A server: what it says to datagrams and to streams, until it hears `stop`.
fn serve(at: &Netns, address: &str, datagram: &'static [u8; 2], rest: &'static [u8]) -> [std::thread::JoinHandle<()>; 2] {
    let udp = at.run(|| UdpSocket::bind((address, 53)).expect("the port of names"));
    let tcp = at.run(|| TcpListener::bind((address, 53)).expect("the port of names"));
    let stops = |packet: &[u8]| packet.windows(4).any(|window| window == b"stop");
    let datagrams = std::thread::spawn(move || {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = udp.recv_from(&mut buffer).expect("a question");
            let said = if datagram[0] & 2 != 0 { &[][..] } else { rest };
            udp.send_to(&reply(&buffer[..length], *datagram, said), from).expect("answer");
            if stops(&buffer[..length]) {
                return;
            }
        }
    });
    let streams = std::thread::spawn(move || {
        loop {
            let (mut stream, _) = tcp.accept().expect("a connection");
            let mut buffer = [0; 512];
            let length = stream.read(&mut buffer).expect("a question");
            let answer = reply(&buffer[2..length], [0x81, 0x80], rest);
            stream.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat()).expect("answer");
            if stops(&buffer[..length]) {
                return;
            }
        }
    });
    [datagrams, streams]
}

#[test]
fn others_are_asked_what_nobody_here_knows() {
    let engine = engine();
    let outside = engine.host().neighbour("10.77.0.1", "10.77.0.2");
    engine.ok("network create net");
    engine.ok("network create --internal inner");
    // Nobody is at the first; the second cuts its datagrams short.
    let flags = "--network net --dns 10.77.0.77 --dns 10.77.0.2";
    engine.ok(&format!("run -d --init --name box {flags} busybox sleep 1000"));
    engine.ok("run -d --init --name shut --network inner --dns 10.77.0.2 busybox sleep 1000");
    let of = |name: &str| Netns::of(engine.inspect(name)["State"]["Pid"].as_i64().expect("a process") as i32);
    let (inside, shut) = (of("box"), of("shut"));
    let long: &'static [u8] = &[0x5a; 900];
    let servers = serve(&outside, "10.77.0.2", &[0x83, 0x80], long);
    let asked = question("web.example.org", 33);
    let cut = by_datagram(&inside, &asked);
    assert_eq!((cut.len(), cut[2] & 2, &cut[..2]), (asked.len(), 2, &asked[..2]), "it says that there is more");
    let whole = by_stream(&inside, &asked);
    assert!(whole.ends_with(long) && whole.len() == asked.len() + 900);
    // Own names need nobody else, and what is internal asks nobody outside.
    let own = by_datagram(&inside, &question("box", 1));
    assert_eq!((own[3] & 0xf, own[7]), (0, 1));
    let refused = by_datagram(&shut, &asked);
    assert_eq!(refused[3] & 0xf, 2, "{refused:?}");
    // What is no question is not answered, and breaks nothing.
    inside.run(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        for junk in [&[][..], &[0; 3], &[0xc0; 600], &[&asked[..12], &[0xc0, 12, 0, 1, 0, 1]].concat(), &reply(&asked, [0x81, 0x80], &[])] {
            socket.send_to(junk, "127.0.0.11:53").expect("send");
        }
    });
    assert_eq!(by_datagram(&inside, &question("shut.net", 1))[3] & 0xf, 0);
    // A question while there is no daemon is answered by the next one.
    engine.kill_daemon();
    let waiting = std::thread::scope(|scope| {
        let answer = scope.spawn(|| by_datagram(&inside, &question("box", 1)));
        engine.start_daemon();
        answer.join().expect("an answer")
    });
    assert_eq!((waiting[3] & 0xf, waiting[7]), (0, 1));
    by_datagram(&inside, &question("stop", 1));
    by_stream(&inside, &question("stop", 1));
    for server in servers {
        until("the server has stopped", || server.is_finished());
        server.join().expect("the server");
    }
    // They hold the namespaces.
    drop((inside, shut));
    engine.finish();
}
