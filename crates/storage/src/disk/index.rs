//! What the store holds, in memory: who stands on whom, and who is being made.
//!
//! The lock is held for look-ups only, never across a call to the disk; a chain that is being made is a mark in the table, and whoever wants
//! the same one waits for it alone.

use super::choice::Root;
use crate::form::Form;
use crate::id::ChainId;
use crate::store::{Error, LayerInfo, Result, SnapshotKey};
use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Index {
    tables: Mutex<Tables>,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct Tables {
    layers: HashMap<ChainId, Layer>,
    snapshots: HashMap<SnapshotKey, Snapshot>,
    making: HashSet<ChainId>,
    numbers: u64,
}

/// A writable tree over a chain.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// The chain below.
    pub(super) parent: Option<ChainId>,
    /// What it is.
    pub(super) root: Root,
}

#[derive(Debug)]
struct Layer {
    info: LayerInfo,
    form: Form,
    /// Layers, snapshots and operations that stand on this one.
    users: usize,
    /// It is on its way out.
    leaving: bool,
    /// A power cut may still take it.
    unsynced: bool,
    /// No other layer has it, also none of the same chain.
    number: u64,
    /// Its record is being replaced.
    busy: bool,
}

/// Keeps a chain while an operation uses it.
#[derive(Debug)]
pub(super) struct Pin<'a> {
    index: &'a Index,
    chain: Option<ChainId>,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        if let Some(chain) = &self.chain {
            self.index.lock().release(chain);
        }
    }
}

/// The right to make a chain; dropped, others may try.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    index: &'a Index,
    chain: ChainId,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.index.lock().making.remove(&self.chain);
        self.index.finished.notify_all();
    }
}

/// What [`Index::begin`] answers.
#[derive(Debug)]
pub(super) enum Begin<'a> {
    /// It is there.
    Done(LayerInfo),
    /// It is the caller's to make.
    Make(Turn<'a>),
}

impl Tables {
    fn get(&self, chain: &ChainId) -> Result<&Layer> {
        self.layers.get(chain).filter(|l| !l.leaving).ok_or_else(|| Error::NoChain(chain.to_string()))
    }

    fn hold(&mut self, chain: &ChainId) -> Result<()> {
        match self.layers.get_mut(chain) {
            Some(layer) if !layer.leaving => {
                layer.users += 1;
                Ok(())
            }
            _ => Err(Error::NoChain(chain.to_string())),
        }
    }

    fn add(&mut self, key: &SnapshotKey, snapshot: Snapshot) -> Result<()> {
        if self.snapshots.contains_key(key) {
            return Err(Error::Exists(key.0.clone()));
        }
        if let Some(parent) = &snapshot.parent {
            self.hold(parent)?;
        }
        self.snapshots.insert(key.clone(), snapshot);
        Ok(())
    }

    fn has_plain(&self, chain: &ChainId) -> bool {
        let below = |layer: &&Layer| layer.info.parent.as_ref().and_then(|parent| self.layers.get(parent));
        std::iter::successors(self.layers.get(chain), below).any(|layer| layer.form == Form::Plain)
    }

    fn release(&mut self, chain: &ChainId) {
        if let Some(layer) = self.layers.get_mut(chain) {
            layer.users = layer.users.saturating_sub(1);
        }
    }
}

impl Index {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        // No code that can panic runs under the lock between two related changes.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn layer(&self, chain: &ChainId) -> Result<LayerInfo> {
        self.lock().get(chain).map(|l| l.info.clone())
    }

    pub(super) fn layers(&self) -> Vec<LayerInfo> {
        self.lock().layers.values().filter(|l| !l.leaving).map(|l| l.info.clone()).collect()
    }

    /// How a chain's top layer is kept.
    pub(super) fn form(&self, chain: &ChainId) -> Result<Form> {
        self.lock().get(chain).map(|l| l.form)
    }

    /// Chains from this one down, with the form of each one's top layer.
    pub(super) fn stack(&self, chain: Option<&ChainId>) -> Result<Vec<(ChainId, Form)>> {
        let tables = self.lock();
        let mut stack = Vec::new();
        let mut next = chain;
        while let Some(chain) = next {
            let layer = tables.get(chain)?;
            stack.push((chain.clone(), layer.form));
            next = layer.info.parent.as_ref();
        }
        Ok(stack)
    }

    pub(super) fn pin(&self, chain: Option<&ChainId>) -> Result<Pin<'_>> {
        if let Some(chain) = chain {
            self.lock().hold(chain)?;
        }
        Ok(Pin { index: self, chain: chain.cloned() })
    }

    /// Waits while somebody else makes this chain.
    pub(super) fn begin(&self, chain: &ChainId) -> Begin<'_> {
        let mut tables = self.lock();
        loop {
            // One that is leaving still has its directory: wait until it is gone.
            match tables.layers.get(chain) {
                Some(layer) if !layer.leaving => return Begin::Done(layer.info.clone()),
                None if !tables.making.contains(chain) => {
                    tables.making.insert(chain.clone());
                    return Begin::Make(Turn { index: self, chain: chain.clone() });
                }
                _ => tables = self.finished.wait(tables).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Records a layer, and answers its number; its parent gets a user.
    pub(super) fn insert(&self, info: LayerInfo, form: Form, unsynced: bool) -> u64 {
        let mut tables = self.lock();
        tables.numbers += 1;
        let number = tables.numbers;
        if let Some(parent) = &info.parent
            && let Some(layer) = tables.layers.get_mut(parent)
        {
            layer.users += 1;
        }
        tables.layers.insert(info.chain.clone(), Layer { info, form, users: 0, leaving: false, unsynced, number, busy: false });
        number
    }

    /// After loading in any order: drops layers whose parent is missing, and counts users anew.
    pub(super) fn drop_orphans(&self) {
        let mut tables = self.lock();
        loop {
            let orphans: Vec<_> = tables
                .layers
                .values()
                .filter(|l| l.info.parent.as_ref().is_some_and(|p| !tables.layers.contains_key(p)))
                .map(|l| l.info.chain.clone())
                .collect();
            if orphans.is_empty() {
                break;
            }
            for chain in orphans {
                tracing::warn!(layer = %chain, "its parent is missing, ignored");
                tables.layers.remove(&chain);
            }
        }
        let parents: Vec<_> = tables.layers.values().filter_map(|l| l.info.parent.clone()).collect();
        tables.layers.values_mut().for_each(|l| l.users = 0);
        for parent in parents {
            if let Some(layer) = tables.layers.get_mut(&parent) {
                layer.users += 1;
            }
        }
    }

    /// Marks a layer that nobody uses as leaving.
    pub(super) fn take_layer(&self, chain: &ChainId) -> Result<()> {
        let mut tables = self.lock();
        while tables.get(chain)?.busy {
            tables = self.finished.wait(tables).unwrap_or_else(PoisonError::into_inner);
        }
        let users = tables.get(chain)?.users;
        if users > 0 {
            let by = tables.user_of(chain);
            return Err(Error::InUse { object: format!("layer {chain}"), by });
        }
        if let Some(layer) = tables.layers.get_mut(chain) {
            layer.leaving = true;
        }
        Ok(())
    }

    /// Takes back [`Self::take_layer`].
    pub(super) fn restore_layer(&self, chain: &ChainId) {
        if let Some(layer) = self.lock().layers.get_mut(chain) {
            layer.leaving = false;
        }
        self.finished.notify_all();
    }

    /// Forgets a layer that was taken.
    pub(super) fn drop_layer(&self, chain: &ChainId) {
        let mut tables = self.lock();
        if let Some(layer) = tables.layers.remove(chain)
            && let Some(parent) = &layer.info.parent
        {
            tables.release(parent);
        }
        drop(tables);
        self.finished.notify_all();
    }

    /// Layers that a power cut may still take, with their forms and numbers.
    pub(super) fn unsynced(&self) -> Vec<(LayerInfo, Form, u64)> {
        let tables = self.lock();
        tables.layers.values().filter(|l| l.unsynced && !l.leaving).map(|l| (l.info.clone(), l.form, l.number)).collect()
    }

    /// Does something to the directory of a layer while nobody removes it. `None`: this very layer is not there any more.
    pub(super) fn occupy<T>(&self, chain: &ChainId, number: u64, work: impl FnOnce() -> T) -> Option<T> {
        let mut tables = self.lock();
        loop {
            let layer = tables.layers.get_mut(chain).filter(|layer| layer.number == number && !layer.leaving)?;
            if !layer.busy {
                layer.busy = true;
                break;
            }
            tables = self.finished.wait(tables).unwrap_or_else(PoisonError::into_inner);
        }
        drop(tables);
        let done = work();
        if let Some(layer) = self.lock().layers.get_mut(chain) {
            layer.busy = false;
        }
        self.finished.notify_all();
        Some(done)
    }

    /// Whether this very layer is there.
    pub(super) fn has(&self, chain: &ChainId, number: u64) -> bool {
        self.lock().get(chain).is_ok_and(|layer| layer.number == number)
    }

    /// The right to make another form of a layer, and its number. Who waited may find that it was done: `None`.
    pub(super) fn rework(&self, chain: &ChainId) -> Result<Option<(Turn<'_>, u64)>> {
        let mut tables = self.lock();
        loop {
            let layer = tables.get(chain)?;
            if layer.form != Form::Index {
                return Ok(None);
            }
            let number = layer.number;
            if tables.making.insert(chain.clone()) {
                return Ok(Some((Turn { index: self, chain: chain.clone() }, number)));
            }
            tables = self.finished.wait(tables).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A layer has another form, synced, from now on.
    pub(super) fn becomes(&self, chain: &ChainId, number: u64, form: Form) {
        if let Some(layer) = self.lock().layers.get_mut(chain).filter(|layer| layer.number == number) {
            layer.form = form;
            layer.unsynced = false;
        }
    }

    /// A power cut leaves it whole from now on.
    pub(super) fn is_synced(&self, chain: &ChainId, number: u64) {
        if let Some(layer) = self.lock().layers.get_mut(chain).filter(|layer| layer.number == number) {
            layer.unsynced = false;
        }
    }

    /// Records a snapshot of this kind, and answers it: over layers of which no overlay can be made it is a copy.
    pub(super) fn add_snapshot(&self, key: &SnapshotKey, parent: Option<&ChainId>, root: Root) -> Result<Root> {
        let mut tables = self.lock();
        let root = if parent.is_some_and(|parent| tables.has_plain(parent)) { Root::Copy } else { root };
        tables.add(key, Snapshot { parent: parent.cloned(), root })?;
        Ok(root)
    }

    /// Takes up a snapshot that is there.
    pub(super) fn load_snapshot(&self, key: &SnapshotKey, snapshot: Snapshot) -> Result<()> {
        self.lock().add(key, snapshot)
    }

    /// One of a chain's layers is none for an overlay.
    pub(super) fn has_plain(&self, chain: &ChainId) -> Result<bool> {
        let tables = self.lock();
        tables.get(chain)?;
        Ok(tables.has_plain(chain))
    }

    pub(super) fn snapshot(&self, key: &SnapshotKey) -> Result<Snapshot> {
        self.lock().snapshots.get(key).cloned().ok_or_else(|| super::missing(key))
    }

    pub(super) fn drop_snapshot(&self, key: &SnapshotKey) {
        let mut tables = self.lock();
        if let Some(Snapshot { parent: Some(parent), .. }) = tables.snapshots.remove(key) {
            tables.release(&parent);
        }
    }

    pub(super) fn snapshots(&self) -> Vec<SnapshotKey> {
        self.lock().snapshots.keys().cloned().collect()
    }
}

impl Tables {
    /// Somebody who stands on a chain, for the message.
    fn user_of(&self, chain: &ChainId) -> String {
        if let Some((key, _)) = self.snapshots.iter().find(|(_, snapshot)| snapshot.parent.as_ref() == Some(chain)) {
            return format!("snapshot {}", key.0);
        }
        match self.layers.values().find(|l| l.info.parent.as_ref() == Some(chain)) {
            Some(layer) => format!("layer {}", layer.info.chain),
            None => "an operation".to_owned(),
        }
    }
}
