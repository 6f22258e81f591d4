//! Every endpoint of the API is there, and refuses as Docker does.

use dhow_tests::peer::Dockerd;
use dhow_tests::{Engine, http};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// One line of the table: the status, the endpoint, and a request that needs nothing to be there.
struct Row {
    status: u16,
    method: &'static str,
    request: &'static str,
    body: &'static str,
    /// The original is asked, too.
    compared: bool,
}

/// `[ours:] STATUS METHOD PATTERN REQUEST [BODY]`, a row for each of the API's.
fn rows() -> Vec<Row> {
    let lines = include_str!("endpoints.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &'static str| {
        let (compared, line) = line.strip_prefix("ours: ").map_or((true, line), |line| (false, line));
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        let status = words[0].parse().expect("a status");
        Row { status, method: words[1], request: words[3], body: words.get(4).copied().unwrap_or_default(), compared }
    };
    lines.map(row).collect()
}

fn ask(socket: &std::path::Path, row: &Row) -> (u16, String) {
    let answer = http::request(socket, row.method, &format!("/v1.41{}", row.request), row.body);
    let answer = answer.unwrap_or_else(|error| panic!("{} {}: {error}", row.method, row.request));
    (answer.status, answer.text())
}

#[test]
fn all_are_there() {
    let engine = Engine::new();
    for row in rows() {
        let (status, text) = ask(&engine.socket(), &row);
        assert_eq!(status, row.status, "{} {}: {text}", row.method, row.request);
        assert!(!text.contains("page not found"), "{} {}", row.method, row.request);
    }
    // What is not there is not.
    for (method, path) in [("GET", "/nosuch"), ("PUT", "/containers/x"), ("POST", "/version"), ("PATCH", "/info")] {
        let answer = http::request(&engine.socket(), method, path, "").expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (404, "{\"message\":\"page not found\"}\n"), "{method} {path}");
    }
    engine.finish();
}

#[test]
fn they_refuse_in_dockers_words() {
    let Some(peer) = Dockerd::start() else { return };
    let engine = Engine::with(dhow_tests::Options { empty: true, ..Default::default() });
    let mut differences = String::new();
    for row in rows().iter().filter(|row| row.compared && row.status >= 400) {
        let (theirs, ours) = (ask(&peer.socket(), row), ask(&engine.socket(), row));
        if theirs != ours {
            differences += &format!("{} {}\n  docker {theirs:?}\n  dhow   {ours:?}\n", row.method, row.request);
        }
    }
    assert!(differences.is_empty(), "{differences}");
    engine.finish();
}

#[test]
fn who_sends_a_large_body_finds_the_answer() {
    let engine = Engine::new();
    let body = vec![b'x'; 24 << 20];
    for (path, status) in [("/build", 501), ("/images/nosuch/tag?repo=x", 404), ("/images/load", 200), ("/containers/create", 400)] {
        let mut stream = UnixStream::connect(engine.socket()).expect("a connection");
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        // All of it is written before anything is read.
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap_or_else(|error| panic!("{path}: {error}"));
        let first = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        assert!(first.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {first}");
    }
    engine.finish();
}
