//! What `run` asks of an engine, in which order, and what it makes of the answers: against an engine of a few lines.

#![expect(clippy::unwrap_used, reason = "a test ends with a panic when its own set-up fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

/// An engine that has one image and whose containers end with a status as soon as they start.
struct Engine {
    status: i64,
    /// Whether the image is there; a pull brings it.
    image: Mutex<bool>,
    /// Why starting fails, if it does.
    start_error: Option<&'static str>,
    seen: Mutex<Vec<String>>,
    started: (Mutex<bool>, Condvar),
}

impl Engine {
    fn wait_started(&self) {
        let started = self.started.0.lock().unwrap();
        drop(self.started.1.wait_while(started, |started| !*started).unwrap());
    }

    fn set_started(&self) {
        *self.started.0.lock().unwrap() = true;
        self.started.1.notify_all();
    }

    fn serve(&self, stream: UnixStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut writer = stream;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let target = line.trim_end().trim_end_matches(" HTTP/1.1").replace("/v1.51", "");
            let mut length = 0;
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).ok()?;
                if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().ok()?;
                }
                if header.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            self.seen.lock().unwrap().push(target.clone());
            self.answer(&target, &mut writer)?;
        }
    }

    fn answer(&self, target: &str, out: &mut UnixStream) -> Option<()> {
        let path = target.split('?').next().unwrap_or_default();
        let json = |out: &mut UnixStream, status: &str, body: &str| {
            write!(out, "HTTP/1.1 {status}\r\nApi-Version: 1.51\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()
        };
        match path {
            "HEAD /_ping" => write!(out, "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 0\r\n\r\n").ok(),
            "POST /containers/create" if !*self.image.lock().unwrap() => {
                json(out, "404 Not Found", "{\"message\":\"No such image: busybox:latest\"}")
            }
            "POST /containers/create" => json(out, "201 Created", "{\"Id\":\"abc\",\"Warnings\":[]}"),
            "POST /images/create" => {
                *self.image.lock().unwrap() = true;
                json(out, "200 OK", "{\"status\":\"Pulling\"}\r\n")
            }
            "POST /containers/abc/attach" => {
                write!(out, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").ok()?;
                self.wait_started();
                None
            }
            "POST /containers/abc/wait" => {
                write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok()?;
                self.wait_started();
                let body = format!("{{\"StatusCode\":{}}}", self.status);
                write!(out, "{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).ok()
            }
            "POST /containers/abc/start" => {
                self.set_started();
                // The container is long done when its start is answered.
                std::thread::sleep(std::time::Duration::from_millis(20));
                match self.start_error {
                    Some(error) => json(out, "400 Bad Request", &format!("{{\"message\":\"{error}\"}}")),
                    None => write!(out, "HTTP/1.1 204 No Content\r\n\r\n").ok(),
                }
            }
            _ => json(out, "404 Not Found", "{\"message\":\"page not found\"}"),
        }
    }
}

/// Runs a command line against an engine; gives its status and the requests.
fn run(engine: Engine, words: &[&str]) -> (i32, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("s");
    let engine = Arc::new(engine);
    let listener = UnixListener::bind(&path).unwrap();
    let server = Arc::clone(&engine);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let server = Arc::clone(&server);
            std::thread::spawn(move || server.serve(stream));
        }
    });
    let status = command(&path, directory.path(), words);
    let seen = engine.seen.lock().unwrap().clone();
    (status, seen)
}

fn command(socket: &Path, config: &Path, words: &[&str]) -> i32 {
    let host = format!("unix://{}", socket.display());
    let config = config.display().to_string();
    let head = ["dhow", "--config", &config, "-H", &host];
    dhow_cli::main(head.iter().chain(words).map(|word| word.into()))
}

fn engine() -> Engine {
    Engine {
        status: 0,
        image: Mutex::new(true),
        start_error: None,
        seen: Mutex::new(Vec::new()),
        started: (Mutex::new(false), Condvar::new()),
    }
}

/// Attach and wait go out side by side.
fn sorted_pair(mut seen: Vec<String>) -> Vec<String> {
    if let Some(at) = seen.iter().position(|line| line.contains("/attach") || line.contains("/wait")) {
        seen[at..at + 2].sort();
    }
    seen
}

#[test]
fn everything_is_ready_before_the_start() {
    let (status, seen) = run(Engine { status: 3, ..engine() }, &["run", "--rm", "busybox", "true"]);
    assert_eq!(status, 3);
    assert_eq!(
        sorted_pair(seen),
        [
            "POST /containers/create",
            "POST /containers/abc/attach?stderr=1&stdout=1&stream=1",
            "POST /containers/abc/wait?condition=removed",
            "POST /containers/abc/start",
        ]
    );
}

#[test]
fn a_missing_image_is_pulled() {
    let (status, seen) = run(Engine { image: Mutex::new(false), ..engine() }, &["run", "-d", "busybox"]);
    assert_eq!(status, 0);
    assert_eq!(
        seen,
        [
            "POST /containers/create",
            "POST /images/create?fromImage=docker.io%2Flibrary%2Fbusybox&tag=latest",
            "POST /containers/create",
            "POST /containers/abc/start",
        ]
    );
}

#[test]
fn statuses_of_what_cannot_start() {
    let check = |error, expect| {
        let (status, _) = run(Engine { start_error: Some(error), ..engine() }, &["run", "busybox"]);
        assert_eq!(status, expect, "{error}");
    };
    check("exec: nope: executable file not found in $PATH", 127);
    check("exec: /etc: permission denied", 126);
    check("something else", 125);
}

#[test]
fn a_policy_of_never_pulls_nothing() {
    let (status, seen) = run(Engine { image: Mutex::new(false), ..engine() }, &["run", "--pull", "never", "busybox"]);
    assert_eq!((status, seen.len()), (125, 1));
}
