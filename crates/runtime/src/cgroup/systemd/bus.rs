//! A conversation with systemd: over its own socket, which root may use, or over the system's bus.

use super::message::{self, ERROR, Message, RETURN, Reader, SIGNAL, Target, Writer};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// systemd answers at once, unless it is in trouble.
const PATIENCE: Duration = Duration::from_secs(25);
const OWN_SOCKET: &str = "/run/systemd/private";
const BUS_SOCKET: &str = "/run/dbus/system_bus_socket";

const MANAGER: Target<'_> =
    Target { destination: "org.freedesktop.systemd1", path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" };
const BUS: Target<'_> = Target { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };
const RULE: &str = "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// An open conversation.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Jobs that ended while something else was waited for: job and result.
    ended: Vec<(String, String)>,
}

impl Bus {
    pub(super) fn open() -> io::Result<Self> {
        if let Ok(stream) = UnixStream::connect(OWN_SOCKET) {
            return Self::over(stream);
        }
        let mut bus = Self::over(UnixStream::connect(BUS_SOCKET)?)?;
        bus.call(BUS, "Hello", "", &Writer::default())?;
        let mut rule = Writer::default();
        rule.text(RULE);
        bus.call(BUS, "AddMatch", "s", &rule)?;
        bus.call(MANAGER, "Subscribe", "", &Writer::default())?;
        Ok(bus)
    }

    /// The greeting: who we are, as the kernel says it.
    pub(super) fn over(mut stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let uid: String = rustix::process::geteuid().as_raw().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        // All at once: systemd overlooks a call that it reads together with the end of a greeting in parts.
        stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n").as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
            if answer.len() > 256 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        if !answer.starts_with(b"OK ") {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "systemd does not know us"));
        }
        Ok(Self { stream, serial: 0, ended: Vec::new() })
    }

    fn read(&mut self) -> io::Result<Message> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).map_err(patience)?;
        let length = message::length(&head).ok_or(io::ErrorKind::InvalidData)?;
        let mut bytes = head.to_vec();
        bytes.resize(length.max(16), 0);
        self.stream.read_exact(&mut bytes[16..]).map_err(patience)?;
        message::parse(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn keep(&mut self, message: &Message) {
        if message.kind == SIGNAL && message.member == "JobRemoved" {
            let mut reader = Reader { bytes: &message.body, at: 0 };
            let parts = || Some((reader.u32()?, reader.text()?, reader.text()?, reader.text()?));
            if let Some((_, job, _, result)) = { parts }() {
                self.ended.push((job.to_owned(), result.to_owned()));
            }
        }
    }

    fn call(&mut self, target: Target<'_>, member: &str, signature: &str, body: &Writer) -> io::Result<Message> {
        self.serial += 1;
        self.stream.write_all(&message::call(self.serial, target, member, signature, body))?;
        loop {
            let message = self.read()?;
            match message.kind {
                RETURN if message.reply == self.serial => return Ok(message),
                ERROR if message.reply == self.serial => return Err(refusal(&message)),
                _ => self.keep(&message),
            }
        }
    }

    /// A call of the manager's that begins a job, up to the end of the job.
    pub(super) fn job(&mut self, member: &str, signature: &str, body: &Writer) -> io::Result<()> {
        let answer = self.call(MANAGER, member, signature, body)?;
        let job = Reader { bytes: &answer.body, at: 0 }.text().ok_or(io::ErrorKind::InvalidData)?.to_owned();
        loop {
            if let Some(at) = self.ended.iter().position(|(other, _)| *other == job) {
                return match self.ended.swap_remove(at).1.as_str() {
                    "done" => Ok(()),
                    other => Err(io::Error::other(format!("systemd says: {other}"))),
                };
            }
            let message = self.read()?;
            self.keep(&message);
        }
    }

    /// A call of the manager's.
    pub(super) fn manager(&mut self, member: &str, signature: &str, body: &Writer) -> io::Result<()> {
        self.call(MANAGER, member, signature, body).map(drop)
    }
}

fn patience(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "systemd does not answer"),
        _ => error,
    }
}

fn refusal(message: &Message) -> io::Error {
    let words = Reader { bytes: &message.body, at: 0 }.text().unwrap_or_default();
    let kind = match message.error.as_str() {
        "org.freedesktop.systemd1.NoSuchUnit" => io::ErrorKind::NotFound,
        "org.freedesktop.systemd1.UnitExists" => io::ErrorKind::AlreadyExists,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("systemd says: {words} ({})", message.error))
}
