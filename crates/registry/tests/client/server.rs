//! A registry that misbehaves as it is told to: one closure answers every request, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request, as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What to answer: a status and headers, the body, and how much of it is sent before the connection is cut.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) cut_after: Option<usize>,
    /// After the body, this many zeros more.
    pub(crate) endless: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, headers: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
        Self { head, body, cut_after: None, endless: false }
    }

    pub(crate) fn cut(mut self, after: usize) -> Self {
        self.cut_after = Some(after);
        self
    }
}

type Handler = dyn Fn(&Asked, usize) -> Answer + Send + Sync;

/// A server on loopback. Its threads end with the test's process.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// `handler` gets each request and how many with the same path came before.
    pub(crate) fn start(handler: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Self { address, asked: Arc::default() };
        let (asked, handler): (_, Arc<Handler>) = (server.asked.clone(), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, handler) = (asked.clone(), handler.clone());
                // A client that hangs up is part of the game.
                std::thread::spawn(move || drop(serve(stream, &asked, &*handler)));
            }
        });
        server
    }

    /// Every request so far.
    pub(crate) fn all(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Every request so far but greetings.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.all().into_iter().filter(|asked| asked.path != "/v2/").collect()
    }
}

fn serve(stream: TcpStream, all: &Mutex<Vec<Asked>>, handler: &Handler) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let Some(asked) = read(&mut reader)? else { return Ok(()) };
        let before = {
            let mut all = all.lock().unwrap();
            let before = all.iter().filter(|other| other.path == asked.path && other.method == asked.method).count();
            all.push(asked.clone());
            before
        };
        let answer = handler(&asked, before);
        writer.write_all(answer.head.as_bytes())?;
        match answer.cut_after {
            Some(after) => {
                writer.write_all(&answer.body[..after])?;
                return writer.shutdown(std::net::Shutdown::Both);
            }
            None if asked.method == "HEAD" => {}
            None => writer.write_all(&answer.body)?,
        }
        if answer.endless {
            loop {
                writer.write_all(&[0; 65536])?;
            }
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    // A TLS greeting is no text.
    if reader.fill_buf()?.first().is_none_or(|byte| !byte.is_ascii_uppercase()) || reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut asked = Asked { method: words.next().unwrap_or_default(), path: words.next().unwrap_or_default(), ..Asked::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => asked.headers.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let length = asked.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body)?;
    Ok(Some(asked))
}
