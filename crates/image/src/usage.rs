//! What images take on disk. Layers that several share count once.

use crate::incoming::chains;
use crate::index::Index;
use crate::model::Image;
use crate::store::Images;
use dhow_storage::{ChainId, DiffId};
use std::collections::HashMap;

/// Space of images, in bytes of their layers' content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Of all layers, each once.
    pub layers: u64,
    /// Of the layers that an image has in common with others, by its id.
    pub shared: HashMap<String, u64>,
}

impl Images {
    /// Of every image that shows in a list (those between others do not), and of the parts of indexes.
    pub fn disk_usage(&self) -> DiskUsage {
        let index = self.snapshot();
        // A layer that goes while we look takes no space.
        let size = |chain: &ChainId| self.layers.layer(chain).map_or(0, |info| info.size);
        let parts = index.parts(&|_, _| false);
        let counted = index.all().filter(|image| parts.contains(image.id.as_str())).map(|image| &**image).chain(shown(&index));
        let images = counted.map(|image| (image.id.clone(), stack(image).into_iter().map(|c| (size(&c), c)).collect()));
        count(&images.collect::<Vec<_>>())
    }
}

/// Images that have a name, or that nobody builds on and that are no parts of an index that has one.
pub(crate) fn shown(index: &Index) -> impl Iterator<Item = &Image> {
    let parts = index.parts(&|_, _| false);
    let named = |image: &Image| !image.tags.is_empty() || !image.digests.is_empty();
    let shown = move |image: &&Image| named(image) || !(index.has_children(&image.id) || parts.contains(image.id.as_str()));
    index.all().map(|image| &**image).filter(shown)
}

fn stack(image: &Image) -> Vec<ChainId> {
    let diffs: Option<Vec<DiffId>> = image.config.rootfs().diff_ids().iter().map(|diff| DiffId::parse(diff).ok()).collect();
    chains(&diffs.unwrap_or_default())
}

fn count(images: &[(String, Vec<(u64, ChainId)>)]) -> DiskUsage {
    let mut users: HashMap<&ChainId, (u64, usize)> = HashMap::new();
    for (size, chain) in images.iter().flat_map(|(_, stack)| stack) {
        users.entry(chain).or_insert((*size, 0)).1 += 1;
    }
    let common = |stack: &[(u64, ChainId)]| stack.iter().filter(|(_, chain)| users[chain].1 > 1).map(|(size, _)| size).sum();
    DiskUsage {
        layers: users.values().map(|(size, _)| size).sum(),
        shared: images.iter().map(|(id, stack)| (id.clone(), common(stack))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_counts_once() {
        let chain = |digit: &str| ChainId::parse(&format!("sha256:{}", digit.repeat(64))).unwrap();
        let image = |id: &str, stack: &[(u64, &str)]| (id.to_owned(), stack.iter().map(|(size, c)| (*size, chain(c))).collect());
        let usage = count(&[image("x", &[(100, "1"), (20, "2")]), image("y", &[(100, "1"), (3, "3")]), image("z", &[(5, "4")])]);
        assert_eq!(usage.layers, 128);
        assert_eq!(usage.shared, HashMap::from([("x".into(), 100), ("y".into(), 100), ("z".into(), 0)]));
    }
}
