//! The image store: what the engine calls. All calls block.

use crate::blobs::Blobs;
use crate::db::NameRow;
use crate::early::Early;
use crate::error::{Error, Result, io};
use crate::incoming::{self, CONFIG_MAX, Checked, Incoming};
use crate::index::{Index, key};
use crate::install::Named;
use crate::lasting::Lasting;
use crate::model::{Image, ImportConfig, LoadStep, Loaded, Platform, Removed, User};
use crate::parallel::Turns;
use crate::policy::Compressed;
use crate::{archive, db, embedded, model, remove};
use dhow_db::Durability;
use dhow_reference::Reference;
use dhow_storage::{ChainId, DiffId, LayerStore};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Most bytes of one imported tar: a bound against endless streams.
const IMPORT_MAX: u64 = 1 << 40;

/// The image store.
#[derive(Debug)]
pub struct Images {
    pub(crate) blobs: Blobs,
    pub(crate) layers: Arc<dyn LayerStore>,
    state: Mutex<State>,
    /// The index as of the last commit. Its lock is held to copy a pointer, so that no look-up waits for a commit in progress.
    published: Mutex<Arc<Index>>,
    /// Something that was being removed is gone.
    gone: Condvar,
    pub(crate) turns: Turns,
    pub(crate) lasting: Lasting,
    pub(crate) compressed: Compressed,
}

/// What the lock guards: held for commits, never while content is read or unpacked, and by no reader.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) connection: Connection,
    pub(crate) index: Index,
    /// Digests and chains that an operation under way has made and not yet recorded, with the number of operations.
    pins: HashMap<String, usize>,
    /// Chains that are being removed: who wants one waits for its end, and only who wants that one.
    doomed: HashSet<String>,
}

/// Keeps content from being collected until the operation that brings it has ended.
pub(crate) struct Pins<'a> {
    images: &'a Images,
    held: Vec<String>,
}

impl Drop for Pins<'_> {
    fn drop(&mut self) {
        self.images.release(&self.held);
    }
}

/// The state, and the duty to show readers what was done to it.
pub(crate) struct Held<'a> {
    images: &'a Images,
    state: MutexGuard<'a, State>,
}

impl std::ops::Deref for Held<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}

impl std::ops::DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.state.index.changed() {
            *self.images.published.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
        }
    }
}

impl Images {
    /// Opens the store under `root` (made 0700 where missing), finishing or removing what a crash left.
    pub fn open(root: &Path, layers: Arc<dyn LayerStore>) -> Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(io("make", root.display()))?;
        let blobs = Blobs::open(root)?;
        let connection = dhow_db::open(&root.join("images.db"), db::MIGRATIONS)?;
        dhow_db::set_durability(&connection, Durability::Power)?;
        let state = State { connection, index: Index::default(), pins: HashMap::new(), doomed: HashSet::new() };
        let lasting = Lasting::new(layers.run());
        let (published, gone, turns) = (Mutex::default(), Condvar::new(), Turns::default());
        let compressed = Compressed::Keep;
        let this = Self { blobs, layers, state: Mutex::new(state), published, gone, turns, lasting, compressed };
        this.recover()?;
        this.fill_index()?;
        this.sweep()?;
        Ok(this)
    }

    /// Every image, unsorted. Does not block.
    pub fn list(&self) -> Vec<Arc<Image>> {
        self.snapshot().all().cloned().collect()
    }

    /// By name, `name:tag`, `name@digest`, full or short id, with or without `sha256:`, in Docker's order. Does not block.
    pub fn resolve(&self, name: &str) -> Result<Arc<Image>> {
        self.snapshot().resolve(name)
    }

    /// Every name of a repository with its image, in order. Does not block.
    pub fn of_repository(&self, repository: &Reference) -> Vec<(Reference, Arc<Image>)> {
        self.snapshot().of_repository(repository)
    }

    /// Everything as of the last commit.
    pub(crate) fn snapshot(&self) -> Arc<Index> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds or moves a tag. Refuses digests.
    pub fn tag(&self, source: &str, target: &Reference) -> Result<Arc<Image>> {
        if target.digest().is_some() {
            return Err(Error::Invalid("refusing to create a tag with a digest reference".into()));
        }
        if target.familiar_name() == "sha256" {
            return Err(Error::Invalid("refusing to create an ambiguous tag using digest algorithm as name".into()));
        }
        let image = self.resolve(source)?;
        let top = self.snapshot().top_of(source, &image.id).map(str::to_owned);
        self.set_name(&key(target), &image.id, top.as_deref(), Some(model::now()))?;
        self.resolve(&image.id)
    }

    /// Docker's rules for untagging and deleting (force, prune of untagged parents).
    pub fn remove(&self, name: &str, force: bool, prune: bool, users: &[User]) -> Result<Vec<Removed>> {
        let mut state = self.state();
        let plan = remove::plan(&state.index, name, force, prune, users)?;
        let names: Vec<String> = plan.names.iter().map(ToString::to_string).collect();
        let mut doomed = Vec::new();
        for id in &plan.images {
            doomed.push((state.index.get(id).and_then(|i| i.chain.clone()), db::blobs_of(&state.connection, id)?));
        }
        db::delete(&mut state.connection, &names, &plan.images)?;
        plan.names.iter().for_each(|n| state.index.drop_name(n));
        plan.images.iter().for_each(|id| state.index.take(id));
        drop(state);

        let mut records = Vec::new();
        let mut doomed = doomed.into_iter();
        for record in plan.records {
            let deleted = matches!(record, Removed::Deleted(_));
            records.push(record);
            if deleted && let Some((chain, blobs)) = doomed.next() {
                records.extend(self.collect_chain(chain).into_iter().map(|c| Removed::Layer(c.to_string())));
                self.collect_blobs(blobs);
            }
        }
        Ok(records)
    }

    /// Takes in an archive of images of any age or form, plain or compressed (gzip, zstd, xz); with a platform, only the images for it.
    /// All or nothing per image; `tell` hears of each step.
    pub fn load(&self, archive: &mut dyn BufRead, platform: Option<&Platform>, tell: &mut dyn FnMut(LoadStep)) -> Result<()> {
        let mut early = Early::new(&self.blobs, &self.layers);
        for group in archive::read(&mut early, archive)? {
            let mut names = group.names;
            // Of several images the names mean the first that is wanted.
            let mut first = true;
            for image in group.images {
                let made_for = Platform::of(&incoming::check(&image.config, None)?.config);
                if platform.is_none_or(|wanted| wanted.accepts(&made_for)) {
                    self.load_one(image, std::mem::take(&mut names), group.top.as_deref(), first, tell)?;
                    first = false;
                }
            }
        }
        Ok(())
    }

    fn load_one(
        &self,
        image: Incoming,
        names: Vec<Reference>,
        top: Option<&str>,
        first: bool,
        tell: &mut dyn FnMut(LoadStep),
    ) -> Result<()> {
        let (image, before) = self.install(image, Named { names: &names, top, at: None }, tell)?;
        tell(LoadStep::Image(image.id.clone()));
        if names.is_empty() && first {
            tell(LoadStep::Line(Loaded::Untagged(image.id.clone())));
        }
        for (name, old) in names.into_iter().zip(before) {
            if let Some(old) = old.filter(|old| *old != image.id) {
                tell(LoadStep::Line(Loaded::Renamed { name: name.clone(), old }));
            }
            tell(LoadStep::Line(Loaded::Tagged(name)));
        }
        Ok(())
    }

    /// Makes an image of one layer from a root filesystem tar, plain or compressed. `changes` are applied to `config` by the caller.
    pub fn import(&self, tar: &mut dyn Read, config: ImportConfig, target: Option<&Reference>) -> Result<Arc<Image>> {
        if target.is_some_and(|t| t.digest().is_some()) {
            return Err(Error::Invalid("cannot import digest reference".into()));
        }
        let layer = self.blobs.spool(tar, IMPORT_MAX)?;
        let mut plain = dhow_archive::compress::reader(layer.open()?).map_err(io("read", "the archive"))?;
        // The diff id is only known once the layer is applied; the layer is not collected before the image has it.
        let info = self.layers.apply(None, &mut plain, None)?;
        drop(plain);
        let config = imported(&config, info.diff.as_str())?;
        let chain = info.chain.clone();
        let names: Vec<Reference> = target.into_iter().map(key).collect();
        let named = Named { names: &names, top: None, at: Some(model::now()) };
        let incoming = Incoming { config, layers: vec![Arc::new(layer)], ..Incoming::default() };
        let installed = self.install(incoming, named, &mut |_| {}).inspect_err(|_| self.collect(Vec::new(), vec![chain]));
        Ok(installed?.0)
    }

    /// The image embedded in the program (`hello`), taken in as by a pull. `None` if there is none of this name.
    pub fn embedded(&self, name: &Reference) -> Result<Option<Arc<Image>>> {
        let name = key(name);
        let Some(found) = embedded::find(&name)? else { return Ok(None) };
        let layer = self.blobs.spool(&mut &found.layer[..], CONFIG_MAX)?;
        let incoming = Incoming { config: found.config, layers: vec![Arc::new(layer)], ..Incoming::default() };
        let named = Named { names: std::slice::from_ref(&name), top: None, at: None };
        Ok(Some(self.install(incoming, named, &mut |_| {})?.0))
    }

    /// Removes layers and blobs that no image needs any more: to be called when a container that kept a removed image's layers is gone.
    pub fn collect_garbage(&self) -> Result<()> {
        let chains = self.layers.layers()?.into_iter().map(|l| l.chain).collect();
        self.collect(self.blobs.list()?, chains);
        Ok(())
    }

    /// The content of an image, with the diff ids of what is a layer.
    pub(crate) fn content_of(&self, id: &str) -> Result<Vec<(String, Option<String>)>> {
        db::content_of(&self.state().connection, id)
    }

    /// Points a name to an image; tells the one that it pointed to. `at` is given where a person tags.
    pub(crate) fn set_name(&self, name: &Reference, id: &str, top: Option<&str>, at: Option<i64>) -> Result<Option<String>> {
        let mut state = self.state();
        if state.index.get(id).is_none() {
            return Err(Error::NotFound(id.to_owned()));
        }
        let row = NameRow { name: name.to_string(), image: id.to_owned(), top: top.map(str::to_owned) };
        db::set_name(&mut state.connection, &row, at)?;
        Ok(state.index.set_name(name, id, top, at))
    }

    /// What commits work on. When it is given back, readers see what was changed.
    pub(crate) fn state(&self) -> Held<'_> {
        Held { images: self, state: self.lock() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is committed before the index is touched: a panic in between leaves the index behind at worst.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds content by name until the guard is dropped. What is being removed is waited for.
    pub(crate) fn pin(&self, names: impl Iterator<Item = String>) -> Pins<'_> {
        let held: Vec<String> = names.collect();
        self.hold(&held);
        Pins { images: self, held }
    }

    /// As [`Images::pin`], until [`Images::release`].
    pub(crate) fn hold(&self, names: &[String]) {
        let mut state = self.lock();
        while names.iter().any(|name| state.doomed.contains(name)) {
            state = self.gone.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        for name in names {
            *state.pins.entry(name.clone()).or_default() += 1;
        }
    }

    /// Lets go of what was held.
    pub(crate) fn release(&self, names: &[String]) {
        let mut state = self.lock();
        for name in names {
            if let Some(count) = state.pins.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    state.pins.remove(name);
                }
            }
        }
    }

    /// Removes what of these nobody needs. What cannot be removed now is at the next open.
    pub(crate) fn collect(&self, blobs: Vec<String>, chains: Vec<ChainId>) {
        self.collect_blobs(blobs);
        // From the top: a chain under another one is in use.
        for chain in chains.into_iter().rev() {
            self.collect_chain(Some(chain));
        }
    }

    /// Unlinking a file is quick, so that the lock may be held.
    fn collect_blobs(&self, blobs: Vec<String>) {
        let state = self.state();
        for digest in blobs {
            let outcome = match db::blob_in_use(&state.connection, &digest) {
                Ok(false) if !state.pins.contains_key(&digest) => self.blobs.remove(&digest),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::warn!(digest, %error, "content stays until the next start");
            }
        }
    }

    /// Removes a chain from its top down to the first that somebody needs, and tells which went. The lock is not held while a layer's
    /// files are deleted, which can take seconds.
    fn collect_chain(&self, top: Option<ChainId>) -> Vec<ChainId> {
        let mut gone = Vec::new();
        let mut next = top;
        while let Some(chain) = next {
            let Ok(info) = self.layers.layer(&chain) else { break };
            if !self.doom(&chain) {
                break;
            }
            let outcome = self.layers.remove_layer(&chain);
            self.state().doomed.remove(chain.as_str());
            self.gone.notify_all();
            match outcome {
                Ok(()) => {}
                Err(dhow_storage::Error::InUse { .. }) => break,
                Err(error) => {
                    tracing::warn!(chain = chain.as_str(), %error, "a layer stays until the next start");
                    break;
                }
            }
            gone.push(chain);
            next = info.parent;
        }
        gone
    }

    /// Marks a chain as being removed, unless somebody needs it or is at it already.
    fn doom(&self, chain: &ChainId) -> bool {
        let mut state = self.state();
        let needed = state.index.all().any(|i| i.chain.as_ref() == Some(chain)) || state.pins.contains_key(chain.as_str());
        !needed && state.doomed.insert(chain.to_string())
    }

    /// Reads every image from its row and its configuration. One whose content is missing is forgotten, and said to be.
    fn fill_index(&self) -> Result<()> {
        let mut state = self.state();
        let mut lost = Vec::new();
        let mut documents = db::documents(&state.connection)?;
        for row in db::images(&state.connection)? {
            match self.read(&row) {
                Ok(mut image) => {
                    image.documents = documents.remove(&row.id).unwrap_or_default();
                    image.documents.retain(|digest| *digest != row.id);
                    state.index.put(image);
                }
                Err(error) => {
                    tracing::error!(image = row.id, %error, "an image is incomplete and is forgotten");
                    lost.push(row.id);
                }
            }
        }
        db::delete(&mut state.connection, &[], &lost)?;
        for row in db::names(&state.connection)? {
            match Reference::parse(&row.name) {
                Ok(name) => {
                    state.index.set_name(&name, &row.image, row.top.as_deref(), None);
                }
                Err(error) => tracing::warn!(row.name, %error, "a name cannot be read and is passed over"),
            }
        }
        Ok(())
    }

    /// An image's configuration from the disk.
    pub(crate) fn read_config(&self, id: &str) -> Result<(Vec<u8>, Checked)> {
        let mut raw = Vec::new();
        self.blobs.get(id)?.take(CONFIG_MAX).read_to_end(&mut raw).map_err(io("read", id))?;
        // It stood on a disk since it was checked.
        let actual = DiffId::from_bytes(&Sha256::digest(&raw).into()).to_string();
        if actual != id {
            return Err(Error::Archive(format!("the configuration has the digest {actual}")));
        }
        let checked = incoming::check(&raw, None)?;
        Ok((raw, checked))
    }

    fn read(&self, row: &db::Row) -> Result<Image> {
        let (raw, Checked { config, .. }) = self.read_config(&row.id)?;
        let chain = row.chain.as_deref().map(ChainId::parse).transpose()?;
        let mut size = 0;
        let mut next = chain.clone();
        while let Some(at) = next {
            let info = self.layers.layer(&at)?;
            size += info.size;
            next = info.parent;
        }
        Ok(Image {
            id: row.id.clone(),
            config,
            raw: Arc::from(raw),
            chain,
            size,
            tags: Vec::new(),
            digests: Vec::new(),
            documents: Vec::new(),
            last_tagged: row.last_tagged,
            parent: row.parent.clone(),
        })
    }

    /// Removes what no row needs: content of an operation that was cut off.
    fn sweep(&self) -> Result<()> {
        self.collect_garbage()
    }
}

/// The configuration of an imported image.
fn imported(config: &ImportConfig, diff: &str) -> Result<Vec<u8>> {
    let platform = config.platform.clone().filter(|p| !p.is_empty());
    let mut parts = platform.as_deref().unwrap_or("").split('/');
    let os = parts.next().filter(|o| !o.is_empty()).unwrap_or("linux");
    let architecture = parts.next().unwrap_or_else(|| model::host_architecture());
    let created = incoming::created_now();
    let mut value = serde_json::json!({
        "architecture": architecture,
        "os": os,
        "created": created,
        "config": config.config.clone().unwrap_or_else(|| serde_json::json!({})),
        "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created": created, "comment": config.comment}]
    });
    if let Some(variant) = parts.next() {
        value["variant"] = variant.into();
    }
    incoming::made(&value)
}
