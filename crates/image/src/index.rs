//! What is in memory: every image, every name, and how a text finds one of them. Pure.

use crate::error::{Error, Result};
use crate::model::Image;
use dhow_reference::Reference;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const PREFIX: &str = "sha256:";

/// Images by id, names by reference.
#[derive(Debug, Default, Clone)]
pub(crate) struct Index {
    images: HashMap<String, Arc<Image>>,
    names: BTreeMap<Reference, Named>,
    /// Something was changed since the last copy was taken.
    changed: bool,
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    image: String,
    /// The document that it stands for where it came from.
    top: Option<String>,
}

impl Index {
    /// Adds an image, or replaces what is known of it; its names come from the index.
    pub(crate) fn put(&mut self, image: Image) {
        self.changed = true;
        let id = image.id.clone();
        self.images.insert(id.clone(), Arc::new(image));
        self.refresh(&id);
    }

    /// Takes an image out, with all its names.
    pub(crate) fn take(&mut self, id: &str) {
        self.changed = true;
        self.images.remove(id);
        self.names.retain(|_, named| named.image != id);
    }

    /// Points a name to an image and tells the image that it pointed to. `top` is the document that the name stands for.
    pub(crate) fn set_name(&mut self, name: &Reference, id: &str, top: Option<&str>, at: Option<i64>) -> Option<String> {
        self.changed = true;
        let named = Named { image: id.to_owned(), top: top.map(str::to_owned) };
        let old = self.names.insert(name.clone(), named).map(|old| old.image);
        if let Some(image) = self.images.get_mut(id)
            && at.is_some()
        {
            Arc::make_mut(image).last_tagged = at;
        }
        self.refresh(id);
        if let Some(old) = &old {
            self.refresh(old);
        }
        old
    }

    /// Forgets a name.
    pub(crate) fn drop_name(&mut self, name: &Reference) {
        self.changed = true;
        if let Some(named) = self.names.remove(name) {
            self.refresh(&named.image);
        }
    }

    /// A copy for readers, if they have not seen all.
    pub(crate) fn changed(&mut self) -> Option<Self> {
        std::mem::take(&mut self.changed).then(|| self.clone())
    }

    fn refresh(&mut self, id: &str) {
        let named = |digest: bool| -> Vec<Reference> {
            self.names
                .iter()
                .filter(|(name, named)| named.image == id && name.digest().is_some() == digest)
                .map(|(name, _)| name.clone())
                .collect()
        };
        let (tags, digests) = (named(false), named(true));
        if let Some(image) = self.images.get_mut(id) {
            let image = Arc::make_mut(image);
            image.tags = tags;
            image.digests = digests;
        }
    }

    /// Every image.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.images.values()
    }

    /// By full id.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Image>> {
        self.images.get(id)
    }

    /// By the name under which it is kept.
    pub(crate) fn named(&self, name: &Reference) -> Option<Arc<Image>> {
        self.names.get(name).and_then(|named| self.images.get(&named.image)).cloned()
    }

    /// Every name of a repository with its image, in order.
    pub(crate) fn of_repository(&self, repository: &Reference) -> Vec<(Reference, Arc<Image>)> {
        let wanted = repository.name();
        let all = self.names.iter().filter(|(name, _)| name.name() == wanted);
        all.filter_map(|(name, named)| Some((name.clone(), self.images.get(&named.image)?.clone()))).collect()
    }

    /// The document that a name stands for.
    pub(crate) fn top(&self, name: &Reference) -> Option<&str> {
        self.names.get(name).and_then(|named| named.top.as_deref())
    }

    /// The documents that names stand for, but for those names that `gone` says of.
    pub(crate) fn tops<'a>(&'a self, gone: &'a dyn Fn(&Reference, &str) -> bool) -> impl Iterator<Item = &'a str> {
        self.names.iter().filter(|(name, named)| !gone(name, &named.image)).filter_map(|(_, named)| named.top.as_deref())
    }

    /// Images built on this one here.
    pub(crate) fn has_children(&self, id: &str) -> bool {
        self.images.values().any(|i| i.parent.as_deref() == Some(id))
    }

    /// Finds what a person means: a full id; a name, with `latest` understood and a digest before a tag; a unique prefix of an id.
    pub(crate) fn resolve(&self, text: &str) -> Result<Arc<Image>> {
        if let Some(id) = full_id(text) {
            return self.images.get(&id).cloned().ok_or(Error::NotFound(id));
        }
        let parsed = Reference::parse(text);
        if let Ok(reference) = &parsed
            && let Some(named) = self.names.get(&key(reference))
            && let Some(image) = self.images.get(&named.image)
        {
            return Ok(image.clone());
        }
        match (self.by_prefix(text), parsed) {
            (Some(image), _) => Ok(image),
            (None, Ok(reference)) => Err(Error::NotFound(reference.or_latest().familiar())),
            (None, Err(error)) => Err(error.into()),
        }
    }

    /// By the one id that begins so.
    pub(crate) fn by_prefix(&self, text: &str) -> Option<Arc<Image>> {
        let hex = text.strip_prefix(PREFIX).unwrap_or(text);
        if hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut found = self.images.values().filter(|i| i.id[PREFIX.len()..].starts_with(hex));
        match (found.next(), found.next()) {
            (Some(image), None) => Some(image.clone()),
            _ => None,
        }
    }
}

/// The name under which a reference is kept: with a digest the tag does not count, without either it is `latest`.
pub(crate) fn key(reference: &Reference) -> Reference {
    match reference.digest() {
        Some(digest) => reference.with_digest(digest).unwrap_or_else(|_| reference.clone()),
        None => reference.clone().or_latest(),
    }
}

/// `sha256:` and 64 hex digits, or the digits alone.
pub(crate) fn full_id(text: &str) -> Option<String> {
    let hex = text.strip_prefix(PREFIX).unwrap_or(text);
    let full = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    full.then(|| format!("{PREFIX}{hex}"))
}

/// The text is (the beginning of) this image's id, and so not a name of it.
pub(crate) fn is_id_prefix(id: &str, text: &str) -> bool {
    id.starts_with(text) || id.strip_prefix(PREFIX).is_some_and(|hex| hex.starts_with(text))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn image(digit: char) -> Image {
        let raw = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        Image {
            id: format!("sha256:{}", digit.to_string().repeat(64)),
            config: serde_json::from_slice(raw).unwrap(),
            raw: Arc::from(&raw[..]),
            chain: None,
            size: 0,
            tags: Vec::new(),
            digests: Vec::new(),
            documents: Vec::new(),
            last_tagged: None,
            parent: None,
        }
    }

    /// One with a layer.
    pub(crate) fn layered(digit: char) -> Image {
        let raw = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{}"]}}}}"#,
            digit.to_string().repeat(64)
        );
        Image { config: serde_json::from_str(&raw).unwrap(), raw: Arc::from(raw.as_bytes()), ..image(digit) }
    }

    fn named(text: &str) -> Reference {
        Reference::parse(text).unwrap().or_latest()
    }

    #[test]
    fn a_text_finds_its_image_in_dockers_order() {
        let mut index = Index::default();
        let (a, b) = (image('a'), image('b'));
        let (id_a, id_b) = (a.id.clone(), b.id.clone());
        index.put(a);
        index.put(b);
        index.set_name(&named("x:1"), &id_a, None, Some(1));
        // A name that could be a short id of b wins over the id.
        index.set_name(&named("bbb"), &id_a, None, Some(2));
        for (text, id) in [
            ("x:1", &id_a),
            ("docker.io/library/x:1", &id_a),
            ("bbb", &id_a),
            ("bbbb", &id_b),
            ("sha256:bb", &id_b),
            (&id_b[7..], &id_b),
            (&id_b, &id_b),
        ] {
            assert_eq!(&index.resolve(text).unwrap().id, id, "{text}");
        }
        for (text, message) in [
            ("x", "No such image: x:latest"),
            ("x:2", "No such image: x:2"),
            ("c0ffee", "No such image: c0ffee:latest"),
            ("UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase"),
        ] {
            assert_eq!(index.resolve(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_moved_name_leaves_its_old_image() {
        let mut index = Index::default();
        let (a, b) = (image('a'), image('b'));
        let (id_a, id_b) = (a.id.clone(), b.id.clone());
        index.put(a);
        index.put(b);
        assert_eq!(index.set_name(&named("x"), &id_a, None, Some(1)), None);
        assert_eq!(index.set_name(&named("x"), &id_b, None, Some(2)), Some(id_a.clone()));
        assert!(index.get(&id_a).unwrap().tags.is_empty());
        assert_eq!(index.get(&id_b).unwrap().tags, [named("x")]);
        assert_eq!(index.get(&id_b).unwrap().last_tagged, Some(2));
        index.drop_name(&named("x"));
        assert!(index.get(&id_b).unwrap().tags.is_empty());
    }
}
