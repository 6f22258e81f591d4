//! Which containers there are: by id, by name, by the start of an id. Short critical sections, never across I/O.

use crate::container::slot::{Slot, no_such};
use crate::error::{Error, Kind, Result};
use crate::names;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The containers of an engine.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    maps: RwLock<Maps>,
    /// There has been a container with links.
    links: AtomicBool,
}

#[derive(Debug, Default)]
struct Maps {
    by_id: BTreeMap<String, Arc<Slot>>,
    /// Name to id. A name is here from its reservation on, before its container is.
    by_name: HashMap<String, String>,
}

/// What a look-up found, before it is made an error or a slot.
#[derive(Debug, PartialEq, Eq)]
enum Found<'a> {
    One(&'a str),
    None,
    Many,
}

impl Maps {
    /// Docker's order: the full id, the exact name, the only id that starts so.
    fn find(&self, text: &str) -> Found<'_> {
        if let Some((id, _)) = self.by_id.get_key_value(text) {
            return Found::One(id);
        }
        let name = text.strip_prefix('/').unwrap_or(text);
        if let Some((id, _)) = self.by_name.get(name).and_then(|id| self.by_id.get_key_value(id)) {
            return Found::One(id);
        }
        if let Some((parent, alias)) = name.rsplit_once('/') {
            return self.linked(parent, alias).map_or(Found::None, Found::One);
        }
        if text.is_empty() {
            return Found::None;
        }
        let mut matches = self.by_id.range(text.to_owned()..).map(|(id, _)| id.as_str()).take_while(|id| id.starts_with(text));
        match (matches.next(), matches.next()) {
            (Some(id), None) => Found::One(id),
            (Some(_), Some(_)) => Found::Many,
            (None, _) => Found::None,
        }
    }
}

impl Maps {
    /// What a container calls by this name, where that is there.
    fn linked(&self, parent: &str, alias: &str) -> Option<&str> {
        let parent = self.by_id.get(self.by_name.get(parent)?)?.get();
        let link = parent.request.network.links.iter().find(|link| link.alias == alias)?;
        self.by_id.get_key_value(&link.container).map(|(id, _)| id.as_str())
    }
}

impl Registry {
    /// Whether anybody links to another one. Where nobody does, nobody need be looked for.
    pub(crate) fn has_links(&self) -> bool {
        self.links.load(Ordering::Relaxed)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Maps> {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One container.
    pub(crate) fn get(&self, text: &str) -> Result<Arc<Slot>> {
        if text.is_empty() {
            return Err(Error::new(Kind::Invalid, format!("invalid name or ID supplied: {text:?}")));
        }
        let maps = self.read();
        match maps.find(text) {
            Found::One(id) => maps.by_id.get(id).cloned().ok_or_else(|| no_such(text)),
            Found::None => Err(no_such(text)),
            Found::Many => Err(Error::new(Kind::Invalid, format!("multiple IDs found with provided prefix: {text}"))),
        }
    }

    /// All of them, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.read().by_id.values().cloned().collect()
    }

    /// Takes a name for an id that is about to exist.
    pub(crate) fn reserve(&self, name: &str, id: &str) -> Result<()> {
        let mut maps = self.write();
        if let Some(holder) = maps.by_name.get(name) {
            return Err(Error::new(
                Kind::Conflict,
                format!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to remove (or rename) that container to be able to reuse that name."
                ),
            ));
        }
        maps.by_name.insert(name.to_owned(), id.to_owned());
        Ok(())
    }

    /// Takes a made-up name.
    pub(crate) fn reserve_random(&self, id: &str) -> Result<String> {
        for attempt in 0..names::TRIES {
            let name = names::random(attempt)?;
            if self.reserve(&name, id).is_ok() {
                return Ok(name);
            }
        }
        let name = crate::ids::short(id).to_owned();
        self.reserve(&name, id)?;
        Ok(name)
    }

    /// Gives a name back, if this id still holds it.
    pub(crate) fn release(&self, name: &str, id: &str) {
        let mut maps = self.write();
        if maps.by_name.get(name).is_some_and(|holder| holder == id) {
            maps.by_name.remove(name);
        }
    }

    /// Makes a container visible. Its name is reserved already.
    pub(crate) fn insert(&self, slot: Arc<Slot>) {
        if !slot.get().request.network.links.is_empty() {
            self.links.store(true, Ordering::Relaxed);
        }
        self.write().by_id.insert(slot.id.clone(), slot);
    }

    /// Makes a container and its name disappear.
    pub(crate) fn remove(&self, id: &str) {
        let mut maps = self.write();
        maps.by_id.remove(id);
        maps.by_name.retain(|_, holder| holder != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::testing::slot;

    fn registry(entries: &[(&str, &str)]) -> Registry {
        let registry = Registry::default();
        for (id, name) in entries {
            registry.reserve(name, id).unwrap();
            registry.insert(slot(id, name));
        }
        registry
    }

    #[test]
    fn look_up_in_dockers_order() {
        let a = "a".repeat(64);
        let ab = format!("ab{}", "0".repeat(62));
        let registry = registry(&[(&a, "web"), (&ab, "aaaa")]);
        let find = |text: &str| registry.get(text).map(|s| s.id.clone()).map_err(|e| e.message);
        assert_eq!(find(&a), Ok(a.clone()));
        assert_eq!(find("web"), Ok(a.clone()));
        assert_eq!(find("/web"), Ok(a.clone()));
        // A name wins over the start of an id.
        assert_eq!(find("aaaa"), Ok(ab.clone()));
        assert_eq!(find("aaa"), Ok(a.clone()));
        assert_eq!(find("ab"), Ok(ab.clone()));
        assert_eq!(find("a"), Err("multiple IDs found with provided prefix: a".into()));
        assert_eq!(find("f"), Err("No such container: f".into()));
        assert_eq!(find(""), Err("invalid name or ID supplied: \"\"".into()));
    }

    #[test]
    fn a_name_is_held_until_it_is_given_back() {
        let registry = registry(&[]);
        registry.reserve("x1", "one").unwrap();
        let error = registry.reserve("x1", "two").unwrap_err();
        assert_eq!(
            error.message,
            "Conflict. The container name \"/x1\" is already in use by container \"one\". You have to remove (or rename) that container to be able to reuse that name."
        );
        registry.release("x1", "two");
        assert!(registry.reserve("x1", "two").is_err());
        registry.release("x1", "one");
        assert!(registry.reserve("x1", "two").is_ok());
    }
}
