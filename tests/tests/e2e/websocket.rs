//! Attach over WebSocket.

use dhow_tests::{Engine, http, until};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const HANDSHAKE: &str =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A client of a few lines.
struct Browser(UnixStream);

impl Browser {
    fn open(engine: &Engine, path: &str) -> Self {
        let mut stream = UnixStream::connect(engine.socket()).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{HANDSHAKE}\r\n").expect("ask");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&head)));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        Self(stream)
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mask = [9, 8, 7, 6];
        let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(payload.len()).expect("a short message")];
        frame.extend(mask);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        self.0.write_all(&frame).expect("send");
    }

    /// The next frame: its sort and content.
    fn next(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a frame");
        assert!(head[0] & 0x80 != 0 && head[1] & 0x80 == 0, "whole, and not masked: {head:?}");
        let mut long = [0; 8];
        let length = match head[1] {
            126 => {
                self.0.read_exact(&mut long[6..]).expect("a length");
                u64::from_be_bytes(long)
            }
            127 => {
                self.0.read_exact(&mut long).expect("a length");
                u64::from_be_bytes(long)
            }
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        self.0.read_exact(&mut payload).expect("the content");
        (head[0] & 0x0f, payload)
    }

    /// Content of frames of this sort until so much came.
    fn hear(&mut self, opcode: u8, expect: &str) {
        let mut heard = Vec::new();
        while heard.len() < expect.len() {
            let (sort, payload) = self.next();
            assert_eq!(sort, opcode, "{:?}", String::from_utf8_lossy(&payload));
            heard.extend(payload);
        }
        assert_eq!(String::from_utf8_lossy(&heard), expect);
    }

    /// The engine says farewell, and hangs up.
    fn ended(mut self, status: u16) {
        assert_eq!(self.next(), (8, status.to_be_bytes().to_vec()));
        assert_eq!(self.0.read(&mut [0]).expect("the end"), 0);
    }
}

const ALL: &str = "stream=1&stdin=1&stdout=1&stderr=1";

#[test]
fn both_ways_until_the_container_ends() {
    let engine = Engine::new();
    engine.dhow(["create", "-i", "--name", "web", "busybox", "sh", "-c", "read a; echo got $a; read b; echo and $b >&2; exit 3"]).ok();
    let mut browser = Browser::open(&engine, &format!("/containers/web/attach/ws?{ALL}"));
    engine.ok("start web");
    browser.send(2, b"one\n");
    // Raw, whatever the container has: no frames of Docker's in those of WebSocket.
    browser.hear(2, "got one\n");
    browser.send(9, b"are you there");
    assert_eq!(browser.next(), (10, b"are you there".to_vec()));
    browser.send(1, b"two\n");
    browser.hear(2, "and two\n");
    browser.ended(1000);
    assert_eq!(engine.ok("wait web"), "3");
    engine.finish();
}

#[test]
fn what_the_query_chooses() {
    let engine = Engine::new();
    engine.dhow(["run", "--name", "web", "busybox", "sh", "-c", "echo out; sleep 0.1; echo err >&2"]).ok();
    // The log of a container that has ended.
    let mut logs = Browser::open(&engine, "/containers/web/attach/ws?logs=1&stdout=1&stderr=1");
    logs.hear(2, "out\nerr\n");
    logs.ended(1000);
    let mut errors = Browser::open(&engine, "/containers/web/attach/ws?logs=1&stderr=1");
    errors.hear(2, "err\n");
    errors.ended(1000);
    // Before 1.42 nobody chose streams, before 1.28 frames were text.
    let mut old = Browser::open(&engine, "/v1.27/containers/web/attach/ws?logs=1");
    old.hear(1, "out\nerr\n");
    old.ended(1000);
    let mut old = Browser::open(&engine, "/v1.41/containers/web/attach/ws?logs=1");
    old.hear(2, "out\nerr\n");
    old.ended(1000);
    engine.finish();
}

#[test]
fn a_terminal_is_left_by_its_keys_and_by_a_farewell() {
    let engine = Engine::new();
    engine.dhow(["run", "-dit", "--name", "web", "busybox", "cat"]).ok();
    let mut browser = Browser::open(&engine, &format!("/containers/web/attach/ws?{ALL}&detachKeys=ctrl-x,y"));
    browser.send(2, b"hi\n");
    browser.hear(2, "hi\r\nhi\r\n");
    browser.send(2, &[24, b'y']);
    browser.ended(1000);
    let mut browser = Browser::open(&engine, &format!("/containers/web/attach/ws?{ALL}"));
    browser.send(8, &1000_u16.to_be_bytes());
    browser.ended(1000);
    // An unmasked frame.
    let mut browser = Browser::open(&engine, &format!("/containers/web/attach/ws?{ALL}"));
    browser.0.write_all(&[0x82, 1, b'x']).expect("send");
    browser.ended(1002);
    // One that goes without a word.
    drop(Browser::open(&engine, &format!("/containers/web/attach/ws?{ALL}")));
    until("it still runs", || engine.ok("inspect -f {{.State.Status}} web") == "running");
    engine.ok("rm -f web");
    engine.finish();
}

#[test]
fn what_is_refused() {
    let engine = Engine::new();
    engine.ok("run -d --name web busybox sleep 1000");
    let ask = |path: &str, headers: &str| {
        let answer =
            http::raw(&engine.socket(), format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").as_bytes());
        let answer = answer.expect("an answer");
        (answer.status, answer.text().trim_end().to_owned())
    };
    let check = |path: &str, headers: &str, status: u16, message: &str| {
        assert_eq!(ask(path, headers), (status, format!("{{\"message\":\"{message}\"}}")), "{path}");
    };
    check("/containers/web/attach/ws?stream=1", "", 400, "not websocket protocol");
    check("/containers/web/attach/ws?stream=1", &HANDSHAKE.replace("13", "8"), 400, "missing or bad WebSocket Version");
    check("/containers/nosuch/attach/ws?stream=1", HANDSHAKE, 404, "No such container: nosuch");
    check("/containers/web/attach/ws?stream=1&detachKeys=bogus", HANDSHAKE, 400, "Invalid detach keys (bogus) provided");
    engine.ok("pause web");
    check("/containers/web/attach/ws?stream=1", HANDSHAKE, 409, "container web is paused, unpause the container before attach");
    engine.ok("unpause web");
    engine.finish();
}

#[test]
fn large_output_is_whole() {
    let engine = Engine::new();
    engine.dhow(["create", "--name", "web", "busybox", "sh", "-c", "yes 123456789 | head -c 3000000"]).ok();
    let mut browser = Browser::open(&engine, &format!("/containers/web/attach/ws?{ALL}"));
    engine.ok("start web");
    browser.hear(2, &"123456789\n".repeat(300_000));
    browser.ended(1000);
    engine.finish();
}
