//! Pushes to registries that misbehave.

use crate::server::{Answer, Asked, Server};
use crate::{digest, name, run, settings};
use bytes::Bytes;
use dhow_registry::{Access, Client, Content, Credentials, Place, Repository};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// More than what goes into one request.
const LARGE: usize = 3 << 20;

async fn repository(server: &Server) -> Repository {
    Client::new(settings()).repository(&name(server), &Credentials::default(), Access::Push).await.unwrap()
}

fn bytes(size: usize) -> Bytes {
    (0..size).map(|at| (at % 251) as u8).collect::<Vec<_>>().into()
}

/// Sends content as a person's push does.
fn upload(server: &Server, bytes: &Bytes) -> Result<u64, String> {
    let digest = digest(bytes);
    let source = bytes.clone();
    let open = move |from: u64| {
        let rest = source.slice(usize::try_from(from).unwrap()..);
        let (sender, pieces) = mpsc::channel(4);
        tokio::spawn(async move {
            for piece in rest.chunks(64 * 1024) {
                if sender.send(Ok(Bytes::copy_from_slice(piece))).await.is_err() {
                    return;
                }
            }
        });
        pieces
    };
    run(async {
        let repository = repository(server).await;
        let content = Content { digest: &digest, size: bytes.len() as u64, open: &open, sent: Arc::default() };
        let begun = repository.begin().await?;
        repository.upload(&content, begun).await?;
        Ok(content.sent.load(std::sync::atomic::Ordering::Relaxed))
    })
    .map_err(|error: dhow_registry::Error| error.to_string())
}

/// A registry that takes one blob; `meddle` may answer first.
fn store(meddle: impl Fn(&Asked, usize) -> Option<Answer> + Send + Sync + 'static) -> (Server, Arc<Mutex<Vec<u8>>>) {
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let inside = kept.clone();
    let server = Server::start(move |asked, before| {
        if let Some(answer) = meddle(asked, before) {
            return answer;
        }
        let mut kept = inside.lock().unwrap();
        let place = |count: usize| format!("location: /v2/a/b/blobs/uploads/1?state=x\r\nrange: 0-{}\r\n", count.saturating_sub(1));
        match asked.method.as_str() {
            "POST" => {
                kept.clear();
                Answer::new(202, &place(0), "")
            }
            "PATCH" => {
                kept.extend_from_slice(&asked.body);
                Answer::new(202, &place(kept.len()), "")
            }
            "GET" if asked.path.contains("/uploads/") => Answer::new(204, &place(kept.len()), ""),
            "PUT" => {
                kept.extend_from_slice(&asked.body);
                Answer::new(201, "", "")
            }
            "HEAD" => Answer::new(404, "", ""),
            _ => Answer::new(200, "", ""),
        }
    });
    (server, kept)
}

fn methods(server: &Server) -> Vec<String> {
    server.asked().into_iter().map(|asked| asked.method).collect()
}

#[test]
fn a_small_blob_goes_in_one_request_and_a_large_one_in_pieces() {
    for (size, expect) in [(10, vec!["POST", "PUT"]), (LARGE, vec!["POST", "PATCH", "PUT"])] {
        let (server, kept) = store(|_, _| None);
        let bytes = bytes(size);
        assert_eq!(upload(&server, &bytes).unwrap(), size as u64);
        assert_eq!(*kept.lock().unwrap(), bytes);
        assert_eq!(methods(&server), expect);
        let put = server.asked().pop().unwrap();
        assert_eq!(put.path, format!("/v2/a/b/blobs/uploads/1?state=x&digest={}", digest(&bytes).replace(':', "%3A")));
    }
}

#[test]
fn an_upload_that_breaks_off_goes_on() {
    // It took the first MiB, then it was busy.
    let half: Arc<Mutex<bool>> = Arc::default();
    let taken = half.clone();
    let (server, kept) = store(move |asked, _| {
        let first = asked.method == "PATCH" && !std::mem::replace(&mut *taken.lock().unwrap(), true);
        first.then(|| Answer::new(503, "", ""))
    });
    let bytes = bytes(LARGE);
    upload(&server, &bytes).unwrap();
    assert_eq!(*kept.lock().unwrap(), bytes);
    assert!(*half.lock().unwrap());
}

#[test]
fn a_registry_that_takes_a_part_gets_the_rest() {
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let inside = kept.clone();
    let (server, _) = store(move |asked, _| {
        if asked.method != "PATCH" {
            return None;
        }
        let mut kept = inside.lock().unwrap();
        let expect = if kept.is_empty() { None } else { Some(format!("{}-{}", kept.len(), LARGE - 1)) };
        assert_eq!(asked.header("content-range").map(str::to_owned), expect);
        let part = asked.body.len().min(2 << 20);
        kept.extend_from_slice(&asked.body[..part]);
        Some(Answer::new(202, &format!("location: /v2/a/b/blobs/uploads/1\r\nrange: 0-{}\r\n", kept.len() - 1), ""))
    });
    let bytes = bytes(LARGE);
    upload(&server, &bytes).unwrap();
    assert_eq!(*kept.lock().unwrap(), bytes);
}

#[test]
fn what_is_refused_is_told_and_not_tried_again() {
    let denied = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    for (method, status, body, expect) in [
        ("POST", 403, denied, "denied: requested access to the resource is denied"),
        ("PATCH", 413, "", "received unexpected HTTP status: 413 Payload Too Large"),
        ("PUT", 400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#, "digest invalid: no"),
    ] {
        let (server, _) = store(move |asked, _| (asked.method == method).then(|| Answer::new(status, "", body)));
        assert_eq!(upload(&server, &bytes(LARGE)).unwrap_err(), expect);
        assert_eq!(methods(&server).iter().filter(|asked| *asked == method).count(), 1, "{method}");
    }
}

#[test]
fn one_that_is_always_busy_is_given_up() {
    let (server, _) = store(|asked, _| (asked.method == "PATCH").then(|| Answer::new(500, "", "")));
    assert_eq!(upload(&server, &bytes(LARGE)).unwrap_err(), "received unexpected HTTP status: 500 Internal Server Error");
    let asked = methods(&server);
    assert_eq!(asked.iter().filter(|method| *method == "PATCH").count(), 3);
    assert_eq!(asked.last().map(String::as_str), Some("DELETE"), "what came is taken back");
}

#[test]
fn one_that_takes_a_byte_at_a_time_is_an_error() {
    let (server, _) =
        store(|asked, _| (asked.method == "PATCH").then(|| Answer::new(202, "location: /v2/a/b/blobs/uploads/1\r\nrange: 0-0\r\n", "")));
    // One byte at a time would take for ever.
    let error = upload(&server, &bytes(LARGE)).unwrap_err();
    assert!(error.ends_with("the registry takes too few bytes"), "{error}");
}

#[test]
fn class14_another_host_gets_the_bytes_and_no_password() {
    let elsewhere = Server::start(|asked, _| match asked.method.as_str() {
        "PATCH" => Answer::new(202, "location: /done\r\n", ""),
        _ => Answer::new(201, "", ""),
    });
    let to = elsewhere.address.clone();
    let server = Server::start(move |asked, _| match (asked.method.as_str(), asked.header("authorization")) {
        (_, None) => Answer::new(401, "www-authenticate: Basic realm=\"x\"\r\n", ""),
        ("POST", _) => Answer::new(202, &format!("location: http://{to}/up\r\n"), ""),
        _ => Answer::new(200, "", ""),
    });
    let bytes = bytes(10);
    run(async {
        let repository = Client::new(settings()).repository(&name(&server), &crate::user(), Access::Push).await.unwrap();
        let all = bytes.clone();
        let open = move |_| {
            let (sender, pieces) = mpsc::channel(1);
            sender.try_send(Ok(all.clone())).unwrap();
            pieces
        };
        let digest = digest(&bytes);
        let content = Content { digest: &digest, size: 10, open: &open, sent: Arc::default() };
        let begun = repository.begin().await.unwrap();
        repository.upload(&content, begun).await.unwrap();
    });
    let asked = elsewhere.all();
    assert_eq!((asked.len(), asked[0].method.as_str(), &asked[0].body[..]), (1, "PUT", &bytes[..]));
    assert!(asked[0].header("authorization").is_none());
}

#[test]
fn mounts() {
    let check = |answer: Answer, mounted: bool| {
        let (server, _) = store(move |asked, _| asked.path.contains("mount=").then(|| answer.clone()));
        let place = run(async { repository(&server).await.mount("sha256:x", "library/c").await }).unwrap();
        assert_eq!(matches!(place, Place::Mounted), mounted);
        assert_eq!(server.asked()[0].path, "/v2/a/b/blobs/uploads/?mount=sha256%3Ax&from=library%2Fc");
        server.asked().len()
    };
    assert_eq!(check(Answer::new(201, "", ""), true), 1);
    assert_eq!(check(Answer::new(202, "location: /v2/a/b/blobs/uploads/9\r\n", ""), false), 1);
    // It may not be read there: it is sent instead.
    assert_eq!(check(Answer::new(403, "", ""), false), 2);
}

#[test]
fn what_is_there_is_not_sent() {
    let (server, _) = store(|asked, _| (asked.method == "HEAD").then(|| Answer::new(200, "", "")));
    assert!(run(async { repository(&server).await.has_blob("sha256:x").await }).unwrap());
    let (server, _) = store(|_, _| None);
    assert!(!run(async { repository(&server).await.has_blob("sha256:x").await }).unwrap());
}
