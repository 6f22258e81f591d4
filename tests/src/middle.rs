//! What stands between a client and a registry: it hears every request, and breaks answers off when it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is done to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes through.
    Whole,
    /// So many bytes of it go through, then the connection ends.
    Cut(usize),
    /// So many bytes of it go through, the rest when the gate is opened.
    Held(usize),
}

/// One request: its method, its path, and the `Range` that it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// `GET`.
    pub method: String,
    /// `/v2/…`.
    pub path: String,
    /// Empty where there is none.
    pub range: String,
}

type Judge = dyn Fn(&Heard, usize) -> Fate + Send + Sync;

/// A listener on loopback in front of a registry. Its threads end with the test's process.
#[derive(Clone)]
pub struct Middle {
    /// `127.0.0.1:PORT`.
    pub address: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    gate: Arc<AtomicBool>,
    /// Blobs on their way, now and at most.
    moving: Arc<(AtomicUsize, AtomicUsize)>,
}

impl std::fmt::Debug for Middle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Middle").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Middle {
    /// In front of `to`. `judge` gets each request and how many for the same path came before.
    pub fn start(to: &str, judge: impl Fn(&Heard, usize) -> Fate + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let middle = Self { address, heard: Arc::default(), gate: Arc::default(), moving: Arc::default() };
        let (own, to, judge): (_, _, Arc<Judge>) = (middle.clone(), to.to_owned(), Arc::new(judge));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, to, judge) = (own.clone(), to.clone(), judge.clone());
                // Connections that break are what this is for.
                thread::spawn(move || drop(own.serve(stream, &to, &*judge)));
            }
        });
        middle
    }

    /// Every request so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no panic").clone()
    }

    /// Those for a path.
    pub fn heard_for(&self, path: &str) -> Vec<Heard> {
        self.heard().into_iter().filter(|heard| heard.path == path).collect()
    }

    /// Most blobs that were fetched, or most that were sent, at one time.
    pub fn most_at_once(&self) -> usize {
        self.moving.1.load(Ordering::Acquire)
    }

    /// Lets the answers go on that are held.
    pub fn open(&self) {
        self.gate.store(true, Ordering::Release);
    }

    /// One request for each connection: the answer says that it is the last.
    fn serve(&self, mut client: TcpStream, to: &str, judge: &Judge) -> std::io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        // A TLS greeting is no text.
        if reader.fill_buf()?.first().is_none_or(|byte| !byte.is_ascii_uppercase()) {
            return client.shutdown(Shutdown::Both);
        }
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let value = |name: &str| head.lines().find_map(|line| line.to_lowercase().strip_prefix(&format!("{name}: ")).map(str::to_owned));
        let heard = Heard {
            method: first.next().unwrap_or_default(),
            path: first.next().unwrap_or_default(),
            range: value("range").unwrap_or_default(),
        };
        let mut body = vec![0; value("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let before = {
            let mut all = self.heard.lock().expect("no panic");
            let before = all.iter().filter(|other| other.path == heard.path).count();
            all.push(heard.clone());
            before
        };
        let mut server = TcpStream::connect(to)?;
        let host = format!("host: {}\r\n", self.address);
        let others = lines.filter(|line| !line.is_empty() && !line.to_lowercase().starts_with("host:"));
        let rest: String = others.map(|line| format!("{line}\r\n")).collect();
        let first = head.lines().next().unwrap_or_default();
        server.write_all(format!("{first}\r\n{host}connection: close\r\n{rest}\r\n").as_bytes())?;
        server.write_all(&body)?;
        let moves = matches!(
            (heard.method.as_str(), heard.path.contains("/blobs/sha256:"), heard.path.contains("/blobs/uploads/")),
            ("GET", true, _) | ("PATCH" | "PUT", _, true)
        );
        if moves {
            let now = self.moving.0.fetch_add(1, Ordering::AcqRel) + 1;
            self.moving.1.fetch_max(now, Ordering::AcqRel);
        }
        let over = || {
            if moves {
                self.moving.0.fetch_sub(1, Ordering::AcqRel);
            }
        };
        self.pass(&mut server, &mut client, judge(&heard, before), over)
    }

    /// `over` is called once, before the answer's last bytes are handed on: who has them all may begin the next transfer at once.
    fn pass(&self, from: &mut TcpStream, to: &mut TcpStream, fate: Fate, over: impl Fn()) -> std::io::Result<()> {
        match fate {
            Fate::Whole => {}
            Fate::Cut(bytes) => {
                let mut part = Vec::new();
                let read = from.take(bytes as u64).read_to_end(&mut part);
                over();
                read.and_then(|_| to.write_all(&part))?;
                return to.shutdown(Shutdown::Both);
            }
            Fate::Held(bytes) => {
                std::io::copy(&mut from.take(bytes as u64), to)?;
                crate::until("the gate to be opened", || self.gate.load(Ordering::Acquire));
            }
        }
        let mut last = Vec::new();
        let mut passed = Ok(());
        while passed.is_ok() {
            let mut next = vec![0; 64 * 1024];
            match from.read(&mut next) {
                Ok(0) => break,
                Ok(count) => {
                    next.truncate(count);
                    passed = to.write_all(&last);
                    last = next;
                }
                Err(error) => passed = Err(error),
            }
        }
        over();
        passed.and_then(|()| to.write_all(&last))?;
        to.shutdown(Shutdown::Both)
    }
}
