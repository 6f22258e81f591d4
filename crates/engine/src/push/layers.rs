//! The layers of one image: each is looked for, had from another repository, or sent; several at a time.

use super::calls::{blocking, translate};
use super::model::{LayerStep, PushStep, Tell, say};
use crate::error::{Error, Kind, Result};
use crate::parts::Parts;
use bytes::Bytes;
use dhow_image::{Images, Outgoing, Packed};
use dhow_reference::Reference;
use dhow_registry::{Content, Place, Repository, Upload};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::io::{self, Read, Seek, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Time between two words about one layer.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;
/// Pieces between the disk and the network.
const PIECES: usize = 4;
/// Other repositories that are asked for a layer.
const SOURCES: usize = 3;

/// A future of one lifetime: the compiler cannot see through the borrows of so many at once.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What the layers of one image have in common.
struct Sending<'a> {
    parts: &'a Arc<Parts>,
    repository: &'a Repository,
    outgoing: &'a Arc<Outgoing>,
    name: &'a Reference,
    tell: &'a Tell,
}

/// Brings every layer to the registry; gives what it knows them by, from the bottom.
pub(super) async fn send(
    parts: &Arc<Parts>,
    repository: &Repository,
    outgoing: &Arc<Outgoing>,
    name: &Reference,
    tell: &Tell,
) -> Result<Vec<Packed>> {
    let sending = Sending { parts, repository, outgoing, name, tell };
    let layers = outgoing.layers();
    let first = |number: usize| layers.iter().position(|other| other.diff == layers[number].diff).unwrap_or(number);
    let mut running: FuturesUnordered<Boxed<'_, (usize, Packed)>> = FuturesUnordered::new();
    // From the top, as Docker tells them; the same content only once.
    for number in (0..layers.len()).rev().filter(|number| first(*number) == *number) {
        say(tell, PushStep::Layer(layers[number].diff.clone(), LayerStep::Preparing)).await?;
        running.push(Box::pin(sending.layer(number)));
    }
    let mut found: Vec<Option<Packed>> = vec![None; layers.len()];
    while let Some(end) = running.next().await {
        let (number, packed) = end?;
        found[number] = Some(packed);
    }
    let missing = || Error::new(Kind::Internal, "a layer was not pushed");
    (0..layers.len()).map(|number| found[first(number)].clone().ok_or_else(missing)).collect()
}

impl Sending<'_> {
    async fn layer(&self, number: usize) -> Result<(usize, Packed)> {
        let permits = self.parts.uploads();
        let _permit = match permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => {
                self.say(number, LayerStep::Waiting).await?;
                permits.acquire().await.map_err(|error| Error::internal("wait for", "a turn", error))?
            }
        };
        let outgoing = self.outgoing.clone();
        let packed = blocking(move || outgoing.pack(number)).await?;
        if self.repository.has_blob(&packed.digest).await.map_err(translate)? {
            self.say(number, LayerStep::Exists).await?;
            return Ok((number, packed));
        }
        match self.elsewhere(&packed).await? {
            Ok(from) => self.say(number, LayerStep::Mounted(from)).await?,
            Err(place) => {
                let begun = match place {
                    Some(place) => place,
                    None => self.repository.begin().await.map_err(translate)?,
                };
                self.upload(number, &packed, begun).await?;
                self.say(number, LayerStep::Pushed).await?;
            }
        }
        Ok((number, packed))
    }

    /// From another repository of the same registry; else a place to send it to, where the registry gave one.
    async fn elsewhere(&self, packed: &Packed) -> Result<std::result::Result<String, Option<Upload>>> {
        let (images, digest, name) = (self.parts.images.clone(), packed.digest.clone(), self.name.clone());
        let sources = blocking(move || images.repositories_with(&digest, &name)).await?;
        let mut place = None;
        for from in sources.into_iter().take(SOURCES) {
            match self.repository.mount(&packed.digest, &from).await.map_err(translate)? {
                Place::Mounted => return Ok(Ok(from)),
                Place::Upload(upload) => place = Some(upload),
            }
        }
        Ok(Err(place))
    }

    async fn upload(&self, number: usize, packed: &Packed, begun: Upload) -> Result<()> {
        let open = opener(self.parts, &packed.digest);
        let sent: Arc<AtomicU64> = Arc::default();
        let content = Content { digest: &packed.digest, size: packed.size, open: &open, sent: sent.clone() };
        let mut uploading = std::pin::pin!(self.repository.upload(&content, begun));
        let mut told = None;
        loop {
            let done = sent.load(Ordering::Relaxed).min(packed.size);
            if told != Some(done) {
                told = Some(done);
                self.say(number, LayerStep::Pushing { done, total: packed.size }).await?;
            }
            if let Ok(end) = tokio::time::timeout(PAUSE, &mut uploading).await {
                return end.map_err(translate);
            }
        }
    }

    async fn say(&self, number: usize, step: LayerStep) -> Result<()> {
        say(self.tell, PushStep::Layer(self.outgoing.layers()[number].diff.clone(), step)).await
    }
}

/// Reads a blob from any place of it, each time anew.
pub(super) fn opener(parts: &Parts, digest: &str) -> impl Fn(u64) -> mpsc::Receiver<io::Result<Bytes>> + Send + Sync + use<> {
    let (images, digest) = (parts.images.clone(), digest.to_owned());
    move |from| {
        let (sender, pieces) = mpsc::channel(PIECES);
        let (images, digest) = (images.clone(), digest.clone());
        tokio::task::spawn_blocking(move || read(&images, &digest, from, &sender));
        pieces
    }
}

/// On a blocking thread: a blob from a place on, until nobody wants more.
fn read(images: &Images, digest: &str, from: u64, to: &mpsc::Sender<io::Result<Bytes>>) {
    let opened = images.open_content(digest).map_err(io::Error::other).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        Ok(file)
    });
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => {
            // Who does not listen needs no reason.
            let _gone = to.blocking_send(Err(error));
            return;
        }
    };
    loop {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).map(|count| {
            piece.truncate(count);
            Bytes::from(piece)
        });
        let last = match &read {
            Ok(bytes) if bytes.is_empty() => return,
            Ok(_) => false,
            Err(_) => true,
        };
        if to.blocking_send(read).is_err() || last {
            return;
        }
    }
}
