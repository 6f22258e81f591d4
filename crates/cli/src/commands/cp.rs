//! `cp`.

use std::io::{self, BufWriter, Read, Write};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use base64::Engine as _;
use bytes::Bytes;
use dhow_api::client::{Body, BodySender, Client, Request, Response};
use dhow_api::types::PathStat;
use dhow_archive::path;

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::copy::meter::Meter;
use crate::copy::plan::{self, End, Found, Target};
use crate::copy::{local, plan::plan as decide};
use crate::error::Error;
use crate::flags::{Flag, Parsed, switch};
use crate::terminal;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container cp", "cp"],
    usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\t{} [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    short: "Copy files between a container and here; - is a tar archive on standard input or output",
    flags: FLAGS,
    arity: Arity::Exactly(2),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[
    switch("archive", "Keep owners: the container's user's on the way in, the files' own on the way out").short('a'),
    switch("follow-link", "Copy what a link at SRC_PATH leads to").short('L'),
    switch("quiet", "Show no progress; without a terminal there is none").short('q'),
];

/// Go's bits of a mode.
const DIRECTORY: u32 = 1 << 31;
const LINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const IRREGULAR: u32 = 1 << 19;
/// Pieces under way.
const PIECES: usize = 8;
const PIECE: usize = 128 * 1024;

/// What the flags say.
#[derive(Debug, Clone, Copy)]
struct How {
    archive: bool,
    follow: bool,
    quiet: bool,
}

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let [source, target] = [&parsed.args[0], &parsed.args[1]];
    if source.is_empty() {
        return Err(Error::new("source can not be empty"));
    }
    if target.is_empty() {
        return Err(Error::new("destination can not be empty"));
    }
    let quiet = if parsed.value("quiet").is_some() { parsed.is("quiet") } else { !terminal::stdout_is_terminal() };
    let how = How { archive: parsed.is("archive"), follow: parsed.is("follow-link"), quiet };
    match (plan::end(source), plan::end(target)) {
        (End::There { container, path }, End::Here(target)) => app.block_on(out(app, container, path, target, how)),
        (End::Here(source), End::There { container, path }) => app.block_on(into(app, source, container, path, how)),
        (End::There { .. }, End::There { .. }) => Err(Error::new("copying between containers is not supported")),
        (End::Here(_), End::Here(_)) => Err(Error::new("must specify at least one container source")),
    }
}

fn request(method: http::Method, container: &str, at: &[u8]) -> Request {
    Request::new(method, shared::container(container, "/archive")).query("path", String::from_utf8_lossy(at).into_owned())
}

/// What lies at a path in the container.
async fn stat(client: &Client, container: &str, at: &[u8]) -> Result<PathStat, Error> {
    found(&client.send(request(http::Method::HEAD, container, at)).await?)
}

fn found(answer: &Response) -> Result<PathStat, Error> {
    let header = answer.header("x-docker-container-path-stat").unwrap_or_default();
    let json = base64::engine::general_purpose::STANDARD.decode(header).unwrap_or_default();
    serde_json::from_slice(&json).map_err(|e| Error::new(format!("unable to decode container path stat header: {e}")))
}

/// Where a link in the container leads.
fn followed(link: &[u8], stat: &PathStat) -> Vec<u8> {
    let target = stat.link_target.as_bytes();
    if target.starts_with(b"/") {
        return target.to_vec();
    }
    let (parent, _) = path::split(link);
    path::clean(&path::join(&parent, target))
}

/// From a container to here.
async fn out(app: &App, container: &str, source: &str, target: &str, how: How) -> Result<(), Error> {
    let at = if target == "-" { None } else { Some(local::absolute(target).map_err(Error::new)?) };
    if let Some(at) = &at {
        local::check_target(at).map_err(Error::new)?;
    }
    let client = app.client().await?;
    let mut asked = source.as_bytes().to_vec();
    if how.follow
        && let Ok(stat) = stat(client, container, &asked).await
        && stat.mode & LINK != 0
    {
        asked = path::keep_ending(followed(&asked, &stat), &asked);
    }
    let mut answer = client.send(request(http::Method::GET, container, &asked)).await?;
    let Some(at) = at else {
        let mut stdout = io::stdout().lock();
        while let Some(piece) = answer.chunk().await? {
            stdout.write_all(&piece).map_err(Error::output)?;
        }
        return stdout.flush().map_err(Error::output);
    };
    let is_dir = found(&answer)?.mode & DIRECTORY != 0;
    let plan = local::target(&at).and_then(|target| decide(is_dir, &target).map_err(str::to_owned)).map_err(Error::new)?;
    let rename = plan::renames(&asked, path::base(source.as_bytes()), &plan);
    let meter = Meter::new("Copying from container - ", how.quiet);
    let owners = how.archive && rustix::process::geteuid().is_root();
    let (sender, pieces) = mpsc::sync_channel(PIECES);
    let mut incoming = meter.over(Pieces { pieces, current: Bytes::new() });
    let work = std::thread::spawn(move || local::unpack(&plan, rename.as_ref(), owners, &mut incoming));
    let received = receive(&mut answer, &sender).await;
    drop(sender);
    let unpacked = work.join().unwrap_or_else(|_| Err("unpacking failed".into()));
    meter.clear();
    received?;
    unpacked.map_err(Error::new)?;
    meter.done(&String::from_utf8_lossy(&at));
    Ok(())
}

/// Hands the answer over, until nobody wants more.
async fn receive(answer: &mut Response, sender: &mpsc::SyncSender<io::Result<Bytes>>) -> Result<(), Error> {
    loop {
        match answer.chunk().await {
            Ok(None) => return Ok(()),
            Ok(Some(piece)) => {
                if sender.send(Ok(piece)).is_err() {
                    return Ok(());
                }
            }
            Err(error) => {
                // Half an archive is not the whole, even where it ends between two files.
                let _unheard = sender.send(Err(io::ErrorKind::UnexpectedEof.into()));
                return Err(error.into());
            }
        }
    }
}

struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.recv() {
                Ok(piece) => self.current = piece?,
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

/// From here into a container.
async fn into(app: &App, source: &str, container: &str, at: &str, how: How) -> Result<(), Error> {
    let client = app.client().await?;
    let target = target(client, container, at).await?;
    let shown = format!("{container}:{}", String::from_utf8_lossy(&target.path));
    let meter = Meter::new("Copying to container - ", how.quiet);
    let failure = Arc::new(Mutex::new(None));
    let (dir, body) = if source == "-" {
        if target.found != Found::Directory {
            return Err(Error::new(format!("destination \"{container}:{at}\" must be a directory")));
        }
        (target.path, Body::from_reader(io::stdin()))
    } else {
        let source = local::source(local::absolute(source).map_err(Error::new)?, how.follow).map_err(Error::new)?;
        let plan = decide(source.is_dir, &target).map_err(Error::new)?;
        let name = plan.name.unwrap_or_else(|| source.name.clone());
        (plan.dir, upload(source, name, &meter, failure.clone()))
    };
    let mut put = request(http::Method::PUT, container, &dir).query("noOverwriteDirNonDir", "true");
    if how.archive {
        put = put.query("copyUIDGID", "true");
    }
    let done = client.call(put.body("application/x-tar", body)).await;
    meter.clear();
    // What went wrong here is the reason of what went wrong there.
    let here = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (done, here) {
        (Err(error), None) => Err(error.into()),
        (Err(error @ dhow_api::client::Error::Daemon { .. }), _) => Err(error.into()),
        (_, Some(text)) => Err(Error::new(text)),
        (Ok(_), None) => {
            meter.done(&shown);
            Ok(())
        }
    }
}

/// The destination in the container; what cannot be looked at is taken for missing, and the copy itself will tell.
async fn target(client: &Client, container: &str, at: &str) -> Result<Target, Error> {
    let mut path = at.as_bytes().to_vec();
    let mut there = stat(client, container, &path).await;
    if let Ok(link) = &there
        && link.mode & LINK != 0
    {
        path = followed(&path, link);
        there = stat(client, container, &path).await;
    }
    let mode = there.as_ref().map_or(0, |stat| stat.mode);
    let unfit = match mode {
        mode if mode & DEVICE != 0 => Some("got a device"),
        mode if mode & IRREGULAR != 0 => Some("got an irregular file"),
        _ => None,
    };
    if let Some(why) = unfit {
        return Err(Error::new(format!("destination \"{container}:{at}\" must be a directory or a regular file: {why}")));
    }
    let found = match there {
        Err(_) => Found::Nothing,
        Ok(_) if mode & DIRECTORY != 0 => Found::Directory,
        Ok(_) => Found::Other,
    };
    Ok(Target { path, found })
}

/// An archive of what lies here, made while it is sent.
fn upload(source: local::Source, name: Vec<u8>, meter: &Meter, failure: Arc<Mutex<Option<String>>>) -> Body {
    let (sender, body) = Body::channel();
    let mut out = BufWriter::with_capacity(PIECE, meter.over(Outgoing(sender.clone())));
    std::thread::spawn(move || {
        let done = source.write(&name, &mut out);
        let done = done.and_then(|()| out.flush().map_err(|e| e.to_string()));
        let (_, _rest) = out.into_parts();
        if let Err(text) = done {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            // Breaks the request off. Where it has ended already, that is the reason of this failure.
            sender.blocking_send(Err(io::Error::other("the archive ends early")));
        }
    });
    body
}

struct Outgoing(BodySender);

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))) { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
