//! A registry that misbehaves: it says whatever a test wants.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is said to a request for a path.
#[derive(Debug, Clone)]
pub enum Say {
    /// Status, `Content-Type`, body.
    Plain(u16, &'static str, Vec<u8>),
    /// A head of one's own, without its end, and a body.
    Raw(String, Vec<u8>),
    /// A body without an end, after this head.
    Endless(String),
    /// The connection ends at once.
    Nothing,
}

/// A listener on loopback. Its threads end with the test's process.
#[derive(Debug, Clone)]
pub struct Fake {
    /// `127.0.0.1:PORT`.
    pub address: String,
    says: Arc<Mutex<HashMap<String, Say>>>,
}

impl Fake {
    /// Greets as a registry does, and has nothing.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let fake = Self { address: listener.local_addr().expect("an address").to_string(), says: Arc::default() };
        fake.say("/v2/", Say::Plain(200, "application/json", b"{}".to_vec()));
        let own = fake.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                // A client that has heard enough hangs up.
                thread::spawn(move || drop(own.serve(stream)));
            }
        });
        fake
    }

    /// What it says of a path from now on, whatever the method.
    pub fn say(&self, path: &str, what: Say) {
        self.says.lock().expect("no panic").insert(path.to_owned(), what);
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        // A TLS greeting is no text.
        if reader.fill_buf()?.first().is_none_or(|byte| !byte.is_ascii_uppercase()) {
            return stream.shutdown(Shutdown::Both);
        }
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
        let path = head.split(' ').nth(1).unwrap_or_default();
        let missing = Say::Plain(404, "application/json", br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no"}]}"#.to_vec());
        let what = self.says.lock().expect("no panic").get(path).cloned().unwrap_or(missing);
        match what {
            Say::Plain(status, kind, body) => {
                let length = body.len();
                write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n")?;
                stream.write_all(&body)?;
            }
            Say::Raw(head, body) => {
                write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n")?;
                stream.write_all(&body)?;
            }
            Say::Endless(head) => {
                write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n")?;
                loop {
                    stream.write_all(&[b' '; 65536])?;
                }
            }
            Say::Nothing => {}
        }
        stream.shutdown(Shutdown::Both)
    }
}
