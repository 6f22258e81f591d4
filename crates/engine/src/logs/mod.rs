//! Logs: read from the json-file on disk, never from memory. A reader keeps nothing of a container but its files.

mod files;
mod follow;
mod line;
pub mod model;
mod since;
mod tail;

use crate::container::machine::is_active;
use crate::container::slot::Slot;
use crate::error::{Error, Kind, Result};
use crate::logs::model::{LogLine, LogRequest};
use files::LogFile;
use line::Lines;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Batches of lines that wait for a slow client.
const QUEUE: usize = 2;

/// Lines as they are read, some at once.
pub(crate) type Batches = mpsc::Receiver<Result<Vec<LogLine>>>;

type Channel = mpsc::Sender<Result<Vec<LogLine>>>;

/// Starts to read.
pub(crate) fn read(slot: &Arc<Slot>, request: LogRequest) -> Result<Batches> {
    let container = slot.get();
    if !crate::create::log::is_readable(&container.request.host.log) {
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
    // Set up before the reading, so that nothing written meanwhile is overlooked.
    let notifier = request.follow.then(|| follow::Notifier::new(&path));
    let starts = blocking({
        let path = path.clone();
        let (tail, since) = (request.tail, request.since);
        move || {
            let files = files::open_all(&path);
            let starts = match (tail, since) {
                (Some(wanted), _) => tail::positions(files, wanted),
                (None, Some(since)) => since::positions(files, since),
                (None, None) => Ok(files.into_iter().map(|file| (file, 0)).collect()),
            };
            starts.map_err(|e| Error::internal("read", path.display(), e))
        }
    })
    .await?;
    let mut newest = None;
    for (file, position) in starts {
        let mut lines = open(file, position).await?;
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

/// Goes to a place in a file, which of a compressed one takes a while.
async fn open(file: LogFile, position: u64) -> Result<Lines> {
    blocking(move || Lines::new(file, position).map_err(|e| Error::internal("read", "the log", e))).await
}

/// Sends what a file holds from here on. False when nobody listens any more, or the wanted time is over.
async fn drain(lines: &mut Lines, request: &LogRequest, sender: &Channel) -> Result<bool> {
    loop {
        let mut taken = std::mem::take(lines);
        let (back, batch) = blocking(move || {
            let batch = taken.batch();
            Ok((taken, batch))
        })
        .await?;
        *lines = back;
        let mut batch = batch.map_err(|e| Error::internal("read", "the log", e))?;
        if batch.is_empty() {
            return Ok(true);
        }
        let late = request.until.and_then(|until| batch.iter().position(|line| line.at > until));
        batch.truncate(late.unwrap_or(batch.len()));
        batch.retain(|line| wanted(line, request));
        if !batch.is_empty() && sender.send(Ok(batch)).await.is_err() || late.is_some() {
            return Ok(false);
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

#[cfg(test)]
mod tests;
