//! Blobs: cut, too long, too short, endless, slow, redirected.

use crate::server::{Answer, Asked, Server};
use crate::{digest, repository, run};
use dhow_registry::BlobEvent;

const CONTENT: &[u8] = b"0123456789abcdefghij";

/// All bytes from a place on, and how often it was broken off.
fn fetch(server: &Server, from: u64) -> Result<(Vec<u8>, usize), String> {
    run(async {
        let mut blob = repository(server).await.blob(&digest(CONTENT), CONTENT.len() as u64, from);
        let (mut out, mut broken) = (Vec::new(), 0);
        while let Some(event) = blob.next().await.map_err(|error| error.to_string())? {
            match event {
                BlobEvent::Data(bytes) => out.extend_from_slice(&bytes),
                BlobEvent::Retry { after, .. } => {
                    broken += 1;
                    tokio::time::sleep(after).await;
                }
            }
        }
        Ok((out, broken))
    })
}

fn ok() -> Answer {
    Answer::new(200, "", "")
}

fn is_blob(asked: &Asked) -> bool {
    asked.path.contains("/blobs/")
}

/// As a registry that knows ranges answers.
fn ranged(asked: &Asked) -> Answer {
    match asked.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()) {
        Some(from) => Answer::new(206, &format!("content-range: bytes {from}-19/20\r\n"), &CONTENT[from..]),
        None => Answer::new(200, "", CONTENT),
    }
}

#[test]
fn a_cut_connection_is_continued_where_it_ended() {
    let server = Server::start(|asked, before| match before {
        _ if !is_blob(asked) => ok(),
        0 => ranged(asked).cut(7),
        1 => ranged(asked).cut(5),
        _ => ranged(asked),
    });
    assert_eq!(fetch(&server, 0).unwrap(), (CONTENT.to_vec(), 2));
    let ranges: Vec<Option<String>> = server.asked().iter().map(|asked| asked.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some("bytes=7-".into()), Some("bytes=12-".into())]);
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let server = Server::start(|asked, _| if is_blob(asked) { ranged(asked) } else { ok() });
    assert_eq!(fetch(&server, 15).unwrap(), (b"fghij".to_vec(), 0));
    assert_eq!(fetch(&server, 20).unwrap(), (Vec::new(), 0));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_registry_without_ranges_is_read_from_the_beginning() {
    let server = Server::start(|asked, _| if is_blob(asked) { Answer::new(200, "", CONTENT) } else { ok() });
    assert_eq!(fetch(&server, 15).unwrap(), (b"fghij".to_vec(), 0));
}

#[test]
fn another_range_than_was_asked_for_is_refused() {
    let answer = || Answer::new(206, "content-range: bytes 3-19/20\r\n", &CONTENT[3..]);
    let server = Server::start(move |asked, _| if is_blob(asked) { answer() } else { ok() });
    assert!(fetch(&server, 15).unwrap_err().contains("came with another range"));
}

#[test]
fn wrong_lengths_and_endless_bodies_are_refused() {
    for (head, expect) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", "has more than 20 bytes"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "has 5 bytes, not 20"),
        // Until the connection ends, which it does not.
        ("HTTP/1.0 200 OK\r\n\r\n", "has more than 20 bytes"),
    ] {
        let endless = Answer { head: head.into(), body: CONTENT.to_vec(), cut_after: None, endless: true };
        let server = Server::start(move |asked, _| if is_blob(asked) { endless.clone() } else { ok() });
        let error = fetch(&server, 0).unwrap_err();
        assert!(error.contains(expect), "{error}");
        assert_eq!(server.asked().len(), 1, "it is not tried again");
    }
}

#[test]
fn one_that_always_breaks_off_is_given_up() {
    let server = Server::start(|asked, _| if is_blob(asked) { ranged(asked).cut(1) } else { ok() });
    let error = fetch(&server, 0).unwrap_err();
    assert!(error.ends_with("unexpected EOF"), "{error}");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn one_that_stalls_is_given_up() {
    let stalled =
        Answer { head: "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n".into(), body: b"0".to_vec(), cut_after: None, endless: false };
    let server = Server::start(move |asked, _| if is_blob(asked) { stalled.clone() } else { ok() });
    let error = fetch(&server, 0).unwrap_err();
    assert!(error.ends_with("too few bytes came for too long"), "{error}");
}

#[test]
fn errors_of_the_server_are_tried_again_and_those_of_the_client_are_not() {
    for (status, times) in [(500, 3), (502, 3), (503, 3), (429, 3), (400, 1), (403, 1), (404, 1)] {
        let server = Server::start(move |asked, _| if is_blob(asked) { Answer::new(status, "retry-after: 0\r\n", "") } else { ok() });
        fetch(&server, 0).unwrap_err();
        assert_eq!(server.asked().len(), times, "{status}");
    }
}

#[test]
fn a_wait_of_hours_is_an_error_at_once() {
    let server = Server::start(|asked, _| if is_blob(asked) { Answer::new(429, "retry-after: 7200\r\n", "") } else { ok() });
    assert!(fetch(&server, 0).unwrap_err().starts_with("toomanyrequests"));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn redirects_end() {
    let server =
        Server::start(|asked, _| if is_blob(asked) { Answer::new(307, &format!("location: {}\r\n", asked.path), "") } else { ok() });
    assert!(fetch(&server, 0).unwrap_err().ends_with("stopped after 10 redirects"));
}

#[test]
fn redirects_without_a_place_or_to_another_kind_of_place_are_refused() {
    for (location, expect) in
        [("", "307 response missing Location header"), ("location: file:///etc/passwd\r\n", "failed to parse Location header")]
    {
        let server = Server::start(move |asked, _| if is_blob(asked) { Answer::new(307, location, "") } else { ok() });
        let error = fetch(&server, 0).unwrap_err();
        assert!(error.ends_with(expect), "{error}");
    }
}

#[test]
fn a_small_blob_is_what_its_digest_says() {
    let server = Server::start(|asked, _| if is_blob(asked) { Answer::new(200, "", "0123456789abcdefghiX") } else { ok() });
    let error = run(async { repository(&server).await.small_blob(&digest(CONTENT), 20, 100).await }).unwrap_err();
    assert_eq!(error.to_string(), format!("image config verification failed for digest {}", digest(CONTENT)));
    let error = run(async { repository(&server).await.small_blob(&digest(CONTENT), 101, 100).await }).unwrap_err();
    assert!(error.to_string().ends_with("has 101 bytes, more than 100"));
}
