//! The client against a server of a few lines.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;

/// Serves canned answers in order, one connection after another or the same; gives the request heads it saw.
async fn serve(listener: UnixListener, answers: Vec<&'static str>, seen: Arc<Mutex<Vec<String>>>) {
    let mut answers = answers.into_iter();
    while let Ok((mut stream, _)) = listener.accept().await {
        while let Some(head) = read_head(&mut stream).await {
            lock(&seen).push(head.lines().next().unwrap_or_default().to_owned());
            let Some(answer) = answers.next() else { return };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

async fn read_head(stream: &mut UnixStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.ok()?;
        head.push(byte);
    }
    Some(String::from_utf8(head).unwrap())
}

fn with_server(negotiation: Negotiation, answers: Vec<&'static str>, test: impl AsyncFnOnce(Client)) -> Vec<String> {
    let directory = std::env::temp_dir().join(format!("dhow-client-{}-{:p}", std::process::id(), &answers));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("s");
    let seen = Arc::new(Mutex::new(Vec::new()));
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(serve(listener, answers, Arc::clone(&seen)));
        test(Client::new(Host::Unix(path.clone()), negotiation, "test")).await;
    });
    std::fs::remove_dir_all(directory).unwrap();
    lock(&seen).clone()
}

#[test]
fn the_lower_version_wins() {
    let answers =
        vec!["HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"];
    let seen = with_server(Negotiation::Ping, answers, async |client| {
        let list: Vec<u8> = client.json(Request::get("/containers/json").flag("all", true)).await.unwrap();
        assert!(list.is_empty());
    });
    assert_eq!(seen, ["HEAD /_ping HTTP/1.1", "GET /v1.41/containers/json?all=1 HTTP/1.1"]);
}

#[test]
fn an_assumed_version_steps_down_once() {
    let answers = vec![
        "HTTP/1.1 400 Bad Request\r\nApi-Version: 1.41\r\nContent-Length: 21\r\n\r\n{\"message\":\"too new\"}",
        "HTTP/1.1 404 Not Found\r\nApi-Version: 1.41\r\nContent-Length: 18\r\n\r\n{\"message\":\"gone\"}",
    ];
    let seen = with_server(Negotiation::Assume, answers, async |client| {
        let error = client.send(Request::get("/x")).await.unwrap_err();
        assert_eq!(error.to_string(), "Error response from daemon: gone");
        assert!(error.is_not_found());
    });
    assert_eq!(seen, ["GET /v1.51/x HTTP/1.1", "GET /v1.41/x HTTP/1.1"]);
}

#[test]
fn a_hijacked_stream_keeps_what_came_early() {
    let answers = vec!["HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly"];
    with_server(Negotiation::Assume, answers, async |client| {
        let mut stream = client.hijack(Request::post("/containers/x/attach")).await.unwrap();
        let mut buf = [0; 16];
        let count = stream.reader.read_some(&mut buf).await.unwrap();
        assert_eq!(&buf[..count], b"early");
    });
}

#[test]
fn nobody_there() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new(Host::Unix("/nonexistent/x.sock".into()), Negotiation::Assume, "test");
    let error = runtime.block_on(client.send(Request::get("/x"))).unwrap_err();
    assert!(error.is_refused());
    assert_eq!(error.to_string(), "Cannot connect to the Docker daemon at unix:///nonexistent/x.sock. Is the docker daemon running?");
}

#[test]
fn paths_are_encoded() {
    assert_eq!(segment("a b?c"), "a%20b%3Fc");
    assert_eq!(segment("localhost:5000/x:1"), "localhost:5000/x:1");
}

#[test]
fn what_can_be_sent_once_asks_first() {
    let answers = vec![
        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\n{}",
    ];
    let seen = with_server(Negotiation::Assume, answers, async |client| {
        let (sender, body) = Body::channel();
        drop(sender);
        client.call(Request::post("/images/load").body("application/x-tar", body)).await.unwrap();
    });
    // Behind them comes the end of the chunked body, which this server takes for a request.
    assert_eq!(seen[..2], ["HEAD /_ping HTTP/1.1", "POST /v1.41/images/load HTTP/1.1"]);
}
