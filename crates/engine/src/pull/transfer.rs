//! Layers on their way: each is fetched once, however many pulls want it, and no longer than one of them does.

use dhow_image::{Arrived, Images};
use dhow_registry::protocol::Descriptor;
use dhow_registry::{BlobEvent, Repository};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

/// Pieces of a layer between the network and the disk. Each has up to 256 KiB, and memory that is touched for the first time costs more than
/// the wait for a piece that comes back.
const PIECES: usize = 4;

/// How far a layer is.
#[derive(Debug, Clone)]
pub(super) enum State {
    Waiting,
    Downloading { done: u64, total: u64 },
    Retrying { seconds: u64 },
    Done(Arc<Arrived>),
    Failed(Arc<Failure>),
}

/// Why a layer did not come.
#[derive(Debug)]
pub(super) enum Failure {
    Registry(dhow_registry::Error),
    Store(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(error) => error.fmt(f),
            Self::Store(message) => f.write_str(message),
        }
    }
}

/// A layer on its way. Dropped by the last who wants it, it ends.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) state: watch::Receiver<State>,
    task: AbortHandle,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Transfers {
    running: Mutex<HashMap<String, Weak<Transfer>>>,
    permits: Mutex<Arc<Semaphore>>,
}

impl Transfers {
    /// At most so many at once.
    pub(crate) fn new(most: usize) -> Self {
        Self { running: Mutex::default(), permits: Mutex::new(Arc::new(Semaphore::new(most.max(1)))) }
    }

    /// At most so many of those that begin from now on.
    pub(crate) fn set_limit(&self, most: usize) {
        *self.permits.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Semaphore::new(most.max(1)));
    }

    /// Joins the transfer of a layer, or begins it. One that failed is begun anew.
    pub(super) fn join(&self, images: &Arc<Images>, repository: &Repository, layer: &Descriptor) -> Arc<Transfer> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, transfer| transfer.strong_count() > 0);
        let found = running.get(&layer.digest).and_then(Weak::upgrade);
        if let Some(transfer) = found.filter(|transfer| !matches!(*transfer.state.borrow(), State::Failed(_))) {
            return transfer;
        }
        let permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let permit = permits.clone().try_acquire_owned().ok();
        let first = if permit.is_some() { State::Downloading { done: 0, total: layer.size } } else { State::Waiting };
        let (sender, state) = watch::channel(first);
        let work = Work { images: images.clone(), repository: repository.clone(), layer: layer.clone(), state: sender };
        let task = tokio::spawn(work.run(permit, permits)).abort_handle();
        let transfer = Arc::new(Transfer { state, task });
        running.insert(layer.digest.clone(), Arc::downgrade(&transfer));
        transfer
    }
}

/// What a transfer's task works with.
struct Work {
    images: Arc<Images>,
    repository: Repository,
    layer: Descriptor,
    state: watch::Sender<State>,
}

impl Work {
    async fn run(self, permit: Option<OwnedSemaphorePermit>, permits: Arc<Semaphore>) {
        let _permit = match permit {
            Some(permit) => Some(permit),
            // It is never closed.
            None => permits.acquire_owned().await.ok(),
        };
        let end = match self.fetch().await {
            Ok(arrived) => State::Done(arrived),
            Err(failure) => State::Failed(Arc::new(failure)),
        };
        self.state.send_replace(end);
    }

    /// Content that is not what it should be is fetched once more, from its beginning: it may be a partial file of another day.
    async fn fetch(&self) -> Result<Arc<Arrived>, Failure> {
        for _ in 0..2 {
            if let Some(arrived) = self.once().await? {
                return Ok(Arc::new(arrived));
            }
        }
        let digest = self.layer.digest.clone();
        Err(Failure::Registry(dhow_registry::Error::Digest { what: "filesystem layer", digest }))
    }

    async fn once(&self) -> Result<Option<Arrived>, Failure> {
        let (sender, pieces) = mpsc::channel(PIECES);
        let (tell_start, start) = oneshot::channel();
        let (images, layer) = (self.images.clone(), self.layer.clone());
        let writer = tokio::task::spawn_blocking(move || write(&images, &layer, tell_start, pieces));
        // Where it does not come to the start, the writer's end says why.
        let sent = match start.await {
            Ok(from) => self.send(from, sender).await,
            Err(_) => Ok(()),
        };
        let written = writer.await.map_err(|error| Failure::Store(error.to_string()))?;
        // A full disk explains more than the connection that ends because of it.
        match (written, sent) {
            (Err(error), _) => Err(Failure::Store(error.to_string())),
            (Ok(_), Err(error)) => Err(Failure::Registry(error)),
            (Ok(arrived), Ok(())) => Ok(arrived),
        }
    }

    /// Hands the bytes from a place on to the writer.
    async fn send(&self, from: u64, pieces: mpsc::Sender<bytes::Bytes>) -> Result<(), dhow_registry::Error> {
        let total = self.layer.size;
        let mut done = from;
        let mut blob = self.repository.blob(&self.layer.digest, total, from);
        self.state.send_replace(State::Downloading { done, total });
        while let Some(event) = blob.next().await? {
            match event {
                BlobEvent::Data(bytes) => {
                    done += bytes.len() as u64;
                    if pieces.send(bytes).await.is_err() {
                        return Ok(());
                    }
                    self.state.send_replace(State::Downloading { done, total });
                }
                BlobEvent::Retry { after, error } => {
                    tracing::warn!(layer = self.layer.digest, %error, "a layer's transfer broke off and is tried again");
                    self.wait(after).await;
                }
            }
        }
        Ok(())
    }

    /// Waits and counts the seconds down.
    async fn wait(&self, after: Duration) {
        let end = tokio::time::Instant::now() + after;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return;
            }
            self.state.send_replace(State::Retrying { seconds: left.as_secs_f64().ceil() as u64 });
            tokio::time::sleep(left.min(Duration::from_secs(1))).await;
        }
    }
}

/// On a blocking thread: hashes and writes what comes. `None` where it is not what it should be.
fn write(
    images: &Images,
    layer: &Descriptor,
    start: oneshot::Sender<u64>,
    mut pieces: mpsc::Receiver<bytes::Bytes>,
) -> dhow_image::Result<Option<Arrived>> {
    let mut ingest = images.ingest(&layer.digest, layer.size)?;
    if start.send(ingest.at()).is_err() {
        return Err(dhow_image::Error::Aborted);
    }
    while let Some(bytes) = pieces.blocking_recv() {
        ingest.write(&bytes)?;
    }
    if ingest.at() < layer.size {
        // The sender ended early: what came stays for the next time.
        return Ok(None);
    }
    ingest.finish()
}
