//! Logs: read from the json-file on disk, never from memory. A reader keeps nothing of a container but its files.
//!
//! Files are `PATH`, and rotated ones `PATH.1` (newest) to `PATH.N` (oldest).

mod follow;
mod line;
mod tail;

use crate::container::{Slot, is_active};
use crate::engine::{LogLine, LogRequest};
use crate::error::{Error, Kind, Result};
use line::Lines;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Lines that wait for a slow client.
const QUEUE: usize = 64;
/// Most rotated files looked for.
const FILES: u32 = 1000;

type Channel = mpsc::Sender<Result<LogLine>>;

/// Starts to read.
pub(crate) fn read(slot: &Arc<Slot>, request: LogRequest) -> Result<mpsc::Receiver<Result<LogLine>>> {
    let container = slot.get();
    if container.request.host.log.driver == "none" {
        return Err(Error::new(Kind::NotImplemented, "configured logging driver does not support reading"));
    }
    let (sender, receiver) = mpsc::channel(QUEUE);
    // Watched from here on, so that an end between now and the first look is not missed.
    let watch = slot.watch();
    if container.log_path.is_empty() && !(request.follow && is_active(container.state.status)) {
        return Ok(receiver);
    }
    let path = PathBuf::from(&container.log_path);
    tokio::spawn(async move {
        if let Err(error) = serve(path, request, watch, &sender).await {
            // Whoever stopped listening wants no error either.
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(receiver)
}

async fn serve(path: PathBuf, request: LogRequest, watch: follow::Watch, sender: &Channel) -> Result<()> {
    let opened = blocking({
        let path = path.clone();
        move || Ok(open_all(&path))
    })
    .await?;
    // Set up before the reading, so that nothing written meanwhile is overlooked.
    let notifier = request.follow.then(|| follow::Notifier::new(&path));
    let starts = match request.tail {
        Some(wanted) => blocking(move || tail::positions(opened, wanted).map_err(|e| Error::internal("read", "the log", e))).await?,
        None => opened.into_iter().map(|file| (file, 0)).collect(),
    };
    let mut newest = None;
    for (file, position) in starts {
        let mut lines = Lines::new(file, position);
        if !drain(&mut lines, &request, sender).await? {
            return Ok(());
        }
        newest = Some(lines);
    }
    match notifier {
        Some(notifier) => follow::follow(path, newest, notifier, &request, watch, sender).await,
        None => Ok(()),
    }
}

/// Sends what a file holds from here on. False when nobody listens any more, or the wanted time is over.
async fn drain(lines: &mut Lines, request: &LogRequest, sender: &Channel) -> Result<bool> {
    loop {
        let mut taken = std::mem::replace(lines, Lines::none());
        let (back, batch) = blocking(move || {
            let batch = taken.batch();
            Ok((taken, batch))
        })
        .await?;
        *lines = back;
        let batch = batch.map_err(|e| Error::internal("read", "the log", e))?;
        if batch.is_empty() {
            return Ok(true);
        }
        for line in batch {
            if request.until.is_some_and(|until| line.at > until) {
                return Ok(false);
            }
            if wanted(&line, request) && sender.send(Ok(line)).await.is_err() {
                return Ok(false);
            }
        }
    }
}

fn wanted(line: &LogLine, request: &LogRequest) -> bool {
    let stream = match line.stream {
        2 => request.stderr,
        _ => request.stdout,
    };
    stream && request.since.is_none_or(|since| line.at >= since)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(Error::internal("read", "the log", e)),
    }
}

/// All files of a log, oldest first. One that is rotated away meanwhile is read under its new name or is passed over, never twice.
fn open_all(path: &Path) -> Vec<File> {
    let mut newest_first: Vec<(u64, File)> = Vec::new();
    for n in 0..FILES {
        let name = if n == 0 { path.to_owned() } else { rotated(path, n) };
        let Ok(file) = File::open(name) else { break };
        let Ok(inode) = file.metadata().map(|m| m.ino()) else { break };
        if newest_first.iter().all(|(seen, _)| *seen != inode) {
            newest_first.push((inode, file));
        }
    }
    newest_first.into_iter().rev().map(|(_, file)| file).collect()
}

fn rotated(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
