//! Which images a prune may take: Docker's rules. Pure.

use crate::index::Index;
use crate::model::Image;
use crate::store::Images;
use crate::usage::shown;
use dhow_reference::Reference;
use std::cmp::Reverse;

impl Images {
    /// The names (ids for images without one) whose removal a prune tries, newest image first: without `all` only those of images
    /// without a tag. What is in use stays, because such a removal is refused.
    pub fn prunable(&self, all: bool, wanted: &dyn Fn(&Image) -> bool) -> Vec<String> {
        candidates(&self.snapshot(), all, wanted)
    }
}

fn candidates(index: &Index, all: bool, wanted: &dyn Fn(&Image) -> bool) -> Vec<String> {
    let mut images: Vec<&Image> = shown(index).filter(|image| wanted(image)).collect();
    images.retain(|image| all || (image.tags.is_empty() && !index.has_children(&image.id)));
    // Children before what they were made from.
    images.sort_by_key(|image| (Reverse(image.config.created().as_ref().map(ToString::to_string)), image.id.clone()));
    let names = |image: &Image| match (image.tags.is_empty(), image.digests.is_empty()) {
        (true, true) => vec![image.id.clone()],
        _ => image.tags.iter().chain(&image.digests).map(Reference::to_string).collect(),
    };
    images.into_iter().flat_map(names).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tests::image;

    fn check(all: bool, wanted: &dyn Fn(&Image) -> bool, expect: &[&str]) {
        let mut index = Index::default();
        let [a, b, c, mut d, e] = ['a', 'b', 'c', 'd', 'e'].map(image);
        d.parent = Some(c.id.clone());
        let ids = [a.id.clone(), b.id.clone(), c.id.clone(), d.id.clone(), e.id.clone()];
        for one in [a, b, c, d, e] {
            index.put(one);
        }
        let digest = format!("x@sha256:{}", "1".repeat(64));
        index.set_name(&Reference::parse("x:1").unwrap(), &ids[0], None, None);
        index.set_name(&Reference::parse(&digest).unwrap(), &ids[1], None, None);
        index.set_name(&Reference::parse("y:1").unwrap(), &ids[3], None, None);
        let mut got = candidates(&index, all, wanted);
        got.iter_mut().for_each(|name| *name = name.replace("docker.io/library/", "").replace(&"1".repeat(64), "1"));
        got.iter_mut().for_each(|name| name.truncate(12));
        assert_eq!(got, expect, "all: {all}");
    }

    #[test]
    fn dangling_ones_and_all() {
        // a has a tag, b only a digest, c is between, d (made from c) has a tag, e has nothing.
        check(false, &|_| true, &["x@sha256:1", "sha256:eeeee"]);
        check(true, &|_| true, &["x:1", "x@sha256:1", "y:1", "sha256:eeeee"]);
        check(true, &|image| image.id.starts_with("sha256:a"), &["x:1"]);
    }
}
