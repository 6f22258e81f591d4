//! The layers of one image, taken in side by side: as many at once as there are processors, each as soon as its bytes are here, and put on
//! the one below as soon as that is in its place.

use crate::error::{Error, Result, io};
use crate::ingest::Arrived;
use crate::store::Images;
use dhow_archive::compress;
use dhow_storage::{ChainId, DiffId, Staged};
use std::collections::HashSet;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Bytes of a layer between two words about it.
const STEP: u64 = 512 * 1024;

/// Takes what is brought. Dropped before everything is here, it ends the whole.
#[derive(Debug)]
pub struct Hand(Sender<Event>);

impl Hand {
    /// A layer is here. Where nobody wants it any more, nothing happens.
    pub fn put(&self, number: usize, bytes: Arc<Arrived>) {
        let _given_up = self.0.send(Event::Arrived(number, bytes));
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let _given_up = self.0.send(Event::NoMore);
    }
}

/// What happens to the layers.
#[derive(Debug)]
enum Event {
    Arrived(usize, Arc<Arrived>),
    NoMore,
    Staged(usize, Result<Box<Staged>>),
}

/// The other end of a hand.
#[derive(Debug)]
pub(crate) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

/// A hand and its other end.
pub(crate) fn events() -> (Hand, Events) {
    let (sender, receiver) = mpsc::channel();
    (Hand(sender.clone()), Events { sender, receiver })
}

/// A layer before it is taken in.
pub(crate) enum Layer {
    /// In its place.
    Here,
    /// Its bytes are here.
    Stored(Arc<Arrived>),
    /// Its bytes will come.
    Awaited,
}

/// What all layers have in common.
pub(crate) struct Stack<'a> {
    pub(crate) diffs: &'a [DiffId],
    pub(crate) chains: &'a [ChainId],
    /// Number, bytes that are done, bytes in all.
    pub(crate) tell: &'a (dyn Fn(usize, u64, u64) + Send + Sync),
}

/// All layers in their places.
#[derive(Debug, Default)]
pub(crate) struct Built {
    /// Bytes of their content.
    pub(crate) size: u64,
    /// What came, by the numbers of the layers, still to be kept.
    pub(crate) bytes: Vec<(usize, Arc<Arrived>)>,
}

/// The right to make a chain of layers: others who want it wait.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    chain: String,
}

/// Chains that are being made.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Mutex<HashSet<String>>,
    given: Condvar,
}

impl Turns {
    /// Waits for the turn. Chains are trees and everybody begins at the bottom, so no two wait for each other.
    fn take(&self, chain: &ChainId) -> Turn<'_> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while !taken.insert(chain.to_string()) {
            taken = self.given.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { turns: self, chain: chain.to_string() }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.chain);
        self.turns.given.notify_all();
    }
}

/// A layer that is read, counted, until it is not wanted any more.
struct Counted<'a> {
    inner: std::fs::File,
    number: usize,
    done: u64,
    told: u64,
    total: u64,
    tell: &'a (dyn Fn(usize, u64, u64) + Send + Sync),
    stop: &'a AtomicBool,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.load(Ordering::Acquire) {
            return Err(std::io::Error::other("another layer failed"));
        }
        let count = self.inner.read(out)?;
        self.done += count as u64;
        // The last word is said when the layer is in its place.
        if self.done >= self.told + STEP && self.done < self.total {
            self.told = self.done;
            (self.tell)(self.number, self.done, self.total);
        }
        Ok(count)
    }
}

impl Images {
    /// Takes the layers in that are not here. Of several callers that want the same chain one works, the others wait for it.
    pub(crate) fn build_stack(&self, stack: &Stack<'_>, layers: Vec<Layer>, events: Events) -> Result<Built> {
        let missing = stack.chains.iter().filter(|chain| self.layers.layer(chain).is_err());
        let turns: Vec<Turn<'_>> = missing.map(|chain| self.turns.take(chain)).collect();
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(layers.len());
        let stop = AtomicBool::new(false);
        let Events { sender, receiver } = events;
        let (jobs, queue) = mpsc::channel();
        let queue = Mutex::new(queue);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (queue, stop, sender) = (&queue, &stop, sender.clone());
                scope.spawn(move || self.work(stack, queue, stop, &sender));
            }
            let outcome = Assembly { images: self, stack, jobs, turns }.run(layers, &receiver);
            // The threads end with the jobs, and those that are under way are broken off where that is all for nothing.
            stop.store(outcome.is_err(), Ordering::Release);
            outcome
        })
    }

    /// One thread: layer after layer.
    fn work(&self, stack: &Stack<'_>, queue: &Mutex<Receiver<(usize, Arc<Arrived>)>>, stop: &AtomicBool, done: &Sender<Event>) {
        loop {
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((number, bytes)) = job else { return };
            let staged = if stop.load(Ordering::Acquire) { Err(Error::Aborted) } else { self.stage(stack, number, &bytes, stop) };
            if done.send(Event::Staged(number, staged.map(Box::new))).is_err() {
                return;
            }
        }
    }

    fn stage(&self, stack: &Stack<'_>, number: usize, bytes: &Arrived, stop: &AtomicBool) -> Result<Staged> {
        let diff = &stack.diffs[number];
        let counted = Counted { inner: bytes.open()?, number, done: 0, told: 0, total: bytes.size(), tell: stack.tell, stop };
        let staged = compress::reader(counted).map_err(io("read", bytes.digest())).and_then(|mut tar| {
            self.layers.stage(&mut tar, Some(diff)).map_err(|error| match error {
                dhow_storage::Error::Digest { actual, .. } => {
                    Error::Archive(format!("invalid diffID for layer {number}: expected \"{diff}\", got {actual:?}"))
                }
                other => other.into(),
            })
        });
        let staged = staged.inspect_err(|error| {
            if matches!(error, Error::Archive(_)) && !stop.load(Ordering::Acquire) {
                bytes.discard();
            }
        })?;
        if let Some(tar) = staged.tar()
            && bytes.digest() == diff.as_str()
        {
            // The same bytes: from here on they are one file.
            bytes.replace(tar)?;
        }
        Ok(staged)
    }
}

/// A layer on its way.
enum Progress {
    Here,
    Awaited,
    Working,
    Ready(Box<Staged>),
}

/// Puts together what the threads have made.
struct Assembly<'a> {
    images: &'a Images,
    stack: &'a Stack<'a>,
    jobs: Sender<(usize, Arc<Arrived>)>,
    turns: Vec<Turn<'a>>,
}

impl Assembly<'_> {
    fn run(mut self, layers: Vec<Layer>, events: &Receiver<Event>) -> Result<Built> {
        let mut built = Built::default();
        let mut progress: Vec<Progress> = Vec::with_capacity(layers.len());
        for (number, layer) in layers.into_iter().enumerate() {
            progress.push(match layer {
                Layer::Here => Progress::Here,
                Layer::Stored(bytes) => self.begin(number, bytes, &mut built),
                Layer::Awaited => Progress::Awaited,
            });
        }
        let mut next = 0;
        loop {
            while let Some(ready) = progress.get_mut(next).filter(|p| matches!(p, Progress::Here | Progress::Ready(_))) {
                if let Progress::Ready(staged) = std::mem::replace(ready, Progress::Here) {
                    let below = next.checked_sub(1).map(|below| &self.stack.chains[below]);
                    self.images.layers.place(*staged, below)?;
                }
                built.size += self.images.layers.layer(&self.stack.chains[next])?.size;
                let total = built.bytes.iter().find(|(number, _)| *number == next).map(|(_, bytes)| bytes.size());
                total.into_iter().for_each(|total| (self.stack.tell)(next, total, total));
                // Who waits for this chain need not wait for the others.
                self.turns.retain(|turn| turn.chain != self.stack.chains[next].as_str());
                next += 1;
            }
            if next == progress.len() {
                return Ok(built);
            }
            match events.recv().map_err(|_| Error::Aborted)? {
                Event::Arrived(number, bytes) if progress.get(number).is_some_and(|p| matches!(p, Progress::Awaited)) => {
                    progress[number] = self.begin(number, bytes, &mut built);
                }
                Event::Staged(number, staged) => progress[number] = Progress::Ready(staged?),
                Event::NoMore if progress.iter().any(|p| matches!(p, Progress::Awaited)) => return Err(Error::Aborted),
                Event::Arrived(..) | Event::NoMore => {}
            }
        }
    }

    /// Bytes are here: they are taken in, unless somebody else has done so while we waited for our turn.
    fn begin(&self, number: usize, bytes: Arc<Arrived>, built: &mut Built) -> Progress {
        built.bytes.push((number, bytes.clone()));
        if self.images.layers.layer(&self.stack.chains[number]).is_ok() {
            return Progress::Here;
        }
        // The threads are there as long as we are.
        let _sent = self.jobs.send((number, bytes));
        Progress::Working
    }
}
