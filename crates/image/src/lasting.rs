//! Content that comes is synced after it is there, as layers are (see `dhow_storage`): who brings an image waits for no disk.
//!
//! An image's row says since when it has content that may not be on the disk, in the same commit that brings the content into use. The mark
//! goes when layers, content and names were synced, in this order. In another run of the kernel than the mark's, each piece of content is
//! checked against its digest, and layers that went are made again from what is left. What cannot be made again was never there.

use crate::db::{self, Mark, Row};
use crate::error::{Error, Result, io};
use crate::incoming::{Checked, chains};
use crate::store::Images;
use dhow_archive::compress;
use dhow_storage::ChainId;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The run of content of which the kernel could not tell whether it is on the disk.
const UNKNOWN: &str = "unknown";

/// Marks for what is not synced, and who is told of it.
pub(crate) struct Lasting {
    run: String,
    marks: AtomicU64,
    listener: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Held by whoever syncs: who comes meanwhile finds less to do, and no file is synced by two, of whom one would not hear that it failed.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Lasting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lasting").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Lasting {
    pub(crate) fn new(run: &str) -> Self {
        // Larger than those of the process before.
        let first = u64::try_from(crate::model::now()).unwrap_or(0);
        Self { run: run.to_owned(), marks: AtomicU64::new(first), listener: OnceLock::new(), turn: Mutex::default() }
    }

    /// A mark that differs from all before.
    pub(crate) fn mark(&self) -> Mark {
        Mark { run: self.run.clone(), number: self.marks.fetch_add(1, Ordering::Relaxed) }
    }

    /// Something has a mark.
    pub(crate) fn tell(&self) {
        if let Some(listener) = self.listener.get() {
            listener();
        }
    }
}

impl Images {
    /// Has somebody told each time that there is something for [`Images::persist`], and now, since there may be. The first counts.
    pub fn when_unsynced(&self, tell: Box<dyn Fn() + Send + Sync>) {
        if self.lasting.listener.set(tell).is_ok() {
            self.lasting.tell();
        }
    }

    /// Makes every image that is there now survive a power cut. Blocks as long as the disk needs; nothing else waits meanwhile.
    pub fn persist(&self) -> Result<()> {
        let _turn = self.lasting.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // An image has its mark after its layers are in their places, so these are among the ones that are synced.
        let marked = db::marked(&self.state().connection, &self.lasting.run)?;
        self.layers.persist()?;
        if marked.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.sync_content(&marked) {
            // A second try would succeed whatever happened to the first. The next start looks at it.
            let unknown = Mark { run: UNKNOWN.to_owned(), ..self.lasting.mark() };
            marked.iter().try_for_each(|(image, _)| db::set_mark(&self.state().connection, image, &unknown))?;
            return Err(error);
        }
        db::unmark(&mut self.state().connection, &marked)
    }

    /// Makes one image survive a power cut, for whoever promises something that stands on it. Returns at once where it does already; else it
    /// blocks as [`Images::persist`] does.
    pub fn persist_image(&self, id: &str) -> Result<()> {
        let marked = db::is_marked(&self.state().connection, id)?;
        if marked { self.persist() } else { Ok(()) }
    }

    fn sync_content(&self, marked: &[(String, Mark)]) -> Result<()> {
        let mut synced = HashSet::new();
        for (image, _) in marked {
            for (digest, _) in self.content_of(image)? {
                if !synced.contains(&digest) {
                    self.blobs.sync(&digest)?;
                    synced.insert(digest);
                }
            }
        }
        self.blobs.sync_names()
    }

    /// After the kernel ended before everything was synced: finds what is left. Before the index is filled.
    pub(crate) fn recover(&self) -> Result<()> {
        let mut checked = HashSet::new();
        let rows = db::images(&self.state().connection)?;
        for row in &rows {
            let doubtful = row.unsynced.as_ref().is_some_and(|mark| mark.run != self.lasting.run);
            if doubtful {
                for (digest, _) in self.content_of(&row.id)? {
                    if checked.insert(digest.clone()) && !self.blobs.is_whole(&digest)? {
                        tracing::warn!(digest, "it was not synced when the kernel ended, and is gone");
                        self.blobs.remove(&digest)?;
                        db::drop_content(&self.state().connection, &digest)?;
                    }
                }
            }
            match self.rebuild(row) {
                Ok(made) if made || doubtful => db::set_mark(&self.state().connection, &row.id, &self.lasting.mark())?,
                Ok(_) => {}
                // Who reads it next says so and forgets it.
                Err(error) => tracing::warn!(image = row.id, %error, "its layers cannot be made again"),
            }
        }
        Ok(())
    }

    /// Makes the layers of an image that are not there from what is kept of them. Answers whether there were any.
    fn rebuild(&self, row: &Row) -> Result<bool> {
        let missing = |chain: &ChainId| self.layers.layer(chain).is_err();
        let Some(top) = row.chain.as_deref().map(ChainId::parse).transpose()? else { return Ok(false) };
        if !missing(&top) {
            return Ok(false);
        }
        let (_, Checked { diffs, .. }) = self.read_config(&row.id)?;
        let content = self.content_of(&row.id)?;
        let mut below: Option<ChainId> = None;
        for (chain, diff) in chains(&diffs).into_iter().zip(&diffs) {
            if missing(&chain) {
                let kept = content.iter().find(|(_, of)| of.as_deref() == Some(diff.as_str()));
                let (digest, _) = kept.ok_or_else(|| Error::NotFound(diff.to_string()))?;
                let mut plain = compress::reader(self.blobs.get(digest)?).map_err(io("read", digest))?;
                self.layers.apply(below.as_ref(), &mut plain, Some(diff))?;
            }
            below = Some(chain);
        }
        Ok(true)
    }
}
