//! Against a systemd of our own, which speaks as the real one does.

use super::message::{CALL, ERROR, Message, RETURN, Reader, SIGNAL};
use super::*;
use serde_json::json;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

#[test]
fn paths() {
    for (path, expect) in [
        ("/system.slice/dhow-box.scope", Some(("dhow-box.scope", "system.slice"))),
        ("/a.slice/a-b.slice/x.scope", Some(("x.scope", "a-b.slice"))),
        ("/x.scope", Some(("x.scope", "-.slice"))),
        ("/a.slice/a-b.slice", Some(("a-b.slice", "a.slice"))),
        ("/a/x.scope", None),
        ("/a.slice/x", None),
        ("/", None),
    ] {
        assert_eq!(unit(path).ok(), expect, "{path}");
    }
}

#[test]
fn limits() {
    let of = |resources: serde_json::Value, mode| limits_of(&serde_json::from_value(resources).unwrap(), mode);
    let resources = json!({"memory": {"limit": 5}, "cpu": {"shares": 1024, "quota": 12_345, "period": 100_000}, "pids": {"limit": -1}});
    let number = |name: &str, number| (name.to_owned(), Value::Number(number));
    let quota = number("CPUQuotaPerSecUSec", 130_000);
    let tasks = number("TasksMax", u64::MAX);
    assert_eq!(of(resources.clone(), Mode::V2), [number("MemoryMax", 5), number("CPUWeight", 100), quota.clone(), tasks.clone()]);
    assert_eq!(of(resources, Mode::Hybrid), [number("MemoryLimit", 5), number("CPUShares", 1024), quota, tasks]);
    assert_eq!(of(json!({"memory": {"limit": -1}}), Mode::V2), [number("MemoryMax", u64::MAX)]);
    assert_eq!(quota_per_second(-1, None), u64::MAX);
    assert!(of(json!({}), Mode::V2).is_empty());
}

#[test]
fn properties_of_annotations() {
    let of = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        of_annotations(pairs.iter().map(|(key, text)| (key, text)))
    };
    let given = |name: &str, text: &str| (name.to_owned(), Value::Given(variant::parse(text).unwrap()));
    let all = of(&[("org.systemd.property.TimeoutStopSec", "3"), ("other", "x"), ("org.systemd.property.CollectMode", "'inactive'")]);
    assert_eq!(all.unwrap(), [given("CollectMode", "'inactive'"), given("TimeoutStopUSec", "uint64 3000000")]);
    for (name, text) in [("A", "1"), ("Some.Name", "1"), ("Name", "odd"), ("TimeoutSec", "'a'")] {
        let key = format!("org.systemd.property.{name}");
        assert_eq!(of(&[(&key, text)]).unwrap_err().object, format!("annotations.{key}"));
    }
}

/// What the server sends: a header with a few fields, and a body.
fn send(stream: &mut UnixStream, kind: u8, fields: &[(u8, &str, &str)], reply: u32, body: &Writer) {
    let mut all = Writer { bytes: vec![b'l', kind, 0, 1] };
    all.u32(body.bytes.len() as u32).u32(99);
    all.list(8, |list| {
        for (code, signature, text) in fields {
            list.structure().bytes.push(*code);
            list.signature(signature).text(text);
        }
        if reply != 0 {
            list.structure().bytes.push(5);
            list.signature("u").u32(reply);
        }
    });
    all.structure();
    all.bytes.extend(&body.bytes);
    stream.write_all(&all.bytes).unwrap();
}

fn receive(stream: &mut UnixStream) -> (u32, Message) {
    let mut head = [0; 16];
    stream.read_exact(&mut head).unwrap();
    let mut bytes = head.to_vec();
    bytes.resize(message::length(&head).unwrap(), 0);
    stream.read_exact(&mut bytes[16..]).unwrap();
    (u32::from_le_bytes(bytes[8..12].try_into().unwrap()), message::parse(&bytes).unwrap())
}

fn greet(stream: &mut UnixStream) {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    let uid: String = rustix::process::geteuid().as_raw().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(line, format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes());
    stream.write_all(b"OK 0123456789abcdef\r\n").unwrap();
    let mut begin = [0; 7];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"BEGIN\r\n");
}

/// Answers one job with this result; gives the call's body and member.
fn serve(mut stream: UnixStream, result: &str) -> Message {
    greet(&mut stream);
    let (serial, call) = receive(&mut stream);
    assert_eq!(call.kind, CALL);
    let mut other = Writer::default();
    other.u32(1).text("/job/1").text("other.scope").text("done");
    send(&mut stream, SIGNAL, &[(3, "s", "JobRemoved"), (1, "o", "/x")], 0, &other);
    let mut job = Writer::default();
    job.text("/job/7");
    send(&mut stream, RETURN, &[], serial, &job);
    let mut removed = Writer::default();
    removed.u32(7).text("/job/7").text("x.scope").text(result);
    send(&mut stream, SIGNAL, &[(3, "s", "JobRemoved")], 0, &removed);
    call
}

fn with_server<T: Send + 'static>(serve: impl FnOnce(UnixStream) -> T + Send + 'static) -> (Bus, std::thread::JoinHandle<T>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || serve(theirs));
    (Bus::over(ours).unwrap(), server)
}

#[test]
fn a_scope_is_started() {
    let (mut bus, server) = with_server(|stream| serve(stream, "done"));
    let all = own_properties("x.scope", "a.slice", 42);
    bus.job("StartTransientUnit", "ssa(sv)a(sa(sv))", &transient("x.scope", &all)).unwrap();
    let call = server.join().unwrap();
    assert_eq!(call.member, "StartTransientUnit");
    let mut reader = Reader { bytes: &call.body, at: 0 };
    assert_eq!((reader.text(), reader.text()), (Some("x.scope"), Some("replace")));
    let words = String::from_utf8_lossy(&call.body);
    for word in ["Slice\0", "a.slice\0", "Delegate\0", "PIDs\0\u{2}au\0", "MemoryAccounting\0"] {
        assert!(words.contains(word), "{word:?} in {words:?}");
    }
}

#[test]
fn jobs_that_fail_and_calls_that_are_refused() {
    let (mut bus, server) = with_server(|stream| serve(stream, "failed"));
    let failed = bus.job("StopUnit", "ss", &stop_body("x.scope")).unwrap_err();
    assert_eq!(failed.to_string(), "systemd says: failed");
    server.join().unwrap();
    let (mut bus, server) = with_server(|mut stream| {
        greet(&mut stream);
        let (serial, _) = receive(&mut stream);
        let mut words = Writer::default();
        words.text("Unit x.scope not loaded.");
        send(&mut stream, ERROR, &[(4, "s", "org.freedesktop.systemd1.NoSuchUnit")], serial, &words);
    });
    let refused = bus.job("StopUnit", "ss", &stop_body("x.scope")).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::NotFound);
    assert!(refused.to_string().contains("not loaded"), "{refused}");
    server.join().unwrap();
    let (mut bus, server) = with_server(|mut stream| greet(&mut stream));
    assert!(bus.manager("Subscribe", "", &Writer::default()).is_err(), "the other side is gone");
    server.join().unwrap();
}
