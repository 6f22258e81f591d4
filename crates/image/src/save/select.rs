//! Which images and names an archive is made of. Pure.

use super::Chosen;
use crate::error::{Error, Result};
use crate::index::{Index, full_id, key};
use crate::model::{Image, Platform};
use dhow_reference::Reference;
use std::sync::Arc;

/// What the names mean, in their order, each image once.
pub(super) fn select(index: &Index, names: &[String], platform: Option<&Platform>) -> Result<Vec<Chosen>> {
    let mut chosen = Vec::new();
    for name in names {
        one(index, name, platform, &mut chosen)?;
    }
    match chosen.iter().find(|chosen| chosen.image.config.rootfs().diff_ids().is_empty()) {
        Some(_) => Err(Error::Invalid("empty export - not implemented".into())),
        None => Ok(chosen),
    }
}

fn one(index: &Index, name: &str, platform: Option<&Platform>, chosen: &mut Vec<Chosen>) -> Result<()> {
    let mut add = |image: Arc<Image>, tag: Option<Reference>| {
        let image = match (platform, &tag) {
            (None, _) => image,
            (Some(wanted), Some(tag)) => index.resolve_for(&tag.to_string(), wanted).map_err(|error| renamed(error, name))?,
            (Some(wanted), None) => index.resolve_for(&image.id, wanted).map_err(|error| renamed(error, name))?,
        };
        let at = match chosen.iter().position(|c| c.image.id == image.id) {
            Some(at) => at,
            None => {
                chosen.push(Chosen { image, names: Vec::new() });
                chosen.len() - 1
            }
        };
        let names = &mut chosen[at].names;
        names.extend(tag.filter(|tag| tag.digest().is_none() && !names.contains(tag)));
        Ok(())
    };
    if full_id(name).is_some() {
        return add(index.resolve(name)?, None);
    }
    let reference = Reference::parse(name)?;
    if reference.familiar_name() == "sha256" {
        return add(by_id(index, name)?, None);
    }
    if reference.tag().is_none() && reference.digest().is_none() {
        let all: Vec<(Reference, Arc<Image>)> = index.of_repository(&reference);
        if all.is_empty() {
            return add(by_id(index, name)?, None);
        }
        return all.into_iter().try_for_each(|(tag, image)| add(image, Some(tag)));
    }
    let name = key(&reference);
    let image = index.named(&name).ok_or(Error::NoReference)?;
    add(image, Some(name))
}

/// The same error about the name as it was given.
fn renamed(error: Error, given: &str) -> Error {
    match error {
        Error::WrongPlatform { found, wanted, .. } => Error::WrongPlatform { name: given.to_owned(), found, wanted },
        other => other,
    }
}

/// Only as (the beginning of) an id.
fn by_id(index: &Index, text: &str) -> Result<Arc<Image>> {
    index.by_prefix(text).ok_or_else(|| Error::NotFound(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tests::layered;

    fn chosen(names: &[&str], platform: Option<&Platform>) -> std::result::Result<Vec<String>, String> {
        let mut index = Index::default();
        let (a, b) = (layered('a'), layered('b'));
        let (id_a, id_b) = (a.id.clone(), b.id.clone());
        index.put(a);
        index.put(b);
        let name = |text: &str| Reference::parse(text).unwrap().or_latest();
        index.set_name(&name("x:1"), &id_a, None, None);
        index.set_name(&name("x:2"), &id_b, None, None);
        index.set_name(&name("x"), &id_b, None, None);
        index.set_name(&name("y"), &id_a, None, None);
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let found = select(&index, &names, platform).map_err(|e| e.to_string())?;
        let tags = |c: &Chosen| c.names.iter().map(Reference::familiar).collect::<Vec<_>>().join(",");
        Ok(found.iter().map(|c| format!("{}={}", &c.image.id[7..8], tags(c))).collect())
    }

    #[test]
    fn names_and_ids() {
        let check = |names: &[&str], expect: &[&str]| assert_eq!(chosen(names, None).unwrap(), expect, "{names:?}");
        let id = "a".repeat(64);
        check(&["x:1"], &["a=x:1"]);
        check(&["x"], &["a=x:1", "b=x:2,x:latest"]);
        check(&["x:2", "y", "x:1", "x:2"], &["b=x:2", "a=y:latest,x:1"]);
        check(&[&id], &["a="]);
        check(&[&format!("sha256:{id}"), "x:1"], &["a=x:1"]);
        check(&["bbbbbb"], &["b="]);
        check(&["sha256:bbb"], &["b="]);
    }

    #[test]
    fn refusals() {
        let check = |name: &str, expect: &str| assert_eq!(chosen(&[name], None).unwrap_err(), expect, "{name}");
        check("nosuch:1", "reference does not exist");
        check("nosuch", "No such image: nosuch");
        check("UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase");
        let arm = Platform { os: "linux".into(), architecture: "arm64".into(), variant: String::new() };
        assert_eq!(
            chosen(&["x:1"], Some(&arm)).unwrap_err(),
            "image with reference x:1 was found but its platform (linux/amd64) does not match the specified platform (linux/arm64)"
        );
    }
}
