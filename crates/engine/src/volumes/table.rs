//! The table of volumes: what there is, who holds it, one made or removed at a time.

use super::mounted::Mounts;
use super::options::backing;
use super::{disk, name};
use crate::error::{Error, Kind, Result};
use crate::model::volume::{ANONYMOUS, Volume, Wish};
use crate::{clock, ids};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) const DRIVER: &str = "local";

/// All volumes.
#[derive(Debug)]
pub(crate) struct Volumes {
    dir: PathBuf,
    known: Arc<Mutex<Known>>,
    /// One is made or removed at a time, so that a name is never both.
    turn: tokio::sync::Mutex<()>,
    /// Filesystems of those that have one.
    pub(super) mounts: Mounts,
}

#[derive(Debug, Default)]
struct Known {
    volumes: BTreeMap<String, Arc<Volume>>,
    /// How many containers are being made that use it.
    holds: HashMap<String, usize>,
}

/// While it lives its volume is not removed.
#[derive(Debug)]
pub(crate) struct Hold {
    known: Arc<Mutex<Known>>,
    name: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut known = lock(&self.known);
        if let Some(count) = known.holds.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                known.holds.remove(&self.name);
            }
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    // Single insertions and removals: valid at every moment.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Volumes {
    /// Reads what is there. Blocks.
    pub(crate) fn open(dir: PathBuf) -> Result<Self> {
        let volumes = disk::open(&dir)?.into_iter().map(|volume| (volume.name.clone(), Arc::new(volume))).collect();
        let known = Arc::new(Mutex::new(Known { volumes, ..Known::default() }));
        Ok(Self { dir, known, turn: tokio::sync::Mutex::default(), mounts: Mounts::default() })
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Volume>> {
        lock(&self.known).volumes.values().cloned().collect()
    }

    /// The one of that name.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Volume>> {
        let found = lock(&self.known).volumes.get(name).cloned();
        found.ok_or_else(|| Error::new(Kind::NotFound, format!("get {name}: no such volume")))
    }

    fn hold(&self, known: &mut Known, name: &str) -> Hold {
        *known.holds.entry(name.to_owned()).or_default() += 1;
        Hold { known: self.known.clone(), name: name.to_owned() }
    }

    fn find(&self, name: &str) -> Option<(Arc<Volume>, Hold)> {
        let mut known = lock(&self.known);
        let found = known.volumes.get(name).cloned()?;
        Some((found, self.hold(&mut known, name)))
    }

    /// The volume that is wished for, made where there is none of that name (then the last answer is true). A `lasting` one survives a
    /// power cut.
    pub(crate) async fn ensure(&self, wish: &Wish, lasting: bool) -> Result<(Arc<Volume>, Hold, bool)> {
        let mut wish = wish.clone();
        if !matches!(wish.driver.as_str(), "" | DRIVER) {
            let text = format!("create {}: error looking up volume plugin {}: plugin {:?} not found", wish.name, wish.driver, wish.driver);
            return Err(Error::new(Kind::NotFound, text));
        }
        if wish.name.is_empty() {
            wish.name = ids::fresh()?;
            wish.labels.insert(ANONYMOUS.to_owned(), String::new());
        }
        name::check(&wish.name)?;
        // One that is there keeps its own options, whatever is asked for.
        if let Some((found, hold)) = self.find(&wish.name) {
            return Ok((found, hold, false));
        }
        backing(&wish.name, &wish.options)?;
        let _turn = self.turn.lock().await;
        if let Some((found, hold)) = self.find(&wish.name) {
            return Ok((found, hold, false));
        }
        let mountpoint = disk::data(&self.dir, &wish.name);
        let volume = Arc::new(Volume { name: wish.name, created: clock::now(), labels: wish.labels, options: wish.options, mountpoint });
        let (dir, made) = (self.dir.clone(), volume.clone());
        blocking(&volume.name, move || disk::create(&dir, &made, lasting)).await?;
        let mut known = lock(&self.known);
        known.volumes.insert(volume.name.clone(), volume.clone());
        let hold = self.hold(&mut known, &volume.name);
        Ok((volume, hold, true))
    }

    /// Removes one that `users` (asked while nobody can begin to use it) says nobody uses. Waits until its content is gone too.
    pub(super) async fn remove(&self, name: &str, users: impl FnOnce() -> Vec<String>) -> Result<()> {
        let turn = self.turn.lock().await;
        let volume = {
            let mut known = lock(&self.known);
            let volume = known.volumes.get(name).cloned();
            let volume = volume.ok_or_else(|| Error::new(Kind::NotFound, format!("get {name}: no such volume")))?;
            let users = users();
            if !users.is_empty() || known.holds.contains_key(name) {
                return Err(Error::new(Kind::Conflict, format!("remove {name}: volume is in use - [{}]", users.join(", "))));
            }
            known.volumes.remove(name);
            volume
        };
        let (dir, of) = (self.dir.clone(), name.to_owned());
        let gone = match blocking(name, move || disk::take_away(&dir, &of)).await {
            Ok(gone) => gone,
            Err(error) => {
                lock(&self.known).volumes.insert(volume.name.clone(), volume);
                return Err(error);
            }
        };
        // Its name is free; that the rest takes its time keeps nobody else.
        drop(turn);
        let of = name.to_owned();
        blocking(name, move || std::fs::remove_dir_all(&gone).map_err(|e| Error::internal("remove the content of volume", of, e))).await
    }
}

async fn blocking<T: Send + 'static>(name: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("work on volume", name, e))?
}
