//! What goes when a person removes an image: Docker's rules as a pure plan.

use crate::error::{Error, Result};
use crate::index::{Index, is_id_prefix, key};
use crate::model::{Image, Removed, User};
use dhow_reference::Reference;
use std::collections::BTreeSet;

/// What is to be done, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Names to take away.
    pub(crate) names: Vec<Reference>,
    /// Images to delete, each with the names that it still had.
    pub(crate) images: Vec<String>,
    /// What to answer, but for the chains, which only the layer store can tell.
    pub(crate) records: Vec<Removed>,
}

impl Plan {
    fn untag(&mut self, name: &Reference) {
        self.names.push(name.clone());
        self.records.push(Removed::Untagged(name.familiar()));
    }
}

/// Plans the removal of what `text` names. Images of an index that have no name of their own go with the last name that stands for it.
pub(crate) fn plan(index: &Index, text: &str, force: bool, prune: bool, users: &[User]) -> Result<Plan> {
    let mut plan = named(index, text, force, prune, users)?;
    let tops: BTreeSet<&str> = plan.names.iter().filter_map(|name| index.top(name)).collect();
    let members: Vec<_> = tops.into_iter().flat_map(|top| index.members(top)).filter(|image| !plan.images.contains(&image.id)).collect();
    for digest in members.iter().flat_map(|image| &image.digests) {
        // A repository's digests go with its last tag, whichever image of the index that was on.
        let tag = |name: &Reference| name.digest().is_none() && name.name() == digest.name();
        let stays = index.of_repository(digest).iter().any(|(name, _)| tag(name) && !plan.names.contains(name));
        if !stays && plan.names.iter().any(tag) {
            plan.untag(digest);
        }
    }
    let parts = index.parts(&|name, image| plan.names.contains(name) || plan.images.iter().any(|id| id == image));
    let orphan = |image: &Image| {
        let named = image.tags.iter().chain(&image.digests).any(|name| !plan.names.contains(name));
        let used = users.iter().any(|user| user.image == image.id) || index.has_children(&image.id);
        !named && !used && !parts.contains(image.id.as_str())
    };
    let orphans: BTreeSet<String> = members.iter().filter(|image| orphan(image)).map(|image| image.id.clone()).collect();
    plan.records.extend(orphans.iter().cloned().map(Removed::Deleted));
    plan.images.extend(orphans);
    Ok(plan)
}

fn named(index: &Index, text: &str, force: bool, prune: bool, users: &[User]) -> Result<Plan> {
    let image = index.resolve(text)?;
    let names: Vec<Reference> = image.tags.iter().chain(&image.digests).cloned().collect();
    let mut plan = Plan::default();
    let mut quiet = false;
    let mut left = names.clone();
    if is_id_prefix(&image.id, text) {
        if is_single(&names) {
            conflicts(index, &image, users, Checks { children: true, running: true, stopped: !force, references: None })?;
            names.iter().for_each(|n| plan.untag(n));
            left.clear();
        }
    } else {
        if !force
            && is_single(&names)
            && let Some(user) = users.iter().find(|u| u.image == image.id)
        {
            return Err(Error::Conflict(format!(
                "unable to remove repository reference {text:?} (must force) - container {} is using its referenced image {}",
                short(&user.container),
                short(&image.id)
            )));
        }
        let name = key(&Reference::parse(text)?);
        plan.untag(&name);
        left.retain(|n| *n != name);
        if name.digest().is_none() && !left.iter().any(|n| n.name() == name.name() && n.digest().is_none()) {
            let (orphans, kept): (Vec<_>, Vec<_>) = left.into_iter().partition(|n| n.name() == name.name());
            orphans.iter().for_each(|n| plan.untag(n));
            left = kept;
        }
        if !left.is_empty() {
            return Ok(plan);
        }
        quiet = true;
    }
    delete(index, &image, &left, Deletion { force, prune, quiet }, users, &mut plan)?;
    Ok(plan)
}

/// How a deletion goes on: by force, to its untagged parents, with conflicts passed over.
#[derive(Debug, Clone, Copy)]
struct Deletion {
    force: bool,
    prune: bool,
    quiet: bool,
}

fn delete(index: &Index, image: &Image, left: &[Reference], how: Deletion, users: &[User], plan: &mut Plan) -> Result<()> {
    let references = (!how.force).then_some(left.len());
    let checks = Checks { children: true, running: true, stopped: !how.force, references };
    if let Err(error) = conflicts(index, image, users, checks) {
        let used = users.iter().any(|u| u.image == image.id);
        let dangling = left.is_empty() && !index.has_children(&image.id);
        if how.quiet && (!dangling || used) {
            return Ok(());
        }
        return Err(error);
    }
    left.iter().for_each(|n| plan.untag(n));
    plan.images.push(image.id.clone());
    plan.records.push(Removed::Deleted(image.id.clone()));
    let Some(parent) = image.parent.as_deref().filter(|_| how.prune).and_then(|p| index.get(p)) else {
        return Ok(());
    };
    // The image itself is no child any more.
    let others = index.all().any(|i| i.parent.as_deref() == Some(&parent.id) && !plan.images.contains(&i.id));
    let named = !parent.tags.is_empty() || !parent.digests.is_empty();
    if others || named || users.iter().any(|u| u.image == parent.id) {
        return Ok(());
    }
    plan.images.push(parent.id.clone());
    plan.records.push(Removed::Deleted(parent.id.clone()));
    let grandparent = parent.parent.as_deref().and_then(|p| index.get(p)).cloned();
    match grandparent {
        Some(_) => prune_parents(index, parent, users, plan),
        None => Ok(()),
    }
}

/// Goes on up the line of untagged, unused parents.
fn prune_parents(index: &Index, from: &Image, users: &[User], plan: &mut Plan) -> Result<()> {
    let mut next = from.parent.clone();
    while let Some(image) = next.as_deref().and_then(|id| index.get(id)) {
        let others = index.all().any(|i| i.parent.as_deref() == Some(&image.id) && !plan.images.contains(&i.id));
        let named = !image.tags.is_empty() || !image.digests.is_empty();
        if others || named || users.iter().any(|u| u.image == image.id) {
            break;
        }
        plan.images.push(image.id.clone());
        plan.records.push(Removed::Deleted(image.id.clone()));
        next = image.parent.clone();
    }
    Ok(())
}

/// Which conflicts count.
struct Checks {
    children: bool,
    running: bool,
    stopped: bool,
    /// Names that the image still has, where several are a conflict.
    references: Option<usize>,
}

fn conflicts(index: &Index, image: &Image, users: &[User], checks: Checks) -> Result<()> {
    let hard = |why: String| Error::Conflict(format!("unable to delete {} (cannot be forced) - {why}", short(&image.id)));
    let soft = |why: String| Error::Conflict(format!("unable to delete {} (must be forced) - {why}", short(&image.id)));
    if checks.children && index.has_children(&image.id) {
        return Err(hard("image has dependent child images".into()));
    }
    let mut using = users.iter().filter(|u| u.image == image.id);
    if checks.running
        && let Some(user) = using.clone().find(|u| u.running)
    {
        return Err(hard(format!("image is being used by running container {}", short(&user.container))));
    }
    if checks.references.is_some_and(|n| n > 0) {
        return Err(soft("image is referenced in multiple repositories".into()));
    }
    if checks.stopped
        && let Some(user) = using.find(|u| !u.running)
    {
        return Err(soft(format!("image is being used by stopped container {}", short(&user.container))));
    }
    Ok(())
}

/// At most one tag, and every digest of its repository.
fn is_single(names: &[Reference]) -> bool {
    if names.len() <= 1 {
        return names.len() == 1;
    }
    let tags: Vec<_> = names.iter().filter(|n| n.digest().is_none()).collect();
    let repositories: BTreeSet<String> = names.iter().filter(|n| n.digest().is_some()).map(Reference::name).collect();
    match tags.as_slice() {
        [] => repositories.len() == 1,
        [tag] => repositories.len() == 1 && repositories.contains(&tag.name()),
        _ => false,
    }
}

/// The first 12 digits.
fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tests::image;

    fn index() -> (Index, String) {
        let mut index = Index::default();
        let a = image('a');
        let id = a.id.clone();
        index.put(a);
        (index, id)
    }

    fn name(index: &mut Index, text: &str, id: &str) {
        index.set_name(&Reference::parse(text).unwrap(), id, None, None);
    }

    fn user(id: &str, running: bool) -> User {
        User { container: "c".repeat(64), running, image: id.to_owned(), reference: None }
    }

    fn untagged(text: &str) -> Removed {
        Removed::Untagged(text.into())
    }

    #[test]
    fn one_name_of_two_is_only_untagged() {
        let (mut index, id) = index();
        name(&mut index, "x:1", &id);
        name(&mut index, "y:1", &id);
        let plan = plan(&index, "x:1", false, true, &[user(&id, true)]).unwrap();
        assert_eq!(plan.records, [untagged("x:1")]);
        assert!(plan.images.is_empty());
    }

    #[test]
    fn the_last_name_takes_the_image_along() {
        let (mut index, id) = index();
        name(&mut index, "x:1", &id);
        let plan = plan(&index, "x:1", false, true, &[]).unwrap();
        assert_eq!(plan.records, [untagged("x:1"), Removed::Deleted(id.clone())]);
        assert_eq!(plan.images, [id]);
    }

    #[test]
    fn conflicts_are_told_in_dockers_words() {
        let (mut index, id) = index();
        name(&mut index, "x:1", &id);
        let check = |index: &Index, text: &str, force: bool, users: &[User]| plan(index, text, force, true, users).unwrap_err().to_string();
        let stopped = [user(&id, false)];
        let running = [user(&id, true)];
        assert_eq!(
            check(&index, "x:1", false, &stopped),
            "conflict: unable to remove repository reference \"x:1\" (must force) - container cccccccccccc is using its referenced image aaaaaaaaaaaa"
        );
        assert_eq!(
            check(&index, "aaaa", false, &stopped),
            "conflict: unable to delete aaaaaaaaaaaa (must be forced) - image is being used by stopped container cccccccccccc"
        );
        assert_eq!(
            check(&index, &id, true, &running),
            "conflict: unable to delete aaaaaaaaaaaa (cannot be forced) - image is being used by running container cccccccccccc"
        );
        name(&mut index, "y:1", &id);
        assert_eq!(
            check(&index, &id, false, &[]),
            "conflict: unable to delete aaaaaaaaaaaa (must be forced) - image is referenced in multiple repositories"
        );
    }

    #[test]
    fn force_takes_all_names_and_a_stopped_containers_image() {
        let (mut index, id) = index();
        name(&mut index, "x:1", &id);
        name(&mut index, "y:1", &id);
        let plan = plan(&index, &id, true, true, &[user(&id, false)]).unwrap();
        assert_eq!(plan.records, [untagged("x:1"), untagged("y:1"), Removed::Deleted(id)]);
    }

    #[test]
    fn forcing_the_name_of_a_running_container_only_untags() {
        let (mut index, id) = index();
        name(&mut index, "x:1", &id);
        let plan = plan(&index, "x:1", true, true, &[user(&id, true)]).unwrap();
        assert_eq!(plan.records, [untagged("x:1")]);
        assert!(plan.images.is_empty());
    }

    #[test]
    fn untagged_parents_go_too_unless_told_not_to() {
        let mut index = Index::default();
        let (mut a, mut b, c) = (image('a'), image('b'), image('c'));
        a.parent = Some(b.id.clone());
        b.parent = Some(c.id.clone());
        let ids = [a.id.clone(), b.id.clone(), c.id.clone()];
        for i in [a, b, c] {
            index.put(i);
        }
        index.set_name(&Reference::parse("x:latest").unwrap(), &ids[0], None, None);
        assert_eq!(plan(&index, "x", false, true, &[]).unwrap().images, ids);
        assert_eq!(plan(&index, "x", false, false, &[]).unwrap().images, ids[..1]);
        assert_eq!(
            plan(&index, &ids[1], true, true, &[]).unwrap_err().to_string(),
            "conflict: unable to delete bbbbbbbbbbbb (cannot be forced) - image has dependent child images"
        );
    }
}
