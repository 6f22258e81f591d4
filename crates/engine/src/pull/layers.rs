//! The layers of one image: fetched side by side, unpacked in order while others are still on their way.

use super::bring::{self, Unpacked};
use super::errors;
use super::model::{LayerStep, PullStep, Tell, say};
use super::transfer::{Failure, State, Transfer};
use crate::error::{Error, Kind, Result};
use crate::parts::Parts;
use dhow_image::{Arrival, Arrived, Hand, Image};
use dhow_reference::Reference;
use dhow_registry::Repository;
use dhow_registry::protocol::{Descriptor, Manifest};
use futures_util::future::{Either, select, try_join};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Time between two words about one layer.
const PAUSE: Duration = Duration::from_millis(100);

/// A future of one lifetime: the compiler cannot see through the borrows of so many at once.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Takes the image in.
pub(super) fn fetch<'a>(
    parts: &'a Arc<Parts>,
    repository: &'a Repository,
    manifest: &'a Manifest,
    arrival: Arrival,
    name: &'a Reference,
    tell: &'a Tell,
) -> Boxed<'a, Arc<Image>> {
    Box::pin(fetch_all(parts, repository, manifest, arrival, name, tell))
}

async fn fetch_all(
    parts: &Arc<Parts>,
    repository: &Repository,
    manifest: &Manifest,
    arrival: Arrival,
    name: &Reference,
    tell: &Tell,
) -> Result<Arc<Image>> {
    let (mut bringer, ends) = bring::ends();
    let images = parts.images.clone();
    let taking = tokio::task::spawn_blocking(move || images.arrive(&arrival, &mut bringer));
    let Ok((needed, hand)) = ends.wanted.await else { return taken(taking.await) };
    let digests: Vec<&str> = manifest.layers.iter().map(|layer| layer.digest.as_str()).collect();
    // An image that is here is not told layer by layer.
    let known = needed.iter().all(|needed| !needed);
    for (digest, needed) in digests.iter().zip(&needed).filter(|_| !known) {
        let step = if *needed { LayerStep::Pulling } else { LayerStep::Exists };
        say(tell, PullStep::Layer((*digest).to_owned(), step)).await?;
    }
    let mut transfers: FuturesUnordered<Boxed<'_, ()>> = FuturesUnordered::new();
    for (number, layer) in manifest.layers.iter().enumerate().filter(|(number, _)| needed[*number]) {
        transfers.push(Box::pin(follow(parts, repository, (number, layer), &hand, tell)));
    }
    let bringing = async {
        while let Some(end) = transfers.next().await {
            end.map_err(|error| renamed(error, name))?;
        }
        Ok::<(), Error>(())
    };
    let telling = extracting(&digests, ends.unpacked, tell);
    let work: Boxed<'_, ((), ())> = Box::pin(try_join(bringing, telling));
    match select(work, taking).await {
        // A layer does not come, or nobody listens: dropping the rest ends the store's part.
        Either::Left((Err(error), taking)) => {
            drop(taking);
            Err(error)
        }
        Either::Left((Ok(_), taking)) => taken(taking.await),
        Either::Right((image, work)) => {
            let image = taken(image)?;
            work.await?;
            Ok(image)
        }
    }
}

fn taken(outcome: std::result::Result<dhow_image::Result<Arc<Image>>, tokio::task::JoinError>) -> Result<Arc<Image>> {
    match outcome {
        Ok(image) => image.map_err(errors::unusable),
        Err(error) => Err(Error::internal("use", "the image store", error)),
    }
}

/// A registry's words about a layer become words about the name.
fn renamed(error: Error, name: &Reference) -> Error {
    match error.source.and_then(|source| source.downcast::<dhow_registry::Error>().ok()) {
        Some(source) => errors::translate(*source, name),
        None => Error { source: None, ..Error::new(error.kind, error.message) },
    }
}

/// Follows one transfer to its end, tells of it, and hands the layer on.
async fn follow(parts: &Arc<Parts>, repository: &Repository, (number, layer): (usize, &Descriptor), to: &Hand, tell: &Tell) -> Result<()> {
    let transfer = parts.transfers.join(&parts.images, repository, layer);
    let arrived = match watch(&transfer, &layer.digest, tell).await? {
        Ok(arrived) => arrived,
        Err(failure) => return Err(failed(&failure)),
    };
    // Both words always, in this order, whoever was first to fetch it.
    say(tell, PullStep::Layer(layer.digest.clone(), LayerStep::Verifying)).await?;
    say(tell, PullStep::Layer(layer.digest.clone(), LayerStep::Downloaded)).await?;
    // Where the store has given up, its own error counts.
    to.put(number, arrived);
    Ok(())
}

/// Tells how far it is until it ends.
async fn watch(transfer: &Transfer, digest: &str, tell: &Tell) -> Result<std::result::Result<Arc<Arrived>, Arc<Failure>>> {
    let mut state = transfer.state.clone();
    let mut shown = None;
    loop {
        let now = state.borrow_and_update().clone();
        let step = match now {
            State::Done(arrived) => return Ok(Ok(arrived)),
            State::Failed(failure) => return Ok(Err(failure)),
            State::Waiting => LayerStep::Waiting,
            State::Downloading { done, total } => LayerStep::Downloading { done, total },
            State::Retrying { seconds } => LayerStep::Retrying { seconds },
        };
        if shown.as_ref() != Some(&step) {
            say(tell, PullStep::Layer(digest.to_owned(), step.clone())).await?;
            let counts = matches!(step, LayerStep::Downloading { .. });
            shown = Some(step);
            if counts {
                // What happens meanwhile is one word afterwards; the end is not waited for.
                let _over = tokio::time::timeout(PAUSE, state.wait_for(|now| !matches!(now, State::Downloading { .. }))).await;
                continue;
            }
        }
        if state.changed().await.is_err() {
            return Err(Error::new(Kind::Internal, format!("the transfer of {digest} ended without a word")));
        }
    }
}

fn failed(failure: &Failure) -> Error {
    let source = match failure {
        Failure::Registry(error) => Some(Box::new(error.clone()) as Box<dyn std::error::Error + Send + Sync>),
        Failure::Store(_) => None,
    };
    Error { kind: Kind::Internal, message: failure.to_string(), source }
}

/// Tells what is unpacked, until the store's part ends.
async fn extracting(digests: &[&str], mut unpacked: mpsc::Receiver<Unpacked>, tell: &Tell) -> Result<()> {
    while let Some(Unpacked { number, done, total }) = unpacked.recv().await {
        let digest = digests.get(number).copied().unwrap_or_default().to_owned();
        say(tell, PullStep::Layer(digest.clone(), LayerStep::Extracting { done, total })).await?;
        if done >= total {
            say(tell, PullStep::Layer(digest, LayerStep::Complete)).await?;
        }
    }
    Ok(())
}
