//! An answer whose body is written by blocking code, as fast as the client reads it: an archive on its way out.

use super::body::{Body, Piece};
use super::{Reply, limits, reply};
use crate::error::{Failure, Result};
use dhow_engine::Error;
use std::future::Future;
use std::io::{self, Write};
use tokio::sync::mpsc;

/// Bytes that are collected before they are handed on.
const CHUNK: usize = 128 * 1024;

/// The end that is written to. A client that has gone away shows as a broken pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    sender: mpsc::Sender<Piece>,
    pending: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(data);
        if self.pending.len() >= CHUNK {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.pending, Vec::with_capacity(CHUNK + CHUNK / 2));
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Begins work that writes to the pipe and flushes it at its end. Nothing is answered before the first bytes are there, so that an error
/// before them has its status; one after them cuts the connection off, so that no client takes half an archive for a whole one.
pub(crate) async fn answer<W>(kind: &'static str, work: impl FnOnce(Pipe) -> W) -> Result<Reply>
where
    W: Future<Output = std::result::Result<(), Error>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(limits::CHUNKS);
    let work = work(Pipe { sender: sender.clone(), pending: Vec::new() });
    tokio::spawn(async move {
        if let Err(error) = work.await {
            // Who does not listen any more has caused it.
            let _ = sender.send(Err(error)).await;
        }
    });
    match receiver.recv().await {
        Some(Ok(first)) => Ok(reply::stream(kind, Body::Fallible { first: Some(first), rest: receiver })),
        Some(Err(error)) => Err(Failure::from(error)),
        None => Ok(reply::stream(kind, Body::empty())),
    }
}
