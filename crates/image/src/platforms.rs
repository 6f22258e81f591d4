//! Images for several platforms that came as one: those of an index that a name stands for. One of them is what the name means, the others
//! are *parts*: they have no name of their own, are no dangling images, and go with the last name that stands for the index. Pure.

use crate::error::{Error, Result};
use crate::index::{Index, full_id, is_id_prefix, key};
use crate::model::{Image, Platform};
use crate::store::Images;
use dhow_reference::Reference;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

impl Images {
    /// The image of this name for a platform: the one that the name means, or another one of its index that is here. Does not block.
    pub fn resolve_for(&self, name: &str, wanted: &Platform) -> Result<Arc<Image>> {
        self.snapshot().resolve_for(name, wanted)
    }

    /// Ids of the images that are here as parts of an index only. Does not block.
    pub fn parts(&self) -> HashSet<String> {
        self.snapshot().parts(&|_, _| false).into_iter().map(str::to_owned).collect()
    }
}

impl Index {
    /// The document that a text stands for, if it is a name of this image (and not its id).
    pub(crate) fn top_of(&self, text: &str, id: &str) -> Option<&str> {
        if full_id(text).is_some() {
            return None;
        }
        let name = key(&Reference::parse(text).ok()?);
        let named = self.named(&name)?;
        (named.id == id).then(|| self.top(&name)).flatten()
    }

    /// The images that came with a document, by their ids.
    pub(crate) fn members(&self, top: &str) -> Vec<Arc<Image>> {
        let has = |image: &&Arc<Image>| image.documents.iter().any(|digest| digest == top);
        let mut found: Vec<Arc<Image>> = self.all().filter(has).cloned().collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }

    /// Ids of nameless images of an index that a name stands for, if the names were gone that `gone` says of.
    pub(crate) fn parts<'a>(&'a self, gone: &dyn Fn(&Reference, &str) -> bool) -> BTreeSet<&'a str> {
        let tops: HashSet<&str> = self.tops(gone).collect();
        let nameless = self.all().filter(|image| image.tags.is_empty() && image.digests.is_empty());
        nameless.filter(|image| image.documents.iter().any(|d| tops.contains(d.as_str()))).map(|image| image.id.as_str()).collect()
    }

    pub(crate) fn resolve_for(&self, text: &str, wanted: &Platform) -> Result<Arc<Image>> {
        let image = self.resolve(text)?;
        let found = Platform::of(&image.config);
        if wanted.accepts(&found) {
            return Ok(image);
        }
        let by_name = !is_id_prefix(&image.id, text);
        let top = self.top_of(text, &image.id).filter(|_| by_name);
        let others = top.map(|top| self.members(top)).unwrap_or_default();
        let mut fitting: Vec<Arc<Image>> = others.into_iter().filter(|other| wanted.accepts(&Platform::of(&other.config))).collect();
        // The very variant before one that will do.
        fitting.sort_by_key(|other| Platform::of(&other.config).variant != wanted.variant);
        let wrong = || Error::WrongPlatform { name: text.to_owned(), found: found.to_string(), wanted: wanted.to_string() };
        fitting.into_iter().next().ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tests::image;

    fn name(text: &str) -> Reference {
        Reference::parse(text).unwrap().or_latest()
    }

    /// An index of a (this machine's) and b (for s390x), and c, which came with another one.
    fn index() -> Index {
        let mut index = Index::default();
        for (digit, architecture, document) in [('a', "amd64", "sha256:1"), ('b', "s390x", "sha256:1"), ('c', "amd64", "sha256:2")] {
            let mut image = image(digit);
            image.config.set_architecture(architecture.into());
            image.documents = vec![document.to_owned()];
            index.put(image);
        }
        index.set_name(&name("x"), &format!("sha256:{}", "a".repeat(64)), Some("sha256:1"), None);
        index
    }

    fn for_platform(text: &str, architecture: &str) -> std::result::Result<String, String> {
        let wanted = Platform { os: "linux".into(), architecture: architecture.into(), variant: String::new() };
        let found = index().resolve_for(text, &wanted).map_err(|error| error.to_string())?;
        Ok(found.id[7..8].to_owned())
    }

    #[test]
    fn a_name_means_every_image_of_its_index() {
        assert_eq!(for_platform("x", "amd64").unwrap(), "a");
        assert_eq!(for_platform("x:latest", "s390x").unwrap(), "b");
        let wrong = |name: &str| {
            format!("image with reference {name} was found but its platform (linux/amd64) does not match the specified platform (linux/")
        };
        assert!(for_platform("x", "arm64").unwrap_err().starts_with(&wrong("x")));
        // An id is one image.
        assert!(for_platform("aaaa", "s390x").unwrap_err().starts_with(&wrong("aaaa")));
    }

    #[test]
    fn parts_are_nameless_and_go_with_the_name() {
        let mut index = index();
        let part = format!("sha256:{}", "b".repeat(64));
        assert_eq!(index.parts(&|_, _| false), BTreeSet::from([part.as_str()]));
        assert!(index.parts(&|gone, _| *gone == name("x")).is_empty());
        let removed = crate::remove::plan(&index, "x", false, true, &[]).unwrap();
        assert_eq!(removed.images, [format!("sha256:{}", "a".repeat(64)), part.clone()]);
        // As long as another name stands for it, it stays.
        index.set_name(&name("y"), &format!("sha256:{}", "a".repeat(64)), Some("sha256:1"), None);
        assert!(crate::remove::plan(&index, "x", false, true, &[]).unwrap().images.is_empty());
        index.set_name(&name("b"), &part, None, None);
        assert!(index.parts(&|_, _| false).is_empty());
    }
}
