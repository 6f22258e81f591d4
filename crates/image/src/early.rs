//! Layers of an archive, taken in while the rest of it is still being read: what they stand on is known only at the end.

use crate::blobs::{Blobs, Spooled, unreadable};
use crate::error::{Error, Result, io};
use dhow_archive::compress::{self, Form};
use dhow_storage::{LayerStore, Staged};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Smaller ones are not worth a thread.
const SMALL: u64 = 4096;

/// A file to take in, and where to say how that ended.
type Job = (PathBuf, Sender<Result<Staged>>);

/// Receives an archive's members. Dropped, it has ended everything that it began.
pub(crate) struct Early<'a> {
    blobs: &'a Blobs,
    layers: &'a Arc<dyn LayerStore>,
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// A member that was received.
pub(crate) enum Received {
    Now(Spooled),
    /// A layer, taken in, or why it is none. That counts only where an image names it.
    Layer(Box<Plain>),
}

/// See [`Received::Layer`].
pub(crate) struct Plain {
    size: u64,
    staged: Result<Staged>,
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread that takes layers in has panicked");
    }
}

impl<'a> Early<'a> {
    pub(crate) fn new(blobs: &'a Blobs, layers: &'a Arc<dyn LayerStore>) -> Self {
        Self { blobs, layers, jobs: None, threads: Vec::new(), stop: Arc::default() }
    }

    /// Receives one member that begins so. What looks like a layer is taken in as one: where the store keeps tars, a plain one is written once,
    /// while it comes; others by a thread, when they are here.
    pub(crate) fn receive(&mut self, content: &mut dyn Read, size: u64, head: &[u8]) -> Result<Received> {
        let is_tar = head.get(257..262) == Some(b"ustar") && size.is_multiple_of(512);
        if is_tar && self.layers.form() != "dir" {
            let staged = self.layers.stage(content, None).map_err(Error::from);
            return Ok(Received::Layer(Box::new(Plain { size, staged })));
        }
        let spooled = self.blobs.spool(content, size)?;
        let packed = matches!(compress::detect(head), Form::Gzip | Form::Zstd | Form::Xz);
        if (is_tar || packed) && size >= SMALL {
            self.begin(&spooled);
        }
        Ok(Received::Now(spooled))
    }

    /// The content of a layer that was taken in.
    pub(crate) fn settle(&self, plain: Plain) -> Result<Spooled> {
        match self.blobs.spool_layer(plain.staged?, plain.size)? {
            Some(spooled) => Ok(spooled),
            None => Err(Error::Invalid("the layer store keeps no tar".into())),
        }
    }

    fn begin(&mut self, spooled: &Spooled) {
        let jobs = self.jobs.get_or_insert_with(|| {
            let (jobs, queue) = mpsc::channel::<Job>();
            let queue = Arc::new(Mutex::new(queue));
            for _ in 0..cores() {
                let (queue, layers, stop) = (queue.clone(), self.layers.clone(), self.stop.clone());
                self.threads.push(std::thread::spawn(move || work(&queue, &*layers, &stop)));
            }
            jobs
        });
        let (end, thread) = mpsc::channel();
        if jobs.send((spooled.path().to_owned(), end)).is_ok() {
            spooled.taken_in_by(thread);
        }
    }
}

impl Drop for Early<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.jobs = None;
        self.threads.drain(..).for_each(join);
    }
}

/// One thread: file after file.
fn work(queue: &Mutex<Receiver<Job>>, layers: &dyn LayerStore, stop: &AtomicBool) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((path, end)) = job else { return };
        if stop.load(Ordering::Acquire) {
            return;
        }
        // Who asked may have gone; then what was made goes too.
        let _gone = end.send(stage(&path, layers, stop));
    }
}

fn stage(path: &std::path::Path, layers: &dyn LayerStore, stop: &AtomicBool) -> Result<Staged> {
    let file = File::open(path).map_err(io("open", path.display()))?;
    let mut plain = compress::reader(Stopped { file, stop }).map_err(|error| unreadable(&error))?;
    Ok(layers.stage(&mut plain, None)?)
}

/// A file until nobody wants it any more.
struct Stopped<'a> {
    file: File,
    stop: &'a AtomicBool,
}

impl Read for Stopped<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.load(Ordering::Acquire) {
            return Err(std::io::Error::other("nobody waits for it any more"));
        }
        self.file.read(out)
    }
}
